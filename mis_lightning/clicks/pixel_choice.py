"""Region + uniform numbers -> pixels of the region."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def choose_pixels(region: NDArray[np.bool_], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Turn uniform numbers into pixels of a region, every pixel equally likely.

    Args:
        region: bool ``(H, W)``.
        uniform: ``(n,)`` in [0, 1); ``u`` picks the pixel of rank ``floor(u * area)`` in row-major order.

    Returns:
        int64 ``(n, 2)`` of (row, col); ``(0, 2)`` if the region is empty.

    Example:
        >>> choose_pixels(np.array([[True, False], [True, True]]), np.array([0.0, 0.9])).tolist()
        [[0, 0], [1, 1]]
    """
    # Counting per row first avoids listing every pixel of the region.
    per_row = cv2.reduce(region.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    ends = np.cumsum(per_row)
    if ends[-1] == 0:
        return np.empty((0, 2), dtype=np.int64)
    ranks = (uniform * ends[-1]).astype(np.int64)
    rows = np.searchsorted(ends, ranks, side="right")
    ranks -= ends[rows] - per_row[rows]
    pixels = np.empty((len(ranks), 2), dtype=np.int64)
    pixels[:, 0] = rows
    for place, (row, rank) in enumerate(zip(rows, ranks, strict=True)):
        pixels[place, 1] = np.flatnonzero(region[row])[rank]
    return pixels
