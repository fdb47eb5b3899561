"""The box of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of the smallest part that holds all pixels of a mask.

    Args:
        mask: bool, ``(H, W)``.

    Returns:
        Two slices of whole numbers; both ``slice(0, 0)`` where the mask is empty.
    """
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
