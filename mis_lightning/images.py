"""Files on disk -> RGB arrays, label arrays and lists of files; the one place where pixels are rescaled.

Training, prediction and the page all read through :func:`read_image`, and what they hold in memory goes
through :func:`to_rgb`, so that a picture looks the same to the network everywhere.

Rules that hold for every file:

* 8-bit pixels are never rescaled; anything deeper (16-bit, 32-bit, float) is scaled by :func:`to_rgb`;
* grey is repeated three times, palettes are looked up, CMYK is converted without colour management, embedded
  colour profiles are ignored;
* transparency is dropped: the colours stored beneath it are kept, as OpenCV does in published evaluations;
* the EXIF orientation is applied, so the array is what a viewer shows;
* of a file with several frames or pages (GIF, TIFF, phone JPEG) the first is read;
* a damaged file is an error, never half a picture.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError
from mis_lightning.image_decoding import decode

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""Suffixes taken for images, in lower case."""


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

    def settings(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        differs = {name: value for name, value in asdict(self).items() if value != getattr(Reading, name)}
        return {"reading": differs} if differs else {}


def as_rgb(image: NDArray[Any] | Image.Image | str | Path, **options: Any) -> NDArray[np.uint8]:
    """Read whatever a user may hold as RGB.

    Args:
        image: A path; a PIL image (its EXIF orientation is not applied); or an array of any kind
            :func:`to_rgb` takes, RGB uint8 ``(H, W, 3)`` passes untouched.
        **options: ``window``, ``percentile`` and ``channels`` of :func:`to_rgb`.

    Returns:
        uint8 ``(H, W, 3)``; it may share its memory with an array handed in.

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
    array = read_array(path)
    try:
        return to_rgb(array, **options)
    except InputError as error:
        raise ImageError(f"{path}: {error}") from None


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
    return decode(Path(path), keep_palette=False)


def read_mask(path: str | Path) -> NDArray[Any]:
    """Read a label map with the values that are stored in the file.

    A palette file gives its indices (the labels, not their display colours), a colour file its first channel,
    a 1-bit file 0 and 1. Float files are accepted if every value is whole.

    Args:
        path: As in :func:`read_image`; a lossless format, for JPEG smears labels.

    Returns:
        Labels ``(H, W)``, an integer dtype as deep as the file (int32 for float files).

    Raises:
        ImageError: As in :func:`read_image`, or a float file with fractions, NaN or infinities.
    """
    labels = decode(Path(path), keep_palette=True)
    labels = labels[..., 0] if labels.ndim == 3 else labels
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


def to_rgb(
    array: NDArray[Any],
    window: tuple[float, float] | None = None,
    percentile: tuple[float, float] = (0.5, 99.5),
    channels: Sequence[int] | None = None,
) -> NDArray[np.uint8]:
    """Turn any image array into RGB bytes: the only rescaling of pixels in the package.

    uint8 passes untouched unless ``window`` is given, bool becomes 0 and 255, every other number is mapped
    linearly from ``[low, high]`` to 0..255 and clipped. ``low`` and ``high`` are the window, or else the two
    percentiles of the finite values, so that a few hot or dead pixels do not set the scale. If both
    percentiles coincide (an almost constant image) the smallest and largest value are used; a constant image
    becomes black. The percentiles are taken over all channels together, which keeps hues; with ``channels``
    each channel gets its own, because chosen channels of a stack are unlike quantities. NaN becomes 0,
    infinities the end of the scale on their side.

    Args:
        array: bool, integer or float. ``(H, W)`` or ``(H, W, 1)`` is grey; ``(H, W, 2)`` grey and a second
            channel that is dropped (alpha); ``(H, W, 3)`` RGB; ``(H, W, 4)`` RGB and a fourth channel that is
            dropped (alpha, infrared); ``(H, W, N)`` with ``channels``.
        window: ``(low, high)`` in the units of the array, e.g. ``(-160, 240)`` Hounsfield units.
        percentile: Lower and upper percentile in ``[0, 100]``; read only without ``window``.
        channels: One index (shown grey) or three (red, green, blue) into the last axis.

    Returns:
        uint8 ``(H, W, 3)``, C-contiguous; it may share its memory with ``array``.

    Raises:
        InputError: A shape, dtype, window, percentile or channel that does not fit.

    >>> to_rgb(np.array([[0, 1000, 2000]], dtype=np.uint16), window=(0, 2000))[0, :, 0].tolist()
    [0, 128, 255]
    """
    scaled: NDArray[Any]
    planes = _pick_channels(np.asarray(array), channels)
    if planes.dtype == np.bool_:
        scaled = planes.astype(np.uint8) * np.uint8(255)
    elif planes.dtype == np.uint8 and window is None:
        scaled = planes
    elif np.issubdtype(planes.dtype, np.integer) or np.issubdtype(planes.dtype, np.floating):
        groups = [planes] if channels is None else [planes[..., i : i + 1] for i in range(planes.shape[2])]
        scaled = np.concatenate([_stretch(group, window, percentile) for group in groups], axis=2)
    else:
        raise InputError(f"Expected an image of bool, integer or float values, but got dtype {planes.dtype}.")
    return np.ascontiguousarray(np.repeat(scaled, 3, axis=2) if scaled.shape[2] == 1 else scaled)


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
        images = [path for path in found if path.name.lower().endswith(suffixes)]
        if not images:
            raise DatasetNotFoundError(
                f"Expected images ({', '.join(suffixes)}) in {source} or below it, but found none: "
                f"it holds {_census(found)}."
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


def _pick_channels(array: NDArray[Any], channels: Sequence[int] | None) -> NDArray[Any]:
    """Reduce to ``(H, W, 1)`` or ``(H, W, 3)``."""
    planes = array[..., np.newaxis] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.size == 0:
        raise InputError(f"Expected an image of shape (H, W) or (H, W, channels), but got {array.shape}.")
    count = planes.shape[2]
    if channels is not None:
        if len(channels) not in (1, 3) or not all(0 <= index < count for index in channels):
            raise InputError(
                f"Expected `channels` to name 1 or 3 of the channels 0..{count - 1}, "
                f"but got {tuple(channels)}."
            )
        return planes[..., list(channels)]
    if count > 4:
        raise InputError(
            f"An image of shape {array.shape} has {count} channels on its last axis. Name one or three, "
            "e.g. channels=(0, 1, 2); if the channels come first, move them: np.moveaxis(array, 0, -1)."
        )
    return planes[..., : 3 if count >= 3 else 1]


def _stretch(
    values: NDArray[Any], window: tuple[float, float] | None, percentile: tuple[float, float]
) -> NDArray[np.uint8]:
    # float32 is exact for 16-bit integers and halves the memory; everything else needs float64.
    numbers: NDArray[Any] = values.astype(
        np.float32 if values.dtype.kind in "iu" and values.dtype.itemsize <= 2 else np.float64
    )
    low, high = value_range(numbers, percentile) if window is None else (float(window[0]), float(window[1]))
    if window is not None and not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"Expected `window` = (low, high) with low < high, but got {window}.")
    if high == low:
        return np.zeros(values.shape, dtype=np.uint8)
    np.clip(numbers, low, high, out=numbers)  # also brings infinities to the ends
    numbers -= low
    numbers *= 255.0  # before the division: whole numbers stay exact, so that every dtype rounds alike
    numbers /= high - low
    np.nan_to_num(numbers, copy=False, nan=0.0)
    scaled: NDArray[np.uint8] = np.rint(numbers).astype(np.uint8)
    return scaled


def value_range(numbers: NDArray[Any], percentile: tuple[float, float] = (0.5, 99.5)) -> tuple[float, float]:
    """The values that :func:`to_rgb` makes black and white where no window is given.

    Args:
        numbers: Integer or float, of any shape.
        percentile: As in :func:`to_rgb`.

    Returns:
        The two percentiles of the finite values; where they coincide, the smallest and largest value.

    Raises:
        InputError: The percentiles are out of order, or no value is finite.
    """
    if not 0 <= percentile[0] < percentile[1] <= 100:
        raise InputError(
            f"Expected `percentile` = (low, high) with 0 <= low < high <= 100, but got {percentile}."
        )
    finite = numbers[np.isfinite(numbers)]
    if finite.size == 0:
        raise InputError("The image holds no finite value (all are NaN or infinite).")
    low, high = (float(limit) for limit in np.percentile(finite, percentile))
    return (low, high) if low < high else (float(finite.min()), float(finite.max()))
