"""From one slice of a volume to the next: where an object should be, and how well an answer fits that.

The picture moves from slice to slice, and the mask moves with it: dense optical flow (DIS, Kroeger et al.,
ECCV 2016) between the two slices around the object. Moving the mask is what matters most: on the even
objects of ``em_volume`` a mask that is handed on unmoved has a mean Dice of 0.50, one that is moved 0.80,
and the model's answer to the moved one 0.83 (``experiments/volume/volume.md``).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.mask_box import mask_box

LEAST_SIDE = 64
"""Pixels a side that the flow needs at least; smaller pictures are mirrored at their borders."""
LONGEST_SIDE = 640
"""Pixels a side that the flow is computed at most; larger crops are scaled down for it."""
_LEVELS = 16


@dataclass(frozen=True)
class Carrying:
    """How objects are carried; chosen on the even objects of ``em_volume``.

    Attributes:
        stop: The object ends where the score of the next slice is below this, in [0, 1].
        margin: Pixels around the object that the flow looks at.
        blur: Standard deviation in pixels of the blur before the flow.
    """

    stop: float = 0.6
    margin: int = 80
    blur: float = 1.5

    def __post_init__(self) -> None:
        if not 0 <= self.stop <= 1:
            raise InputError(f"Expected `stop` of a propagation in [0, 1], but got {self.stop}.")
        if self.margin < 1 or not 0 < self.blur < 100:
            raise InputError(
                f"Expected `margin` >= 1 and `blur` in (0, 100), but got {self.margin} and {self.blur}."
            )


def move_mask(
    before: NDArray[np.uint8], after: NDArray[np.uint8], mask: NDArray[np.bool_], how: Carrying | None = None
) -> NDArray[np.bool_]:
    """Where an object of one slice is on the next one, if it moves as the picture does.

    Args:
        before: The slice, RGB, uint8, ``(H, W, 3)``.
        after: The next slice, of the same size.
        mask: The object on ``before``, bool, ``(H, W)``.
        how: Margin and blur.

    Returns:
        bool, ``(H, W)``; empty where ``mask`` is.

    Raises:
        InputError: The sizes differ.
    """
    if not before.shape == after.shape == (*mask.shape, 3):
        raise InputError(
            "Expected two slices and a mask of one size, "
            f"but got {before.shape}, {after.shape} and {mask.shape}."
        )
    if not mask.any():
        return mask.copy()
    how = how if how is not None else Carrying()
    rows, cols = mask_box(mask)
    top, left = max(0, rows.start - how.margin), max(0, cols.start - how.margin)
    part = np.s_[top : rows.stop + how.margin, left : cols.stop + how.margin]
    flow = _flow(after[part], before[part], how.blur)  # for each new pixel, where it was
    height, width = flow.shape[:2]
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    there = signed_distance(mask[part])
    moved = cv2.remap(
        there, across + flow[..., 0], down + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    whole = np.zeros_like(mask)
    whole[part] = moved > 0
    return whole


def score(
    before: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    after: NDArray[np.uint8],
    moved: NDArray[np.bool_],
    answer: NDArray[np.bool_],
) -> float:
    """How much an answer looks like the object that was carried, in [0, 1].

    The overlap (Dice) of the answer with the moved mask, times the intersection of the histograms of grey
    values of the object on the two slices.

    Args:
        before: The slice, RGB, uint8, ``(H, W, 3)``.
        mask: The object there, bool, ``(H, W)``.
        after: The next slice.
        moved: Where it was expected there (:func:`move_mask`).
        answer: What was answered there.
    """
    if not mask.any() or not answer.any():
        return 0.0
    overlap = 2 * np.count_nonzero(moved & answer) / (np.count_nonzero(moved) + np.count_nonzero(answer))
    likeness = np.minimum(_histogram(before, mask), _histogram(after, answer)).sum()
    return float(np.clip(overlap * likeness, 0, 1))


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance in pixels to the border of a mask, positive inside, float32, ``(H, W)``."""
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    inside = cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_5)
    outside = cv2.distanceTransform(1 - pixels, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.where(mask, np.minimum(inside - 0.5, 1e4), np.maximum(0.5 - outside, -1e4)).astype(np.float32)


def _flow(new: NDArray[np.uint8], old: NDArray[np.uint8], blur: float) -> NDArray[np.float32]:
    """From each pixel of the new picture to where it was in the old one: (columns, rows), ``(h, w, 2)``."""
    greys = [cv2.GaussianBlur(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), (0, 0), blur) for one in (new, old)]
    height, width = greys[0].shape
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        greys = [cv2.resize(grey, size, interpolation=cv2.INTER_AREA) for grey in greys]
    rows, cols = greys[0].shape
    below, right = max(0, LEAST_SIDE - rows), max(0, LEAST_SIDE - cols)
    if below or right:
        greys = [np.pad(grey, ((0, below), (0, right)), mode="symmetric") for grey in greys]
    matcher = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    matcher.setFinestScale(0)
    flow = matcher.calc(greys[0], greys[1], np.zeros((*greys[0].shape, 2), np.float32))[:rows, :cols]
    if scale < 1:
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
        flow = flow * np.array([width / cols, height / rows], np.float32)
    return np.asarray(flow, np.float32)


def _histogram(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Shares of sixteen grey levels among the pixels of a mask, float64, ``(16,)``."""
    grey = image[mask].mean(axis=1)
    counts = np.bincount((grey * _LEVELS / 256).astype(np.intp), minlength=_LEVELS)
    return counts / counts.sum()
