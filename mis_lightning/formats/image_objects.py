"""The objects of one image, one interface over label maps and encoded masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import ImageError, InputError
from mis_lightning.formats.binary_png import read_binary_png
from mis_lightning.formats.label_png import VOID, marks_void
from mis_lightning.formats.named_masks import NamedMasks
from mis_lightning.formats.rle import decode_rle, rle_area
from mis_lightning.instance_maps import read_instances

_SMOOTH, _FLAT = 0.9, 0.1
"""An 8-bit file of many levels is a smoothed mask, not a label map, where 0 and 255 have the first share
of it and, of the other pixels, fewer than the second are like the next ones: those of objects are."""


class ImageObjects(ABC):
    """The objects of one image.

    Attributes:
        shape: ``(H, W)``.
    """

    shape: tuple[int, int]

    @property
    @abstractmethod
    def areas(self) -> Mapping[str, int]:
        """Pixels of each object, by its name in the file, in the order of the file."""

    @abstractmethod
    def mask(self, name: str) -> NDArray[np.bool_]:
        """The mask of an object, bool, ``(H, W)``."""

    @property
    @abstractmethod
    def ignore(self) -> NDArray[np.bool_] | None:
        """Pixels that do not count, bool, ``(H, W)``; ``None`` where there are none."""


class LabelledObjects(ImageObjects):
    """The objects of a label map, named by their numbers.

    Args:
        labels: Integers, ``(H, W)``; 0 is no object.
        ignored: The number of pixels that do not count.
    """

    def __init__(self, labels: NDArray[np.integer], ignored: int | None = None) -> None:
        self.labels, self.ignored = labels, ignored
        self.shape = (labels.shape[0], labels.shape[1])

    @cached_property
    def areas(self) -> Mapping[str, int]:
        """Pixels of each number."""
        numbers, counts = np.unique(self.labels, return_counts=True)
        kept = (numbers != 0) & (numbers != (0 if self.ignored is None else self.ignored))
        return {str(int(k)): int(n) for k, n in zip(numbers[kept], counts[kept], strict=True)}

    def mask(self, name: str) -> NDArray[np.bool_]:
        """The pixels of a number."""
        return np.asarray(self.labels == int(name))

    @property
    def ignore(self) -> NDArray[np.bool_] | None:
        """The pixels of the ignored number."""
        holes = self.labels == self.ignored if self.ignored is not None else None
        return holes if holes is not None and holes.any() else None


class EncodedObjects(ImageObjects):
    """Encoded masks, which may overlap.

    Args:
        masks: The masks; crowds become pixels that do not count.
        names: Of the objects; ``None``: their places in the list, from 1.
    """

    def __init__(self, masks: NamedMasks, names: Sequence[str] | None = None) -> None:
        self.shape = masks.shape
        called = names if names is not None else [str(k) for k in range(1, len(masks.objects) + 1)]
        pairs = list(zip(called, masks.objects, strict=True))
        self._counts = {name: one.counts for name, one in pairs if not one.crowd}
        self._crowds = [one.counts for _, one in pairs if one.crowd]

    @cached_property
    def areas(self) -> Mapping[str, int]:
        """Pixels of each mask."""
        return {name: rle_area(counts) for name, counts in self._counts.items()}

    def mask(self, name: str) -> NDArray[np.bool_]:
        """The mask of this name."""
        return decode_rle(self._counts[name], self.shape)

    @property
    def ignore(self) -> NDArray[np.bool_] | None:
        """The crowds."""
        if not self._crowds:
            return None
        return np.logical_or.reduce([decode_rle(counts, self.shape) for counts in self._crowds])


def read_label_file(path: Path, ignored: int | None = None) -> LabelledObjects:
    """Read one file of all objects of an image: a label map, or a mask of one object.

    Args:
        path: PNG, TIFF and the like, or ``.mat`` as SBD has it.
        ignored: The number of pixels that do not count; without it 255 in files with the palette of Pascal
            VOC.

    Raises:
        ImageError: The file cannot be read, or is no label map.
    """
    labels = read_instances(path)
    frames = _frames(path)
    if frames > 1:
        raise ImageError(
            f"Expected one map of labels in {path}, but it holds {frames} pages or frames. Save each as a "
            "file, or all objects as one map with a number for each."
        )
    if ignored is None and marks_void(path):
        ignored = VOID
    numbers, counts = np.unique(labels, return_counts=True)
    below = numbers[(numbers < 0) & (numbers != (0 if ignored is None else ignored))]
    if len(below):
        raise ImageError(
            f"Expected labels from 0 on in {path}, but got {below[0]}. Where it marks pixels that do not "
            f"count, say so: `ignore_label` (--ignore-label={below[0]})."
        )
    ends = counts[(numbers == 0) | (numbers == 255)].sum()
    levels = labels.dtype == np.uint8 and ignored is None and len(numbers) > 8 and {0, 255} <= set(numbers)
    if levels and ends > _SMOOTH * labels.size and _flat(labels) < _FLAT:
        raise ImageError(
            f"Expected a map of labels in {path}, but its {len(numbers)} grey levels are those of a mask "
            "with soft edges. Cut it at a threshold: 0 outside, 255 inside."
        )
    return LabelledObjects(labels, ignored)


def _flat(labels: NDArray[np.integer]) -> float:
    """Of the pixels between 0 and 255, the share that has the value of the next to the right and below."""
    between = (labels > 0) & (labels < 255)
    alike = between[:-1, :-1] & (labels[:-1, :-1] == labels[1:, :-1]) & (labels[:-1, :-1] == labels[:-1, 1:])
    return float(alike.sum()) / max(1, int(between.sum()))


def _frames(path: Path) -> int:
    """Frames of a GIF, pages of a TIFF; smaller pages, such as a thumbnail, do not count."""
    if path.suffix.lower() not in (".tif", ".tiff", ".gif"):
        return 1
    if path.suffix.lower() == ".gif":
        with Image.open(path) as image:
            return int(getattr(image, "n_frames", 1))
    from tifffile import TiffFile  # a quarter of a second, and PNG does without

    with TiffFile(path) as file:
        whole = file.pages.first.shape
        return sum(page.shape == whole for page in file.pages)


def read_mask_files(paths: Mapping[str, Path]) -> EncodedObjects:
    """Read files of one object each.

    Args:
        paths: The files of one image, by the names of their objects; at least one.

    Raises:
        InputError: A file cannot be read, is no mask, or differs from the others in size.
    """
    found: list[tuple[str, NDArray[np.bool_]]] = []
    for name, path in paths.items():
        found.append((name, read_binary_png(path)))
        first, shape = found[0][1].shape, found[-1][1].shape
        if shape != first:
            raise InputError(
                f"Expected the masks of one image to be of one size, but {path} has {shape[0]} rows and "
                f"{shape[1]} columns, and {next(iter(paths.values()))} has {first[0]} and {first[1]}."
            )
    shape = (found[0][1].shape[0], found[0][1].shape[1])
    return EncodedObjects(NamedMasks.of("", found, shape), [name for name, _ in found])
