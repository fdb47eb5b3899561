"""A benchmark's folder -> one :class:`~mis_lightning.structures.Sample` per object, as published.

Rule: docs/protocol.md#benchmarks.

Every class takes ``root``, the benchmark's own folder or the folder above it, and refuses a set whose counts
differ from the published ones unless ``allow_incomplete=True``; then it warns and ``comparable`` is false.
Order and masks follow the evaluation code of RITM, SimpleClick and MIS exactly. SBD and OAI-ZIB, which hold
several objects per image, live in their own files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmark_folders import (
    check_count,
    check_size,
    find_folder,
    is_marked_not_comparable,
    pair_by_stem,
    read_levels,
)
from mis_lightning.data.oaizib import OAIZIB
from mis_lightning.data.sbd import SBD
from mis_lightning.images import read_image
from mis_lightning.structures import Sample

__all__ = ["BENCHMARKS", "DAVIS", "OAIZIB", "SBD", "Benchmark", "Berkeley", "BraTS", "GrabCut"]


class _FolderBenchmark(Benchmark):
    """One folder of images, one of masks, one object per image; subclasses say how masks are read."""

    name: ClassVar[str]
    expected_images: ClassVar[int]
    expected_count: ClassVar[int | None]
    _folders: ClassVar[tuple[str, str]]
    _inner: ClassVar[tuple[str, ...]]

    def __init__(self, root: str | Path, *, allow_incomplete: bool = False) -> None:
        """Find and count the files.

        Args:
            root: The folder drawn above, or the folder that holds it.
            allow_incomplete: Accept other counts than the published ones, with a warning.

        Raises:
            DatasetNotFoundError: Folders are missing, masks are missing or the count differs.
        """
        self.folder = find_folder(self.name, root, self._folders, self._inner)
        images, masks = (self.folder / folder for folder in self._folders)
        self._pairs = pair_by_stem(self.name, images, masks, allow_incomplete=allow_incomplete)
        complete = check_count(
            self.name,
            "images with masks",
            len(self._pairs),
            self.expected_images,
            self.folder,
            allow_incomplete=allow_incomplete,
        )
        self.comparable = complete and not is_marked_not_comparable(self.folder)

    def __len__(self) -> int:
        """Count the objects."""
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        """Read one object.

        Args:
            index: Position in the published order.

        Raises:
            ImageError: A file cannot be read, or image and mask differ in size.
        """
        name, image_path, mask_path = self._pairs[index]
        image, levels = read_image(image_path), read_levels(mask_path)
        check_size(image, image_path, levels, mask_path)
        mask, ignore = self._split(levels)
        return Sample(image, mask, ignore, name)

    @staticmethod
    def _split(levels: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
        """Levels ``(H, W, channels)`` -> object and ignored pixels, each bool ``(H, W)``."""
        raise NotImplementedError


class GrabCut(_FolderBenchmark):
    """GrabCut: 50 photographs, one object each (Rother et al., SIGGRAPH 2004).

    ::

        GrabCut/
        ├── data_GT/       50 images, e.g. 106024.jpg, banana1.bmp
        └── boundary_GT/   50 masks of the same stems, e.g. 106024.bmp, banana1.bmp

    First channel of a mask: 128 is ignored (the uncertain border), above 128 is the object, the rest is
    background.
    """

    name = "GrabCut"
    expected_images = 50
    expected_count: ClassVar[int | None] = 50
    _folders = ("data_GT", "boundary_GT")
    _inner = ("GrabCut",)

    @staticmethod
    def _split(levels: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
        ignore = levels[..., 0] == 128
        return levels[..., 0] > 128, ignore if ignore.any() else None


class Berkeley(GrabCut):
    """Berkeley: 100 objects, one mask file each, on 96 photographs (McGuinness & O'Connor, 2010).

    ::

        Berkeley/
        ├── images/   100 images; a photograph with two objects is there twice: 189011a.jpg, 189011b.jpg
        └── masks/    100 masks of the same stems, e.g. 189011a.png

    Masks are read by the rule of :class:`GrabCut`.
    """

    name = "Berkeley"
    expected_images = 100
    expected_count: ClassVar[int | None] = 100
    _folders = ("images", "masks")
    _inner = ("Berkeley",)


class DAVIS(_FolderBenchmark):
    """DAVIS: 345 video frames, all objects of a frame as one (Perazzi et al., CVPR 2016).

    ::

        DAVIS/            or DAVIS345/, as the archive of RITM unpacks
        ├── img/   345 frames, e.g. 000.jpg
        └── gt/    345 masks of the same stems, e.g. 000.png

    The object is every pixel of a mask that is not black, in any channel.
    """

    name = "DAVIS"
    published_size: ClassVar[tuple[int, int] | None] = (672, 672)
    expected_images = 345
    expected_count: ClassVar[int | None] = 345
    _folders = ("img", "gt")
    _inner = ("DAVIS", "DAVIS345")

    @staticmethod
    def _split(levels: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
        return levels.max(axis=2) > 0, None


class BraTS(_FolderBenchmark):
    """BraTS: one slice of each of the 369 training cases of BraTS 2020, whole tumour (slices of SimpleClick).

    ::

        BraTS20/
        ├── image/               369 slices, *.png
        ├── annotation/          369 masks of the same stems, *.png
        └── NOT_COMPARABLE.txt   only where `mis prepare BraTS` cut the slices: see `comparable`

    The object is every pixel whose first channel is above 0.
    """

    name = "BraTS"
    expected_images = 369
    expected_count: ClassVar[int | None] = 369
    _folders = ("image", "annotation")
    _inner = ("BraTS", "BraTS20", "BraTS2020")

    @staticmethod
    def _split(levels: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
        return levels[..., 0] > 0, None


BENCHMARKS: dict[str, Callable[..., Benchmark]] = {
    "GrabCut": GrabCut,
    "Berkeley": Berkeley,
    "SBD": SBD,
    "DAVIS": DAVIS,
    "BraTS": BraTS,
    "OAIZIB": OAIZIB,
}
"""The six benchmarks by name, in the order of the published tables."""
