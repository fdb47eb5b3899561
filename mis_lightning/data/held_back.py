"""Objects that are learned from, and others that are held back to measure what it was good for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.region_dataset import RegionDataset
from mis_lightning.errors import InputError
from mis_lightning.structures import Sample

FEWEST_IMAGES = 4
"""With fewer images, single objects are held back instead of all objects of some images."""


class Part(Benchmark):
    """Some objects of a benchmark.

    Args:
        whole: The benchmark.
        indices: Of the objects in it.
    """

    def __init__(self, whole: Benchmark, indices: Sequence[int]) -> None:
        self.name = whole.name  # type: ignore[misc]
        self.whole = whole
        self.indices = list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.whole[self.indices[index]]


class RegionsAsObjects(Benchmark):
    """Regions of images as objects to segment: what there is to measure with where there are no masks.

    Args:
        regions: Images, their regions, and how one is drawn; each item of its first epoch is an object.
        name: In tables.
    """

    def __init__(self, regions: RegionDataset, name: str = "regions") -> None:
        self.name = name  # type: ignore[misc]
        self.regions = regions

    def __len__(self) -> int:
        return len(self.regions)

    def __getitem__(self, index: int) -> Sample:
        image, region, _ = self.regions.region(0, index)
        key = self.regions.images[index % len(self.regions.images)].key
        return Sample(image, region, None, f"{key}#{index // len(self.regions.images)}")


def held_back(groups: Sequence[str], share: float, seed: int) -> list[bool]:
    """Which objects are held back: all those of some images, where there are images enough.

    Args:
        groups: The image of each object.
        share: Of the images, in [0, 1); rounded, but one at least.
        seed: Decides which.

    Returns:
        For each object, whether. None is where there is a single one, or ``share`` is 0.

    Raises:
        InputError: ``share`` is out of range.

    >>> held = held_back(["a", "a", "b", "b", "c", "c", "d", "d"], 0.25, 0)
    >>> sum(held), held[::2] == held[1::2]  # one image of four, with all its objects
    (2, True)
    """
    if not 0 <= share < 1:
        raise InputError(f"Expected the share that is held back in [0, 1), but got {share}.")
    names = list(dict.fromkeys(groups))
    units = list(groups) if len(names) >= FEWEST_IMAGES else [str(index) for index in range(len(groups))]
    distinct = list(dict.fromkeys(units))
    count = min(max(1, round(share * len(distinct))), len(distinct) - 1) if share else 0
    chosen = np.random.default_rng(seed).choice(len(distinct), max(count, 0), replace=False)
    kept = {distinct[index] for index in chosen}
    return [unit in kept for unit in units]


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` indices, evenly spaced.

    >>> evenly(10, 4), evenly(2, 4)
    ([0, 2, 5, 7], [0, 1])
    """
    return list(range(count)) if count <= most else [index * count // most for index in range(most)]
