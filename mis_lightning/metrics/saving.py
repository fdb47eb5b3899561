"""Clicks with and without something, on the same objects -> the share it saved, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mis_lightning.metrics.report import RESAMPLES

Counts = Sequence[float] | NDArray[np.float64]
"""Clicks, one value for each object (or image), ``(n,)``."""


def saving(before: Counts, after: Counts, seed: int = 0) -> tuple[float, float, float]:
    """The share of all clicks that is saved, and its 95 % paired bootstrap interval ``(share, low, high)``.

    Args:
        before: Clicks on each object without what is measured.
        after: Clicks on the same objects with it.
        seed: Of the resamples.

    Example:
        >>> saving([10, 20], [5, 10])
        (0.5, 0.5, 0.5)
        >>> saving([4, 4, 4], [3, 3, 3])
        (0.25, 0.25, 0.25)
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    drawn = np.random.default_rng(seed).integers(len(before), size=(RESAMPLES, len(before)))
    low, high = np.percentile(1 - after[drawn].sum(axis=1) / before[drawn].sum(axis=1), [2.5, 97.5])
    return 1 - float(after.sum() / before.sum()), float(low), float(high)
