"""Sampler whose items carry the epoch, so that a sample is a function of (seed, epoch, image) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Yield ``(epoch, index)`` over a shuffled range.

    Dataloader workers live on while the epoch changes in the main process; sent along with the index, the
    epoch reaches them without shared state.

    Args:
        length: Number of items in an epoch.
        seed: Decides the order, together with the epoch.
        epoch: Asked at the start of each pass.
        done: How many items of the epoch were seen before the run was stopped; asked at the start of each
            pass, and left out.
    """

    def __init__(
        self, length: int, seed: int, epoch: Callable[[], int], done: Callable[[], int] = lambda: 0
    ) -> None:
        self.length = length
        self.seed = seed
        self.epoch = epoch
        self.done = done

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch()
        order = np.random.default_rng([self.seed, epoch]).permutation(self.length)
        return ((epoch, int(index)) for index in order[self.done() :])
