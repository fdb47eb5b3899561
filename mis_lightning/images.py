"""Files on disk -> RGB arrays, label arrays and lists of files.

Training, prediction and the page all read through :func:`read_image`, and what they hold in memory goes
through :func:`~mis_lightning.grey_levels.to_rgb`, so that a picture looks the same to the network everywhere.

Rules that hold for every file:

* 8-bit pixels are never rescaled; anything deeper (16-bit, 32-bit, float) is scaled by :func:`to_rgb`;
* values that a GeoTIFF declares as no data are left out of the scaling and become black, as NaN does;
* where white is zero (TIFF), the picture is turned, in every depth;
* grey is repeated three times, palettes are looked up, CMYK is converted without colour management, embedded
  colour profiles are ignored;
* transparency is dropped: the colours stored beneath it are kept, as OpenCV does in published evaluations;
* the EXIF orientation is applied, so the array is what a viewer shows;
* of a file with several frames or pages (GIF, TIFF, phone JPEG) the first is read; what takes volumes takes
  pages of one size and kind for the slices of one (:class:`~mis_lightning.formats.tiff_stack.TiffSlices`);
* a damaged file is an error, never half a picture.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError, Note
from mis_lightning.grey_levels import to_rgb
from mis_lightning.image_decoding import decode

IMAGE_SUFFIXES = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""Suffixes taken for images, in lower case."""
_NOT_READ = (".cr2", ".dcm", ".dng", ".exr", ".heic", ".heif", ".jxl", ".nef", ".psd", ".svs")


class ReadImage(NamedTuple):
    """An image as it was read, and what it was read from.

    Attributes:
        rgb: uint8, ``(H, W, 3)``.
        checksum: CRC-32 of the pixels that the file stores: the same whatever window or channels are shown.
        reading: How they became RGB, where it differs from the defaults, as JSON values.
    """

    rgb: NDArray[np.uint8]
    checksum: int
    reading: dict[str, Any]


def checksum(stored: NDArray[Any]) -> int:
    """CRC-32 of an array."""
    return zlib.crc32(np.ascontiguousarray(stored).data)


