"""Which pages of a TIFF file are the slices of a volume, and what the axes mean.

The pages are slices where all are of one size and kind. What they differ in is taken from ImageJ, OME or
tifffile where the file says it; the first page alone counts where they are channels of one image.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import Note
from mis_lightning.tiff import MAGIC

if TYPE_CHECKING:
    from tifffile import TiffFile

_TURNED = (5, 6, 7, 8)  # orientations that exchange rows and columns


@dataclass(frozen=True)
class StackLayout:
    """Where the slices of a stack are in its file.

    Attributes:
        axis: What tells the slices apart: Z, T, or another letter of tifffile.
        others: What else does, such as T beside Z, and how many there are of each.
        pages: Numbers of the pages of each slice, one for each channel, int, ``(slices, channels)``.
        shape: ``(H, W)``.
        dtype: Of the pixels.
        samples: Of a pixel of one page.
        spacing: Distance of slices, rows and columns, in ``unit``; 1 where the file does not say.
        unit: Of the spacing; ``None`` where the file does not say.
    """

    axis: str
    others: tuple[tuple[str, int], ...]
    pages: NDArray[np.intp]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    samples: int
    spacing: tuple[float, float, float]
    unit: str | None


def stack_layout(path: Path) -> StackLayout | None:
    """Where the slices of a stack are; ``None``: the file is not there, or is no TIFF of several slices.

    Pages that differ in size or kind are no slices: there the first one is an image, and that is said. So are
    pages that are the channels of one image. The file is looked at once for each state of it.
    """
    try:
        status = path.stat()
        return _layout(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _layout(path: Path, changed: int, size: int) -> StackLayout | None:
    with path.open("rb") as file:
        if file.read(4) not in MAGIC:
            return None
    from tifffile import TiffFile

    try:
        with _quiet(), TiffFile(path, _multifile=False) as tiff:
            return _of(tiff, path)
    except OSError:
        raise
    except Exception:  # tifffile raises almost anything on damaged data
        return None  # whoever reads it as an image says what is wrong


def _of(tiff: TiffFile, path: Path) -> StackLayout | None:
    first: Any = tiff.pages[0]
    count = len(tiff.pages)
    if count == 1 and not tiff.is_imagej:
        return None
    axes, numbers = _axes(tiff, count)
    if axes is None:
        _note(path, f"its {count} pages differ in size or kind")
        return None
    told = [(axis, length) for axis, length in axes if axis != "C" and length > 1]
    channels = math.prod(length for axis, length in axes if axis == "C")
    if not told:
        if channels > 1:
            _note(path, f"its {count} pages are the channels of one image")
        return None
    # slices first, channels last
    order = [i for i, (axis, _) in enumerate(axes) if axis != "C"]
    order += [i for i, (axis, _) in enumerate(axes) if axis == "C"]
    pages = numbers.reshape([length for _, length in axes]).transpose(order).reshape(-1, channels)
    main = next((one for one in told if one[0] == "Z"), told[0])
    others = tuple(one for one in told if one is not main)
    height, width = first.imagelength, first.imagewidth
    turned = first.tags.valueof(274, 1) in _TURNED
    try:
        spacing, unit = _spacing(tiff)
    except Exception:  # XML that is no OME, numbers that are none: the pixels are there all the same
        spacing, unit = (1.0, 1.0, 1.0), None
    return StackLayout(
        main[0],
        others,
        pages if not others else pages[: main[1]],
        (width, height) if turned else (height, width),
        np.dtype(first.dtype).newbyteorder("="),
        first.samplesperpixel,
        spacing,
        unit,
    )


def _axes(tiff: TiffFile, count: int) -> tuple[list[tuple[str, int]] | None, NDArray[np.intp]]:
    """What the pages differ in, and the number of the page at each place, in the same order.

    ``None`` for the axes: the pages are not of one size and kind.
    """
    first, series = tiff.pages[0], tiff.series
    if len(series) == 1:
        (one,) = series
        axes = [(axis, n) for axis, n in zip(one.axes, one.shape, strict=True) if axis not in "SYX"]
        planes = math.prod(n for _, n in axes)
        end = first.dataoffsets[0] + planes * first.nbytes
        numbers = np.arange(planes)
        if one.kind == "ome":  # which may have its pages in any order; those of other files are None
            numbers = np.array([page.index for page in one.pages if page is not None], np.intp)
        behind = count == 1 and first.compression == 1 and end <= tiff.filehandle.size
        if planes == len(numbers) and (planes == count or behind):
            return axes, numbers
    alike = len({page.hash for page in tiff.pages}) == 1
    return [("I", count)] if alike else None, np.arange(count)


def _spacing(tiff: TiffFile) -> tuple[tuple[float, float, float], str | None]:
    """Distance of slices, rows and columns, and its unit, as ImageJ or OME programs have written them."""
    if tiff.is_imagej:
        said = tiff.imagej_metadata or {}
        first: Any = tiff.pages[0]
        down, right = (_inverse(first.tags.valueof(tag)) for tag in (283, 282))
        unit = said.get("unit")
        return (_positive(said.get("spacing")), down, right), unit and str(unit).replace("\\u00B5", "µ")
    if tiff.is_ome:
        from tifffile import xml2dict

        images = xml2dict(tiff.ome_metadata or "")["OME"]["Image"]
        pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
        apart, down, right = (_positive(pixels.get(f"PhysicalSize{axis}")) for axis in "ZYX")
        return (apart, down, right), pixels.get(
            "PhysicalSizeXUnit", "µm"
        ) if "PhysicalSizeX" in pixels else None
    return (1.0, 1.0, 1.0), None


def _inverse(fraction: tuple[int, int] | None) -> float:
    return _positive(fraction[1] / fraction[0]) if fraction and fraction[0] else 1.0


def _positive(number: object) -> float:
    try:
        value = float(str(number))
    except ValueError:
        return 1.0
    return value if math.isfinite(value) and value > 0 else 1.0


def _note(path: Path, why: str) -> None:
    warnings.warn(f"{path} is read as one image, its first page: {why}.", Note, stacklevel=2)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of tifffile on files that it doubts; they are looked at here."""
    log = logging.getLogger("tifffile")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
