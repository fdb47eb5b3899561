"""A training set of objects with true masks.

Rule: docs/protocol.md#training-samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.training_sample import SampleMaker, TrainingSample
from mis_lightning.errors import InputError


class ObjectDataset(Dataset[TrainingSample]):
    """The objects of a benchmark, each as often as any other.

    Items are asked for as ``(epoch, index)``; the same pair gives the same sample whatever process makes it.
    What a benchmark leaves out of its measure (``ignore``) is background here.

    Args:
        objects: Images and masks.
        make: Augments, and samples the initial points.
        views_per_object: Samples of each object in an epoch.
        seed: Decides, with the epoch and the index, everything random here.

    Raises:
        InputError: There is no object.
    """

    def __init__(
        self, objects: Benchmark, make: SampleMaker, views_per_object: int = 1, seed: int = 0
    ) -> None:
        if len(objects) == 0:
            raise InputError(f"Expected objects to learn from in {objects.name}, but there is none.")
        self.objects = objects
        self.make = make
        self.views_per_object = views_per_object
        self.seed = seed

    def __len__(self) -> int:
        return len(self.objects) * self.views_per_object

    def __getitem__(self, item: Any) -> TrainingSample:
        epoch, index = item
        generator = np.random.default_rng([self.seed, epoch, index])
        sample = self.objects[index % len(self.objects)]
        return self.make(sample.image, sample.mask, generator)
