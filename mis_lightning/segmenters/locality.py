"""A click changes the mask near the click.

A model answers every click with a whole new mask, and so may lose elsewhere what was right. Two rules keep
that: a positive click only adds and a negative one only removes; and where a click corrects a small error,
nothing changes far from it. How large the error is, the click itself tells: users click inside an error, so
its depth, the distance to the nearest pixel that already has the label clicked, is about half as wide as the
error. Both rules were found on development objects: ``experiments/refinement/refinement.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.structures import Click


def keep_near(
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    clicks: Sequence[Click],
    limit: float,
    reach: float,
) -> NDArray[np.bool_]:
    """The mask after new clicks, with the changes that are theirs.

    Args:
        before: The mask before them, bool, ``(H, W)``; not empty.
        after: The model's answer to them, bool, ``(H, W)``.
        clicks: The new ones, in pixels of the masks; at least one of them inside.
        limit: What was wrongly added is a small error where the deepest negative click is less than this
            deep, in pixels; what is missing where the deepest positive one is less than half as deep.
        reach: A very small error reaches so many depths far from the clicks. Larger ones reach farther:
            ``reach * depth / (1 - depth / limit)``, without end from the limit on.

    Returns:
        ``before`` with those of its changes to ``after`` that have the label of a click and, where its error
        is small, are connected with the click within reach.

    Example:
        >>> before, after = np.zeros((2, 1, 9), bool)
        >>> before[:, :3] = after[:, 2:5] = after[:, 8] = True
        >>> keep_near(before, after, [Click(0, 3, True)], limit=8, reach=2).astype(int).tolist()
        [[1, 1, 1, 1, 1, 0, 0, 0, 0]]
    """
    kept = before.copy()
    for label in (True, False):
        places = [
            (int(c.row), int(c.col))
            for c in clicks
            if c.positive is label and 0 <= c.row < before.shape[0] and 0 <= c.col < before.shape[1]
        ]
        if not places:
            continue
        depth = max(depth_in(before, row, col, label) for row, col in places)
        changed = after > before if label else before > after
        end = 0.5 * limit if label else limit
        if depth < end:
            changed = _connected(changed, places, reach * depth / (1 - depth / end))
        kept[changed] = label
    return kept


def depth_in(mask: NDArray[np.bool_], row: int, col: int, label: bool) -> float:
    """The distance of a pixel to the nearest one with a label; infinite where there is none."""
    if mask[row, col] == label:
        return 0.0
    half = 16
    while True:
        top, left = max(0, row - half), max(0, col - half)
        part = mask[top : row + half + 1, left : col + half + 1]
        rows, cols = np.nonzero(part if label else ~part)
        nearest = math.sqrt(((rows + top - row) ** 2 + (cols + left - col) ** 2).min(initial=1 << 62))
        if nearest <= half:
            return nearest
        if part.shape == mask.shape:
            return nearest if rows.size else math.inf
        half *= 4


def _connected(
    changed: NDArray[np.bool_], places: Sequence[tuple[int, int]], reach: float
) -> NDArray[np.bool_]:
    """The changes within reach of some places that are connected with one, corners included."""
    rows, cols = np.array(places).T
    whole, margin = np.zeros_like(changed), math.floor(min(reach, sum(changed.shape)))
    top, left = max(0, rows.min() - margin), max(0, cols.min() - margin)
    window = np.s_[top : rows.max() + margin + 1, left : cols.max() + margin + 1]
    far = np.ones(changed[window].shape, np.uint8)
    far[rows - top, cols - left] = 0
    distance = cv2.distanceTransform(far, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = changed[window] & (distance <= reach)
    _, labels = cv2.connectedComponents(near.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    whole[window] = near & np.isin(labels, labels[rows - top, cols - left])
    return whole
