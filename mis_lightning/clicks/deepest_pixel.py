"""Region -> the pixel farthest from everything outside it, without a map of all distances.

The simulated user needs one pixel, but an exact distance transform computes all of them, which took half of
its time. Distances within columns are cheap, and are upper bounds of those in the plane; so are the distances
of neighbours plus one. Few pixels are left to examine.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit


def deepest_pixel(region: NDArray[np.bool_], taken: NDArray[np.int64]) -> tuple[float, int, int]:
    """Find the pixel of a region with the largest Euclidean distance to a pixel outside it.

    Everything beyond the border counts as outside; of equally deep pixels the first in row-major order
    wins. It is the largest of OpenCV's precise distance transform (docs/protocol.md#simulated-user), but that
    OpenCV 5.0 may round the roots of equal squares differently from pixel to pixel, and then picks any of
    several equals.

    Args:
        region: bool, ``(H, W)``.
        taken: Pixels ``(row, col)`` that are no candidates, though inside for the others, int64, ``(n, 2)``.

    Returns:
        Depth, row and column; ``(0.0, 0, 0)`` where there is no candidate.

    Example:
        >>> deepest_pixel(np.ones((5, 9), np.bool_), np.array([[2, 2]]))
        (3.0, 2, 3)
    """
    left, top, width, height = cv2.boundingRect(region.view(np.uint8))
    if width == 0:
        return 0.0, 0, 0
    box = np.ascontiguousarray(region[top : top + height, left : left + width])
    square, row, col = _deepest(box, taken - (top, left))
    return (math.sqrt(square), int(row) + top, int(col) + left) if square > 0 else (0.0, 0, 0)


@njit(cache=True, nogil=True)
def _deepest(region: NDArray[np.bool_], taken: NDArray[np.int64]) -> tuple[int, int, int]:
    """Square of the depth, row and column, as :func:`deepest_pixel`."""
    height, width = region.shape
    columns = _within_columns(region)
    square, at_row, at_col = 0, 0, 0
    reach = 0  # the whole part of the depth
    for row in range(height):
        col = 0
        while col < width:
            bound = columns[row, col]
            if bound <= reach:  # and the next ones have `bound + 1`, `bound + 2`, ... at most
                col += reach - bound + 1
                continue
            here = _square_of_depth(columns[row], col, square)
            if here > square and not _is_taken(taken, row, col):
                square, at_row, at_col = here, row, col
                reach = int(np.sqrt(square))
            col += 1
    return square, at_row, at_col


@njit(cache=True, nogil=True)
def _within_columns(region: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Distance of each pixel to the nearest one outside in its own column."""
    height, width = region.shape
    columns = np.empty((height, width), np.int32)
    for col in range(width):
        columns[0, col] = region[0, col]
    for row in range(1, height):
        for col in range(width):
            columns[row, col] = (columns[row - 1, col] + 1) * region[row, col]
    for col in range(width):
        columns[height - 1, col] = min(columns[height - 1, col], 1)
    for row in range(height - 2, -1, -1):
        for col in range(width):
            columns[row, col] = min(columns[row, col], columns[row + 1, col] + 1)
    return columns


@njit(cache=True, nogil=True)
def _square_of_depth(columns: NDArray[np.int32], col: int, enough: int) -> int:
    """Square of the distance to the nearest outside pixel, or any bound of it that is not above `enough`."""
    square = np.int64(columns[col]) ** 2
    step = 1
    while step * step < square and square > enough:
        left = columns[col - step] if col >= step else 0
        right = columns[col + step] if col + step < len(columns) else 0
        nearer = np.int64(min(left, right))
        square = min(square, step * step + nearer * nearer)
        step += 1
    return square


@njit(cache=True, nogil=True)
def _is_taken(taken: NDArray[np.int64], row: int, col: int) -> bool:
    found = False
    for pixel in range(len(taken)):
        found |= taken[pixel, 0] == row and taken[pixel, 1] == col
    return found
