"""One image file -> the array stored in it; damaged files are refused.

Pillow decodes everything it can hold exactly, JPEG too: on 300 photographs OpenCV gave the same bytes in
three quarters of the time, about 1 ms less, but older versions of it return half a picture for a cut-off
file. OpenCV reads only what Pillow would narrow to 8 bits or does not know: colour of 16 bits and more.
:mod:`~mis_lightning.tiff` has the rules of TIFF.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mis_lightning import tiff
from mis_lightning.errors import ImageError
from mis_lightning.tiff import DAMAGED, RESAVE, decode_with_opencv, upright

MAX_PIXELS = 150_000_000
"""Largest image read, in pixels; just below Pillow's own guard against decompression bombs."""

_EXIF_ORIENTATION = 0x0112


class Decoded(NamedTuple):
    """The pixels of a file.

    Attributes:
        array: ``(H, W)``, RGB ``(H, W, 3)``, or more channels ``(H, W, N)`` of a TIFF, in the depth of the
            file (bool, integer, float), native byte order, C-contiguous and writable; alpha is dropped.
        nodata: The value in it that stands for no data (GeoTIFF); ``None`` without one.
    """

    array: NDArray[Any]
    nodata: float | None = None


def decode(path: Path, *, labels: bool, page: int | None = None) -> Decoded:
    """Decode a frame of an image file, turned upright, without rescaling.

    Args:
        path: The file.
        page: Of a TIFF whose pages are of one size and kind, from 0; ``None``: the first frame.
        labels: It holds labels: give the numbers as they are stored, also where they are indices of a
            palette, ``(H, W)``, or where white is zero.

    Raises:
        ImageError: The file is missing, empty, damaged, not an image, of a layout that cannot be read
            exactly, or larger than ``MAX_PIXELS``.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # Our own limit is checked before any pixel is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            head = file.read(26)
            if not head:
                raise ImageError(f"The image file {path} is empty (0 bytes). {DAMAGED}")
            if head.startswith(tiff.MAGIC):
                return _decode_tiff(file, path, labels, page)
            file.seek(0)
            return Decoded(_decode_with_pillow(file, path, head, labels))
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"There is no image file {path}. Check the path.") from None
    except IsADirectoryError:
        raise ImageError(f"Expected an image file, but {path} is a folder.") from None
    except PermissionError:
        raise ImageError(f"The image file {path} cannot be opened. Check its permissions.") from None
    except Image.DecompressionBombError:
        raise ImageError(f"The image {path} is larger than Pillow's limit. {_too_large_remedy()}") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that can be read{_guess(head)}. {RESAVE}") from None
    except Exception as error:
        # Decoders raise almost anything on damaged data: OSError, SyntaxError, struct.error, EOFError, ...
        raise ImageError(f"The image {path} is cut off or damaged ({error}). {DAMAGED}") from error


def _decode_with_pillow(
    file: IO[bytes], path: Path, head: bytes, labels: bool, page: int = 0
) -> NDArray[Any]:
    with Image.open(file) as image:
        _check_size(path, *image.size)
        image.seek(page)
        image.load()
        orientation = _orientation(image)
        if image.format == "PNG" and head[24] == 16 and head[25] in (2, 4, 6):
            # Pillow would keep the upper byte; it has decoded the file all the same, which proves it whole.
            file.seek(0)
            return upright(decode_with_opencv(file.read(), path)[..., :3], orientation)
        array = _to_array(image, path, labels)
        if labels and image.format == "PNG" and head[24] in (2, 4) and head[25] == 0:
            array = _unscaled(array, head[24])
        return upright(array, orientation)


def _decode_tiff(file: IO[bytes], path: Path, labels: bool, page: int | None) -> Decoded:
    tags = tiff.read_tags(file, path)
    _check_size(path, tags.width, tags.height)
    turned, depth = False, max(tags.bits, 8)  # whether large values are light by the decoder's doing
    of_stack = page is not None and tags.plain  # Pillow would leaf through the pages before it
    if tags.pillow_reads and not of_stack:
        file.seek(0)
        array = _decode_with_pillow(file, path, b"", labels, page or 0)
        # Pillow takes white for zero where the tag is missing, too.
        turned = tags.samples == 1 and tags.bits <= 8 and (tags.white_is_zero or not tags.said)
    else:
        array = tiff.decode_deep(file, path, tags, labels=labels, page=page)
    if labels and tags.bits in (2, 4) and array.ndim == 2 and tags.colours is None:
        array, depth = _unscaled(array, tags.bits), tags.bits
    wanted = tags.white_is_zero and not (labels and tags.bits > 1)
    nodata = tiff.negative_of(tags.nodata, array.dtype, depth) if wanted else tags.nodata
    if turned == wanted:
        return Decoded(array, nodata)
    if array.ndim == 3:  # the others are transparency, or other quantities
        array[..., 0] = tiff.negative(array[..., 0], depth)
    else:
        array = tiff.negative(array, depth)
    return Decoded(array, nodata)


def _unscaled(array: NDArray[Any], bits: int) -> NDArray[Any]:
    """The numbers of 2 or 4 bits as they are stored; Pillow has stretched them to 0..255."""
    return cast(NDArray[Any], array // np.uint8(255 // (2**bits - 1)))


def _to_array(image: Image.Image, path: Path, labels: bool) -> NDArray[Any]:
    mode = image.mode
    if mode in ("1", "L", "RGB"):
        return np.array(image)
    if mode in ("P", "PA"):
        if labels:
            return np.array(image.getchannel(0))
        return np.array(image.convert("RGBA"))[..., :3]  # by way of RGBA, or Pillow warns of transparency
    if mode in ("LA", "La"):
        return np.array(image.convert("LA"))[..., 0]
    if mode in ("RGBA", "RGBa", "RGBX"):
        return np.array(image.convert("RGBA"))[..., :3]
    if mode in ("CMYK", "YCbCr", "HSV"):
        return np.array(image.convert("RGB"))
    if mode in ("I", "F") or mode.startswith("I;16"):
        array = np.array(image)
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    raise ImageError(f"The image {path} has the colour mode {mode}, which is not supported. {RESAVE}")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"The image {path} has {width} x {height} = {width * height / 1e6:.0f} million pixels. "
            f"{_too_large_remedy()}"
        )


def _too_large_remedy() -> str:
    return f"At most {MAX_PIXELS // 1_000_000} million are read: scale it down or cut it into tiles."


def _guess(head: bytes) -> str:
    if head.startswith(b"version https://git-lfs"):
        return " but a Git LFS pointer: run `git lfs pull`"
    if head.lstrip()[:1] == b"<":
        return " (it begins like a web page: the download has failed)"
    return ""


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation of a loaded image; 1 (none) for a TIFF, which Pillow turns on loading."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:
        return 1  # the block is unreadable, the pixels are not: viewers show such a file unturned too
