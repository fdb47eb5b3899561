"""TIFF: what the tags say of the pixels, and the kinds that Pillow narrows or does not know.

Pillow reads what it can hold exactly; OpenCV reads colour of 16 bits and more, whatever its compression;
tifffile reads the rest: many channels, planes, half precision, inks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from mis_lightning.errors import ImageError

if TYPE_CHECKING:
    from tifffile import TiffPage

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
DAMAGED = "Copy or download it again, or take it out of the folder."
RESAVE = "Save it as an 8-bit RGB PNG or JPEG."

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _INKS, _YCBCR = 0, 1, 2, 3, 5, 6
_NOT_COLOURS = {
    8: "CIELab colours", 9: "ICC Lab colours", 10: "ITU Lab colours", 32803: "raw values of a colour filter",
    32844: "LogL luminance", 32845: "LogLuv colours",
}  # fmt: skip
_FAX = (2, 3, 4)  # compressions of one bit whose readers take zero for white unless it is said
_ALWAYS_KNOWN = (1, 8, 32773, 32946)  # compressions that tifffile reads by itself: none, deflate, PackBits


@dataclass(frozen=True)
class TiffTags:
    """What the tags of the first page say.

    Attributes:
        width: In pixels.
        height: In pixels.
        bits: Of the deepest sample.
        kind: 1 unsigned, 2 signed, 3 float.
        samples: Of a pixel.
        planar: Each sample has a plane of its own.
        photometric: What the samples mean (tag 262); black is zero where the tag is missing.
        said: The tag is there.
        orientation: 1..8, as in EXIF.
        compression: Tag 259.
        alpha: The first extra sample is transparency; not e.g. infrared.
        inks: Number of inks, where the samples are inks.
        colours: The palette, uint8, ``(n, 3)``; ``None`` without one.
        nodata: The value that stands for no data (GeoTIFF, tag 42113); ``None`` without one.
    """

    width: int
    height: int
    bits: int
    kind: int
    samples: int
    planar: bool
    photometric: int
    said: bool
    orientation: int
    compression: int
    alpha: bool
    inks: int
    colours: NDArray[np.uint8] | None
    nodata: float | None

    @property
    def white_is_zero(self) -> bool:
        """Whether large values are dark."""
        return self.photometric == _WHITE_IS_ZERO

    @property
    def pillow_reads(self) -> bool:
        """Whether Pillow holds the pixels exactly."""
        if self.photometric == 34892 or (self.white_is_zero and (self.bits, self.kind) == (16, 2)):
            return False
        if self.bits <= 8 and self.kind == 1 and self.samples <= 4:
            if self.samples <= 2:
                return not (self.planar and self.samples == 2)
            return self.photometric in (_RGB, _INKS, _YCBCR)
        deep = (12, 1), (16, 1), (16, 2), (32, 2), (32, 3)
        known = self.samples == 1 and (self.bits, self.kind) in deep and self.photometric != _PALETTE
        return known and not (self.white_is_zero and (self.bits, self.kind) in ((12, 1), (32, 2)))

    @property
    def plain(self) -> bool:
        """Whether tifffile reads the pixels as they are meant, without any other library."""
        colours = _WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB
        return (
            self.bits in (8, 16, 32, 64) and self.photometric in colours and self.compression in _ALWAYS_KNOWN
        )


def read_tags(file: IO[bytes], path: Path) -> TiffTags:
    """Read the tags of the first page.

    Raises:
        ImageError: They are cut off or damaged, or say that the samples are no colours that are understood.
    """
    file.seek(0)
    header = file.read(8)
    header += file.read(8) if header[2] == 43 or header[3] == 43 else b""
    if header[:4] == b"MM\0+":
        raise ImageError(f"The TIFF {path} is a BigTIFF of big-endian numbers, which are not read. {RESAVE}")
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(tags.next)
        tags.load(file)
        width, height = int(tags[256]), int(tags[257])
    except (KeyError, struct.error) as error:
        raise ImageError(f"The TIFF {path} is cut off or damaged ({error!r}). {DAMAGED}") from error
    bits = max(tags.get(258, (1,)))
    photometric = tags.get(262)
    if photometric in _NOT_COLOURS or (photometric == _YCBCR and bits > 8):
        what = _NOT_COLOURS.get(photometric, f"YCbCr colours of {bits} bits")
        raise ImageError(f"The TIFF {path} holds {what}, which are not read. {RESAVE}")
    said = photometric is not None
    if photometric is None:
        photometric = _WHITE_IS_ZERO if tags.get(259, 1) in _FAX else _BLACK_IS_ZERO
    return TiffTags(
        width,
        height,
        bits,
        kind=tags.get(339, (1,))[0],
        samples=tags.get(277, 1),
        planar=tags.get(284, 1) == 2,
        photometric=photometric,
        said=said,
        orientation=tags.get(274, 1),
        compression=tags.get(259, 1),
        alpha=tags.get(338, (2,))[0] in (1, 2),
        inks=tags.get(334, 4) if photometric == _INKS else 0,
        colours=_palette(tags.get(320)) if photometric == _PALETTE else None,
        nodata=_number(tags.get(42113)),
    )


def decode_deep(
    file: IO[bytes], path: Path, tags: TiffTags, *, labels: bool, page: int | None = None
) -> NDArray[Any]:
    """Read the kinds that Pillow narrows or does not know, and plain pages of a stack, turned upright.

    Returns:
        ``(H, W)`` or ``(H, W, N)`` as stored, inks as RGB, alpha dropped; large values may still be dark.

    Raises:
        ImageError: The file is damaged, or of a compression that needs another library.
    """
    file.seek(0)
    straight = tags.samples in (1, 3, 4) and tags.bits in (8, 16, 32, 64) and not tags.planar
    grey = tags.photometric == _BLACK_IS_ZERO or (tags.white_is_zero and tags.bits > 8)
    plain = grey if tags.samples == 1 else tags.photometric == _RGB  # or it would swap the channels
    of_stack = page is not None and tags.plain
    if straight and plain and (tags.bits, tags.kind) != (16, 3) and not of_stack:
        array = decode_with_opencv(file.read(), path, page or 0)  # which turns it, too
    else:
        array = upright(_decode_with_tifffile(file, path, page or 0), tags.orientation)
    if tags.photometric == _INKS and tags.inks == 4 and tags.samples >= 4 and tags.kind == 1:
        array = _without_inks(array[..., :4])
    elif tags.colours is not None and not labels:
        array = tags.colours[array % len(tags.colours)]
    elif tags.samples == 4 and tags.alpha:
        array = array[..., :3]
    array = np.ascontiguousarray(array)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def negative(array: NDArray[Any], bits: int) -> NDArray[Any]:
    """Large values for small ones: what makes a picture of one in which white is zero.

    Unsigned numbers are taken from the largest that ``bits`` hold, signed ones and floats change their sign
    (signed ones by their complement, which every one has).
    """
    if array.dtype == np.bool_ or array.dtype.kind == "i":
        return ~array
    if array.dtype.kind == "u":
        return cast(NDArray[Any], array.dtype.type(2**bits - 1) - array)
    return -array


def negative_of(value: float | None, dtype: np.dtype[Any], bits: int) -> float | None:
    """Where :func:`negative` brings one value."""
    if value is None:
        return None
    return {"u": 2**bits - 1 - value, "i": -1 - value}.get(dtype.kind, -value)


def decode_with_opencv(data: bytes, path: Path, page: int = 0) -> NDArray[Any]:
    """Decode a file that OpenCV reads at its full depth, RGB(A) or grey.

    Raises:
        ImageError: It does not.
    """
    import cv2  # only the rare deep colour files need it

    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)  # what is wrong is said here, once
    try:
        whole = np.frombuffer(data, dtype=np.uint8)
        if page:
            pages = cv2.imdecodemulti(whole, cv2.IMREAD_UNCHANGED, range=(page, page + 1))[1]
            array = pages[0] if pages else None
        else:
            array = cv2.imdecode(whole, cv2.IMREAD_UNCHANGED)
    finally:
        log.setLogLevel(before)
    if array is None:
        raise ImageError(f"The image {path} is cut off, damaged or of an unknown kind (OpenCV). {DAMAGED}")
    return array if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]  # BGR(A) -> RGB(A)


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation (1..8; anything else means none)."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _decode_with_tifffile(file: IO[bytes], path: Path, number: int) -> NDArray[Any]:
    from tifffile import TiffFile  # only files of many channels or pages need it

    pages = TiffFile(file).pages
    if number and len(pages) == 1:
        return _behind(cast("TiffPage", pages[0]), file, number)
    page = pages[number]
    try:
        array = np.asarray(page.asarray())
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise ImageError(
            f"The TIFF {path} has a compression that needs one more library: pip install imagecodecs"
        ) from None
    return np.moveaxis(array, 0, -1) if array.ndim == 3 and page.axes.startswith("S") else array


def _behind(first: TiffPage, file: IO[bytes], number: int) -> NDArray[Any]:
    """A plane of a large stack of ImageJ: only the first one has a page, the others lie behind it."""
    file.seek(first.dataoffsets[0] + number * first.nbytes)
    stored = np.dtype(first.dtype).newbyteorder(first.parent.byteorder)
    return np.frombuffer(bytearray(file.read(first.nbytes)), stored).reshape(first.shape)


def _without_inks(inks: NDArray[Any]) -> NDArray[Any]:
    """Cyan, magenta, yellow and black to RGB of the same depth, as Pillow does it for 8 bits."""
    most = int(np.iinfo(inks.dtype).max)
    light = most - inks.astype(np.uint64)
    scaled = (light[..., :3] * light[..., 3:] + most // 2) // most
    return scaled.astype(inks.dtype.newbyteorder("="))


def _palette(values: tuple[int, ...] | None) -> NDArray[np.uint8] | None:
    if not values or len(values) % 3:
        return None
    return (np.array(values, np.uint16).reshape(3, -1).T >> 8).astype(np.uint8)


def _number(text: object) -> float | None:
    try:
        return float(str(text).strip(" \0")) if text is not None else None
    except ValueError:
        return None