@dataclass(frozen=True)
class Reading:
    """How images become RGB bytes, the same for training and prediction: the arguments of :func:`to_rgb`.

    Attributes:
        window: ``(low, high)`` in the units of the file.
        percentile: Lower and upper percentile in ``[0, 100]``; read only without ``window``.
        channels: One index or three into the channels of a file.
    """

    window: tuple[float, float] | None = None
    percentile: tuple[float, float] = (0.5, 99.5)
    channels: tuple[int, ...] | None = None

    def __call__(self, image: NDArray[Any] | Image.Image | str | Path) -> NDArray[np.uint8]:
        """Read an image of any kind as RGB, as :func:`as_rgb` does."""
        return as_rgb(image, window=self.window, percentile=self.percentile, channels=self.channels)

    def read(self, image: NDArray[Any] | Image.Image | str | Path) -> ReadImage:
        """Read an image of any kind as RGB, with what tells its pixels from others' whatever the reading.

        Raises:
            InputError: As :func:`as_rgb`.
        """
        if isinstance(image, (str, Path)):
            stored, nodata = decode(Path(image), labels=False)
            rgb = _named(image, stored, nodata, asdict(self))
        else:
            stored, rgb = np.asarray(image), self(image)
        return ReadImage(rgb, checksum(stored), self.settings().get("reading", {}))

    def settings(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        values = {name: _as_list(value) for name, value in asdict(self).items()}
        differs = {name: value for name, value in values.items() if value != _as_list(getattr(Reading, name))}
        return {"reading": differs} if differs else {}

    @classmethod
    def from_settings(cls, differs: Mapping[str, Any]) -> Reading:
        """The reading of :attr:`ReadImage.reading`.

        Raises:
            InputError: It is none.
        """
        names = {"window", "percentile", "channels"}
        sound = differs.keys() <= names and all(
            isinstance(value, list) and all(type(one) in (int, float) for one in value)
            for value in differs.values()
        )
        if not sound:
            raise InputError(
                f"Expected window, percentile or channels of a reading, but got {dict(differs)}."
            )
        return cls(**{name: tuple(value) for name, value in differs.items()})


def as_rgb(image: NDArray[Any] | Image.Image | str | Path, **options: Any) -> NDArray[np.uint8]:
    """Read whatever a user may hold as RGB.

    Args:
        image: A path; a PIL image (its EXIF orientation is not applied); or an array of any kind
            :func:`to_rgb` takes, RGB uint8 ``(H, W, 3)`` passes untouched.
        **options: ``window``, ``percentile`` and ``channels`` of :func:`to_rgb`.

    Returns:
        uint8 ``(H, W, 3)``; it may share memory with the input array.

    Raises:
        InputError: It cannot be read or has an unexpected shape.
    """
    if isinstance(image, (str, Path)):
        return read_image(image, **options)
    if isinstance(image, Image.Image):
        deep = image.mode in ("F", "I") or image.mode.startswith("I;16")
        return to_rgb(np.asarray(image if deep else image.convert("RGB")), **options)
    return to_rgb(image, **options)


def read_image(path: str | Path, **options: Any) -> NDArray[np.uint8]:
    """Read an image file as RGB.

    Args:
        path: A file of any format Pillow reads, or a 16/32/64-bit colour TIFF or PNG.
        **options: ``window``, ``percentile`` and ``channels`` of :func:`to_rgb`.

    Returns:
        uint8 ``(H, W, 3)``; deeper pixels are scaled by :func:`to_rgb`.

    Raises:
        ImageError: The file is missing, empty, damaged, not an image, or larger than
            ``mis_lightning.image_decoding.MAX_PIXELS``.
    """
    decoded = decode(Path(path), labels=False)
    return _named(path, decoded.array, decoded.nodata, options)


def _named(
    path: str | Path, stored: NDArray[Any], nodata: float | None, options: dict[str, Any]
) -> NDArray[np.uint8]:
    try:
        return to_rgb(stored, nodata=nodata, **options)
    except InputError as error:
        raise ImageError(f"{path}: {error}") from None


def _as_list(value: tuple[Any, ...] | None) -> list[Any] | None:
    return None if value is None else list(value)


def read_array(path: str | Path) -> NDArray[Any]:
    """Read an image file without rescaling its values, e.g. to hand it to :func:`to_rgb` with a window.

    Args:
        path: As in :func:`read_image`.

    Returns:
        ``(H, W)`` for grey files, ``(H, W, 3)`` RGB for colour and palette files, ``(H, W, N)`` for TIFF of
        other channels, in the depth of the file: bool, uint8, uint16, int32, float32, ...

    Raises:
        ImageError: As in :func:`read_image`.
    """
    return decode(Path(path), labels=False).array


def read_mask(path: str | Path) -> NDArray[Any]:
    """Read a label map with the values that are stored in the file.

    A palette file gives its indices (the labels, not their display colours), a colour file that holds greys
    its one channel, a 1-bit file 0 and 1. Float files are accepted if every value is whole.

    Args:
        path: As in :func:`read_image`; a lossless format, for JPEG smears labels.

    Returns:
        Labels ``(H, W)``, an integer dtype as deep as the file (int32 for float files).

    Raises:
        ImageError: As in :func:`read_image`; a file of colours; or a float file with fractions, NaN or
            infinities.
    """
    labels = decode(Path(path), labels=True).array
    if labels.ndim == 3:
        if (labels != labels[..., :1]).any():
            raise ImageError(
                f"Expected a map of labels in {path}, one number at each pixel, but it holds colours. Save "
                "the number of each object instead, as a grey or palette PNG or TIFF."
            )
        labels = labels[..., 0]
    if labels.dtype == np.bool_:
        return labels.astype(np.uint8)
    if np.issubdtype(labels.dtype, np.floating):
        whole = np.zeros(labels.shape, dtype=np.int32)
        np.copyto(whole, labels, where=np.abs(labels) < 2**31, casting="unsafe")  # NaN compares false
        if not np.array_equal(whole, labels):
            raise ImageError(
                f"Expected whole numbers in the mask {path}, but it holds fractions, NaN or infinities. "
                "Save the labels as integers."
            )
        return whole
    return np.ascontiguousarray(labels)


def list_images(source: str | Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """List image files, always in the same order.

    Args:
        source: One of

            * a folder: every file below it with one of the suffixes in any case, links followed,
              sorted by the path inside the folder (by character code, upper case first); hidden files and
              folders (``.name``) and ``__MACOSX`` are left out;
            * an image file: the list of that one;
            * a text file: one path per line, absolute or relative to the text file's folder, in the order of
              the lines; empty lines and lines that start with ``#`` are skipped.
        suffixes: What ends the names of images, in lower case.

    Returns:
        At least one path.

    Raises:
        DatasetNotFoundError: ``source`` does not exist, holds no image, or lists a file that does not exist.
    """
    source = Path(source)
    if source.is_dir():
        found = sorted(_walk(source), key=lambda path: path.relative_to(source).as_posix())
        named = [path for path in found if path.name.lower().endswith(suffixes)]
        gone = {path for path in named if path.is_symlink() and not os.path.exists(path)}
        images = [path for path in named if path not in gone]
        if not images:
            raise DatasetNotFoundError(
                f"Expected images ({', '.join(suffixes)}) in {source} or below it, but found none: "
                f"it holds {_census(found)}."
            )
        if gone:
            warnings.warn(
                f"Left out of {source}: links that lead nowhere ({len(gone)}, the first is "
                f"{min(gone).relative_to(source)}).",
                Note,
                stacklevel=2,
            )
        unread = [path for path in found if path.name.lower().endswith(_NOT_READ)]
        if unread:
            warnings.warn(
                f"Left out of {source}: {_census(unread)}, which cannot be read. Save them as PNG or TIFF.",
                Note,
                stacklevel=2,
            )
        return images
    if not source.exists():
        parent = next(folder for folder in source.absolute().parents if folder.is_dir())
        raise DatasetNotFoundError(
            f"Expected a folder of images, an image or a text file with one path per line, but {source} does "
            f"not exist. The nearest folder that does, {parent}, holds {_census(list(parent.iterdir()))}."
        )
    if source.name.lower().endswith(suffixes):
        return [source]
    return _read_list(source, suffixes)


def common_folder(paths: Sequence[Path]) -> Path:
    """The folder that all of some files are in, absolute.

    Raises:
        InputError: There is none: they are on several drives.
    """
    try:
        return Path(os.path.commonpath([path.absolute().parent for path in paths]))
    except ValueError:
        raise InputError(
            f"Expected images below one folder, but {paths[0]} and others are on several drives. Make a list "
            "for each."
        ) from None


def _read_list(source: Path, suffixes: tuple[str, ...]) -> list[Path]:
    try:
        lines = [line.strip() for line in source.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise DatasetNotFoundError(
            f"Expected an image ({', '.join(suffixes)}) or a text file with one path per line, "
            f"but {source} is neither."
        ) from None
    images = [source.parent / line for line in lines if line and not line.startswith("#")]
    if not images:
        raise DatasetNotFoundError(f"Expected one image path per line in {source}, but it lists none.")
    missing = [path for path in images if not path.is_file()]
    if missing:
        raise DatasetNotFoundError(
            f"{len(missing)} of the {len(images)} files listed in {source} do not exist, the first is "
            f"{missing[0]}. Paths are absolute or relative to {source.parent}."
        )
    return images


def _walk(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()  # real paths, so that a link to a parent folder ends
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield from (Path(place, name) for name in files if not name.startswith("."))


def _census(paths: Sequence[Path]) -> str:
    """Say what lies there: ``"2 folders, 14 .mat, 1 .txt"``."""
    counts = Counter(
        "folders" if path.is_dir() else path.suffix.lower() or "without suffix" for path in paths
    )
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common(6)) or "nothing"
