"""The simulated user of the evaluation protocol: where a careful annotator would click next.

Rule: docs/protocol.md#simulated-user.

Input: the object, the prediction, the clicks so far. Output: one click, in the middle of the deepest error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mis_lightning.clicks.deepest_pixel import deepest_pixel
from mis_lightning.errors import InputError
from mis_lightning.structures import Click


def next_click(
    mask: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    ignore: NDArray[np.bool_] | None = None,
    clicked: Sequence[Click | tuple[float, float]] | NDArray[np.bool_] | None = None,
) -> Click:
    """Click on the pixel deepest inside the missed or the wrongly added region, whichever is deeper.

    Depth is the exact Euclidean distance to the nearest pixel outside the region; the image border and
    ignored pixels count as outside. Pixels already clicked are no candidates, but do not change depths.
    A tie between the two regions gives a negative click; among equal depths the first pixel in row-major
    order wins. Where no error is left the click is negative at ``(0, 0)``.

    Args:
        mask: The object, bool, ``(H, W)``.
        prediction: Bool, ``(H, W)``; all false before the first click.
        ignore: Pixels that do not count, bool, ``(H, W)``.
        clicked: Earlier clicks (or positions ``(row, col)``), or a bool map ``(H, W)`` of clicked pixels.

    Raises:
        InputError: Arrays that are not bool ``(H, W)`` of one shape, or a click outside them.

    >>> mask = np.zeros((5, 7), dtype=bool)
    >>> mask[1:4, 2:5] = True
    >>> next_click(mask, np.zeros_like(mask))
    Click(row=2, col=3, positive=True)
    >>> next_click(mask, np.ones_like(mask), clicked=[(2, 3)])
    Click(row=0, col=0, positive=False)
    """
    _check(mask, prediction, ignore)
    taken = _positions(clicked, mask.shape)
    missed, added = mask > prediction, prediction > mask
    if ignore is not None:
        missed &= ~ignore
        added &= ~ignore
    depth_missed, row_missed, col_missed = deepest_pixel(missed, taken)
    depth_added, row_added, col_added = deepest_pixel(added, taken)
    if depth_missed > depth_added:
        return Click(row_missed, col_missed, True)
    return Click(row_added, col_added, False)


def _positions(
    clicked: Sequence[Click | tuple[float, float]] | NDArray[np.bool_] | None, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """The clicked pixels as ``(n, 2)`` rows and columns."""
    if clicked is None:
        return np.empty((0, 2), dtype=np.int64)
    if isinstance(clicked, np.ndarray) and clicked.dtype == np.bool_:
        if clicked.shape != shape:
            raise InputError(f"Expected the bool map `clicked` of shape {shape}, but got {clicked.shape}.")
        return np.argwhere(clicked)
    positions = np.array([click[:2] for click in clicked], dtype=np.float64).reshape(-1, 2)
    if not ((positions >= 0) & (positions < shape)).all():
        raise InputError(f"Expected clicks inside the image of size {shape}, but got {positions.tolist()}.")
    return positions.astype(np.int64)


def _check(mask: NDArray[np.bool_], prediction: NDArray[np.bool_], ignore: NDArray[np.bool_] | None) -> None:
    for name, array in (("mask", mask), ("prediction", prediction), ("ignore", ignore)):
        if array is None:
            continue
        if array.dtype != np.bool_ or array.ndim != 2 or array.shape != mask.shape or array.size == 0:
            raise InputError(
                f"Expected `{name}` as a bool array (H, W) of the shape of `mask` {mask.shape}, "
                f"but got {array.dtype} {array.shape}."
            )
