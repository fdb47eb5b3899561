"""Objects of a folder are often alike: what the sizes of accepted ones say about the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mis_lightning.errors import InputError

_PRIOR_COUNT = 4  # sizes that the assumed spread weighs as much as
_PRIOR_SPREAD = 1.0  # of the logarithm: a factor of e
_LIMIT = 5.0


@dataclass(frozen=True)
class SizePrior:
    """A normal distribution of the logarithm of an object's area.

    Attributes:
        middle: Its mean: logarithm of an area in pixels.
        spread: Its deviation, above 0.
    """

    middle: float
    spread: float

    def __post_init__(self) -> None:
        if not (isfinite(self.middle) and isfinite(self.spread) and self.spread > 0):
            raise InputError(
                f"Expected a finite middle and a spread above 0 of sizes, but got {self.middle} and "
                f"{self.spread}."
            )

    @classmethod
    def of(cls, areas: Sequence[float]) -> SizePrior | None:
        """What accepted objects say; ``None`` where there is none.

        The middle is the median of the logarithms. The spread is drawn towards a factor of e while there are
        few objects, and stays wide where their sizes differ, so that it then decides nothing.

        Args:
            areas: Pixels of the accepted objects.

        Example:
            >>> SizePrior.of([100.0, 110.0, 90.0, 105.0])
            SizePrior(middle=4.63, spread=0.71)
        """
        if not areas:
            return None
        logs = np.log(np.maximum(np.asarray(areas, np.float64), 1.0))
        middle = float(np.median(logs))
        squares = float(np.square(logs - middle).sum()) + _PRIOR_COUNT * _PRIOR_SPREAD**2
        return cls(round(middle, 2), max(round((squares / (len(logs) + _PRIOR_COUNT)) ** 0.5, 2), 0.01))

    def cost(self, areas: ArrayLike) -> NDArray[np.float64]:
        """What is taken off the score of answers of these areas: ``z² / 2``, at most 5.

        Args:
            areas: Pixels of the answers.

        Returns:
            float64, of the shape of ``areas``.
        """
        logs = np.log(np.maximum(np.asarray(areas, np.float64), 1e-3))
        return np.asarray(np.minimum(np.square((logs - self.middle) / self.spread) / 2, _LIMIT), np.float64)
