"""The training set: image + its regions -> augmented image, one region, sampled points.

Rule: docs/protocol.md#training-samples.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mis_lightning.data.training_images import TrainingImage
from mis_lightning.data.training_sample import SampleMaker, TrainingSample
from mis_lightning.regions.shards import RegionShards
from mis_lightning.regions.source import RegionSource
from mis_lightning.regions.store import RegionStore


class RegionDataset(Dataset[TrainingSample]):
    """Regions drawn on the fly from a store.

    Items are asked for as ``(epoch, index)``; the same pair gives the same sample whatever process makes it.

    Args:
        images: The images.
        store: Their regions.
        source: Draws one of an image's regions.
        make: Augments, and samples the initial points.
        regions_per_image: Regions drawn from each image in an epoch.
        seed: Decides, with the epoch and the image's key, everything random here.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        store: RegionStore | RegionShards,
        source: RegionSource,
        make: SampleMaker,
        regions_per_image: int = 1,
        seed: int = 0,
    ) -> None:
        self.images = images
        self.store = store
        self.source = source
        self.make = make
        self.regions_per_image = regions_per_image
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
        return self.make(*self.region(epoch, index))
