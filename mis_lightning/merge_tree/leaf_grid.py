"""Between the pixels of a region of interest (ROI) and the leaves of its merge tree.

The leaves tile the ROI: leaf ``(i, j)`` of an ``(h, w)`` grid covers rows ``[i * H / h, (i + 1) * H / h)`` of
an ROI of ``(H, W)`` pixels, and columns likewise. Pixel and leaf centres are at integers of their own grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.merge_tree.scaling import patch_of_pixels
from mis_lightning.structures import Click

MAX_SIDE = 256
"""Leaves on the longer side of an ROI's tree, unless something else is said."""


def leaf_extractor(max_side: int = MAX_SIDE) -> ColourTexture:
    """Colours at the ROI's own resolution, up to ``max_side`` leaves a side: what the tree sees."""
    return ColourTexture(stride=1, max_side=max_side, frequencies=8, max_tokens=max_side * max_side)


def leaf_evidence(
    logits: NDArray[np.float32], shape: tuple[int, int], grid: tuple[int, int], clip: float
) -> NDArray[np.float32]:
    """Read a model's answer at the centre of each leaf.

    Args:
        logits: The answer for the whole ROI at the model's own size, corners aligned with those of the ROI
            (docs/protocol.md#zoom-in), float32, ``(s, t)``.
        shape: ``(H, W)`` of the ROI in pixels.
        grid: ``(h, w)`` leaves.
        clip: What one leaf may weigh at most, in log-odds, above 0.

    Returns:
        Log-odds in ``[-clip, clip]``, float32, ``(h, w)``.

    Raises:
        InputError: ``clip`` is not above 0.

    Example:
        >>> leaf_evidence(np.float32([[0, 3], [0, 3]]), (4, 4), (1, 4), clip=2.5).tolist()
        [[0.0, 1.0, 2.0, 2.5]]
    """
    if not clip > 0:
        raise InputError(f"Expected `clip`, the most that a leaf weighs, above 0, but got {clip}.")
    rows, row_after, down = _between(logits.shape[0], shape[0], grid[0])
    cols, col_after, across = _between(logits.shape[1], shape[1], grid[1])
    lines = logits[rows] + down[:, None] * (logits[row_after] - logits[rows])
    read = lines[:, cols] + across * (lines[:, col_after] - lines[:, cols])
    return np.clip(read, -clip, clip).astype(np.float32, copy=False)


def _between(
    size: int, pixels: int, leaves: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each leaf centre the entries before and after it, and how far it is from the first, in [0, 1]."""
    centre = (np.arange(leaves) + 0.5) * pixels / leaves - 0.5
    place = np.clip(centre * (size - 1) / max(pixels - 1, 1), 0, size - 1)
    before = np.minimum(place.astype(np.intp), max(size - 2, 0))
    return before, np.minimum(before + 1, size - 1), (place - before).astype(np.float32)


def clicked_leaves(
    clicks: Sequence[Click], shape: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.int8]:
    """The labels that clicks give to leaves: ``fixed`` of :func:`.refinement.refine`.

    Args:
        clicks: In pixels of the ROI; those outside are left out. Of two in one leaf the later one counts
            (:func:`obey` gives each its own pixel).
        shape: ``(H, W)`` of the ROI in pixels.
        grid: ``(h, w)`` leaves.

    Returns:
        1, -1 or 0 (not clicked), int8, ``(h, w)``.

    Example:
        >>> clicked_leaves([Click(0, 3, True), Click(9, 9, True)], (4, 4), (2, 2)).tolist()
        [[0, 1], [0, 0]]
    """
    labels = np.zeros(grid, np.int8)
    rows, cols = (patch_of_pixels(side, count) for side, count in zip(shape, grid, strict=True))
    for row, col, positive in clicks:
        if 0 <= row < shape[0] and 0 <= col < shape[1]:
            labels[rows[int(row)], cols[int(col)]] = 1 if positive else -1
    return labels


def leaf_pixels(labels: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of pixels ``(H, W)`` = ``shape`` of a mask of leaves ``(h, w)``, borders drawn between leaves.

    Where a leaf covers several pixels, its border with an unlike leaf is a straight line between the two
    centres, not a staircase.
    """
    if labels.shape == shape:
        return labels.copy()
    share = cv2.resize(labels.view(np.uint8) * np.uint8(255), shape[::-1], interpolation=cv2.INTER_LINEAR)
    return share > 127


def obey(
    mask: NDArray[np.bool_], clicks: Sequence[Click], drawn: Sequence[tuple[NDArray[np.bool_], bool]] = ()
) -> None:
    """Give every clicked and drawn pixel its label, in place, later ones over earlier ones.

    Two clicks against each other may share a leaf, and a mask of leaves is smoothed between their centres:
    this last step is what makes sure that a click is always obeyed.

    Args:
        mask: bool, ``(H, W)``.
        clicks: In pixels of the mask; those outside are left out.
        drawn: Pixels, bool, ``(H, W)``, and whether they belong; they come after the clicks.
    """
    for row, col, positive in clicks:
        if 0 <= row < mask.shape[0] and 0 <= col < mask.shape[1]:
            mask[int(row), int(col)] = positive
    for pixels, positive in drawn:
        mask[pixels] = positive
