"""Several training sets as one: each sample comes from one of them, by its share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mis_lightning.data.object_dataset import ObjectDataset
from mis_lightning.data.region_dataset import RegionDataset
from mis_lightning.data.training_sample import TrainingSample
from mis_lightning.errors import InputError

_REPEATS = 1 << 31  # draws of one image or object in one epoch that are told apart


class WeightedSets(Dataset[TrainingSample]):
    """Draws a set by its share, then one of its images or objects, all alike, then a sample as the set does.

    Items are asked for as ``(epoch, index)``; the same pair gives the same sample whatever process makes it.

    Args:
        sets: What to draw from.
        shares: How often each is drawn from, relative to the others.
        length: Samples in an epoch.
        seed: Decides what is drawn, with epoch and index.

    Raises:
        InputError: The shares do not fit.
    """

    def __init__(
        self,
        sets: Sequence[RegionDataset | ObjectDataset],
        shares: Sequence[float],
        length: int,
        seed: int = 0,
    ) -> None:
        given = np.asarray(shares, np.float64)
        if given.shape != (len(sets),) or not (np.isfinite(given) & (given > 0)).all():
            raise InputError(
                f"Expected a share above 0 for each of {len(sets)} training sets, but got {list(shares)}."
            )
        self.sets = list(sets)
        self.shares = given / given.sum()
        self.length = length
        self.seed = seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, item: Any) -> TrainingSample:
        epoch, index = item
        generator = np.random.default_rng([self.seed, epoch, index])
        chosen = self.sets[int(generator.choice(len(self.sets), p=self.shares))]
        return chosen[epoch, int(generator.integers(len(chosen) * _REPEATS))]
