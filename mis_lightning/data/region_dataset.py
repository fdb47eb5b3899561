"""The training set: image + its regions -> augmented image, one region, sampled points.

Rule: docs/protocol.md#training-samples.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.data.training_images import TrainingImage
from mis_lightning.regions.shards import RegionShards
from mis_lightning.regions.source import RegionSource
from mis_lightning.regions.store import RegionStore


class Augmentation(Protocol):
    """Changes an image and its region together."""

    def __call__(
        self, image: NDArray[np.uint8], mask: NDArray[np.bool_], generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return image ``(size, size, 3)`` and mask ``(size, size)`` of the network's input size."""
        ...


class TrainingSample(TypedDict):
    """One training sample, as arrays; the loader stacks them to tensors."""

    image: NDArray[np.uint8]  # (3, H, W)
    mask: NDArray[np.bool_]  # (1, H, W)
    points: NDArray[np.float32]  # (2K, 3)


class RegionDataset(Dataset[TrainingSample]):
    """Regions drawn on the fly from a store.

    Items are asked for as ``(epoch, index)``; the same pair gives the same sample whatever process makes it.

    Args:
        images: The images.
        store: Their regions.
        source: Draws one of an image's regions.
        augment: Joint augmentation of image and region.
        points: Sampler of the initial points.
        regions_per_image: Regions drawn from each image in an epoch.
        min_object_area: Smaller regions, in pixels after augmentation, become empty
            (docs/protocol.md#one-sample); no point falls on them.
        keep_background: Chance to keep an augmentation that lost the region, rather than augment the same
            region again (docs/protocol.md#one-sample); above 0.
        seed: Decides, with the epoch and the image's key, everything random here.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        store: RegionStore | RegionShards,
        source: RegionSource,
        augment: Augmentation,
        points: InitialPoints,
        regions_per_image: int = 1,
        min_object_area: int = 80,
        keep_background: float = 0.01,
        seed: int = 0,
    ) -> None:
        self.images = images
        self.store = store
        self.source = source
        self.augment = augment
        self.points = points
        self.regions_per_image = regions_per_image
        self.min_object_area = min_object_area
        self.keep_background = keep_background
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images) * self.regions_per_image

    def region(
        self, epoch: int, index: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], np.random.Generator]:
        """Return image ``(H, W, 3)``, region ``(H, W)``, and the generator as the draw left it."""
        number, repeat = index % len(self.images), index // len(self.images)
        key = self.images[number].key
        generator = np.random.default_rng([self.seed, epoch, repeat, zlib.crc32(os.fsencode(key))])
        image = self.images[number].read()
        region = self.source.draw(self.store.load(key), (image.shape[0], image.shape[1]), generator)
        return image, region, generator

    def __getitem__(self, item: Any) -> TrainingSample:
        epoch, index = item
        image, region, generator = self.region(epoch, index)
        while True:
            augmented, mask = self.augment(image, region, generator)
            if mask.any() or not region.any() or generator.random() < self.keep_background:
                break
        dropped = None
        if 0 < np.count_nonzero(mask) < self.min_object_area:
            mask, dropped = np.zeros_like(mask), mask
        return {
            "image": np.ascontiguousarray(augmented.transpose(2, 0, 1)),
            "mask": mask[None],
            "points": self.points(mask, generator, dropped),
        }
