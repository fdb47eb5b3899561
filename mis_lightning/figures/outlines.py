"""Where one region ends and the next begins: label maps -> lines between pixels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray


def border_lines(labels: NDArray[np.generic]) -> NDArray[np.float64]:
    """The lines between pixels of different labels.

    Args:
        labels: Any labels or a bool mask, ``(H, W)``.

    Returns:
        Lines as ``(x, y)`` of their two ends, float64, ``(n, 2, 2)``, in pixels with pixel centres at
        integers; the horizontal ones first. They do not follow the border of the image.

    >>> border_lines(np.array([[0, 0, 1], [0, 0, 1]])).tolist()
    [[[1.5, -0.5], [1.5, 1.5]]]
    """
    row, left, right = _runs(labels[1:] != labels[:-1])
    col, top, bottom = _runs((labels[:, 1:] != labels[:, :-1]).T)
    horizontal = np.stack([left - 0.5, row + 0.5, right - 0.5, row + 0.5], axis=-1)
    vertical = np.stack([col + 0.5, top - 0.5, col + 0.5, bottom - 0.5], axis=-1)
    return np.concatenate([horizontal, vertical]).reshape(-1, 2, 2)


def draw_borders(
    axes: Axes,
    labels: NDArray[np.generic],
    colour: str,
    width: float,
    halo: str | None = None,
) -> LineCollection:
    """Draw the lines between labels.

    Args:
        axes: Of an image of the same size.
        labels: Any labels or a bool mask, ``(H, W)``.
        colour: Of the line.
        width: Of the line, in points.
        halo: Colour of a wider line beneath, which keeps the line visible on any image.

    Returns:
        The line.
    """
    lines = border_lines(labels)
    if halo is not None:
        axes.add_collection(_collection(lines, halo, width + 0.8), autolim=False)
    line = _collection(lines, colour, width)
    axes.add_collection(line, autolim=False)
    return line


def _collection(lines: NDArray[np.float64], colour: str, width: float) -> LineCollection:
    # Projecting ends close the corners where a horizontal and a vertical line meet
    return LineCollection(list(lines), colors=colour, linewidths=width, capstyle="projecting")


def _runs(edges: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Line, first and one past the last position of each run of true values along the second axis."""
    padded = np.pad(edges, ((0, 0), (1, 1))).astype(np.int8)
    step = np.diff(padded, axis=1)
    line, start = np.nonzero(step == 1)
    return line, start, np.nonzero(step == -1)[1]
