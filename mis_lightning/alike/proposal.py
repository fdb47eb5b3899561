"""A proposal: a region that looks like marked objects, and how likely it is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Proposal:
    """A region that looks like the marked objects.

    Attributes:
        score: Probability that it has an IoU of at least 0.5 with an object, in ``[0, 1]``: a logistic curve
            of the IoU that the model expects, fitted on the development images of two nuclei sets with three
            examples (``experiments/alike``); with a single example it is too sure of itself.
        mask: The pixels in its box, bool, ``(h, w)``.
        top: First row of the box in the image.
        left: First column.
        image: Number of the image in a list.
    """

    score: float
    mask: NDArray[np.bool_]
    top: int
    left: int
    image: int = 0

    @property
    def box(self) -> tuple[slice, slice]:
        """Its rows and columns in the image."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def whole(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask of the whole image, bool, ``(H, W)`` = ``shape``."""
        mask = np.zeros(shape, np.bool_)
        mask[self.box] = self.mask
        return mask
