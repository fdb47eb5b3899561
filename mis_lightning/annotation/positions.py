"""Positions on an image as they are given to actions: checked numbers, in pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mis_lightning.errors import InputError

MAX_POINTS = 4096
"""Most corners of a stroke or a polygon."""


def whole_pixels(points: ArrayLike, shape: tuple[int, int], *, least: int) -> tuple[tuple[int, int], ...]:
    """Points as the pixels they lie in.

    Args:
        points: (row, col) in pixels, ``(N, 2)``, at least ``least`` and at most 4096.
        shape: ``(H, W)`` of the image.
        least: Fewest that will do.

    Raises:
        InputError: The points are not numbers on the image, or too few or too many.
    """
    line = as_line(points, shape)
    if not least <= len(line) <= MAX_POINTS:
        raise InputError(f"Expected {least} to {MAX_POINTS} points, but got {len(line)}.")
    return tuple((int(row), int(col)) for row, col in line)


def as_line(points: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Points (row, col) on an image of size ``(H, W)``, float64, ``(N, 2)``, ``N >= 1``.

    Raises:
        InputError: The points are not numbers on the image.
    """
    try:
        line = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected the points of a line as numbers (row, col): {error}.") from error
    inside = line.ndim == 2 and line.shape[1] == 2 and len(line) > 0
    if not inside or not ((line >= 0) & (line < np.array(shape))).all():
        raise InputError(
            f"Expected the points of a line as (row, col) on the image of {shape[0]}x{shape[1]} pixels, "
            f"(N, 2), N >= 1, but got shape {line.shape}{' with points outside' if inside else ''}."
        )
    return line


def number(value: Any) -> float:
    """A number of pixels.

    Raises:
        InputError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"Expected a position in pixels, but got {short(value)}.")
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


def short(value: Any) -> str:
    """What was given, for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
