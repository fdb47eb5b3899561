"""At a click on a gross error: whether another scale explains all clicks better.

A first look at a wrong scale takes a whole tissue for a nucleus, or a patch for a plant; corrected click by
click, it costs five clicks. A click deep inside the mask, or far outside it, says so. Then the model answers
all clicks at every window of the first look again, and the answer of before is one answer among those.

Besides the cues of a first look, the click itself tells them apart. Users click in the middle of the largest
error, so an answer is the likelier to be the object, the more the click would lie in the middle of the
largest error if it were (:func:`explained`). Measured in ``experiments/first_look``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.mask_box import mask_box
from mis_lightning.segmenters.first_look import FirstLook
from mis_lightning.segmenters.locality import depth_in
from mis_lightning.segmenters.look_cues import Looks
from mis_lightning.segmenters.zoom_in import ROI
from mis_lightning.structures import Click

FINEST = 256
"""Cells on a side of the grid that masks are compared on, at most."""


def is_gross(mask: NDArray[np.bool_], click: Click, depth: float) -> bool:
    """Whether a click corrects an error that is large against the mask.

    Args:
        mask: The mask before the click, bool, ``(H, W)``.
        click: Inside the image.
        depth: Of such a click, in radii of a disc of the mask's area: its distance to the nearest pixel that
            has its label.

    Example:
        >>> mask = np.zeros((40, 40), bool)
        >>> mask[10:30, 10:30] = True
        >>> is_gross(mask, Click(20, 20, False), 0.3), is_gross(mask, Click(11, 20, False), 0.3)
        (True, False)
    """
    radius = math.sqrt(float(np.count_nonzero(mask)) / math.pi)
    return radius > 0 and depth_in(mask, int(click.row), int(click.col), click.positive) >= depth * radius


def explained(
    before: NDArray[np.bool_], answers: NDArray[np.float32], rois: Sequence[ROI], click: Click
) -> NDArray[np.float64]:
    """How well each answer would explain a click on the mask before it.

    Rule: docs/protocol.md#simulated-user.

    Args:
        before: The mask that the user clicked on, bool, ``(H, W)``; not empty.
        answers: What may be the object, each in its window with corners aligned: above 0.5, float32,
            ``(n, h, w)``.
        rois: The windows, in pixels of the image; there is no object outside them.
        click: Inside the image.

    Returns:
        Depth of the click in the error that it corrects, over the depth of the deepest error of either kind,
        in ``[0, 1]``: 1 where it is the click that the simulated user would make, 0 where there is nothing to
        correct. float64, ``(n,)``.
    """
    box = mask_box(before)
    found = [_depths(before, box, one, roi, click) for one, roi in zip(answers, rois, strict=True)]
    return np.array([at / most if most else 0.0 for at, most in found], np.float64)


def choose_again(look: FirstLook, looks: Looks, before: NDArray[np.bool_], clicks: Sequence[Click]) -> int:
    """The best answer to all clicks.

    Args:
        look: What the cues count.
        looks: What the model answers now; last the answer that is there already, in its ROI.
        before: The mask before the last click, bool, ``(H, W)``; not empty.
        clicks: All, in pixels of the image; the first is positive.

    Returns:
        Its number. Answers that have a clicked pixel wrong are left out, but for the last answer.
    """
    last = len(looks.rois) - 1
    scores = look.rate(looks, clicks[0])
    scores += look.explains * explained(before, looks.probabilities, looks.rois, clicks[-1])
    wrong = [i for i in range(last) if not _obeys(looks.probabilities[i], looks.rois[i], clicks)]
    scores[wrong] = -np.inf
    scores[last] += look.keeps
    return int(np.argmax(scores)) if np.isfinite(scores).any() else last


def _obeys(answer: NDArray[np.float32], roi: ROI, clicks: Sequence[Click]) -> bool:
    """Whether an answer in a window, float32, ``(h, w)``, has all clicked pixels right."""
    rows, cols = (np.array([int(click[axis]) for click in clicks]) for axis in (0, 1))
    return bool((_read(answer, roi, rows, cols).diagonal() == [click.positive for click in clicks]).all())


def _depths(
    before: NDArray[np.bool_], box: tuple[slice, slice], answer: NDArray[np.float32], roi: ROI, click: Click
) -> tuple[float, float]:
    """Depth of the click in its error, and that of the deepest error, in cells of a grid over both masks."""
    lines = []
    sides = (click.row, roi.row_min, roi.height), (click.col, roi.col_min, roi.width)
    for axis, (was, now, side) in enumerate(zip(box, mask_box(answer > 0.5), sides, strict=True)):
        at, first, extent = side
        ends = [int(at), was.start, was.stop - 1]
        if now.stop:  # a cell more: borders are read between cells
            scale = extent / answer.shape[axis]
            ends += [first + (now.start - 1) * scale, first + (now.stop + 1) * scale]
        low, high = max(0, math.floor(min(ends))), min(before.shape[axis] - 1, math.ceil(max(ends)))
        lines.append(np.arange(low, high + 1, max(1, math.ceil((high + 1 - low) / FINEST))))
    rows, cols = lines
    old, new = before[rows[:, None], cols], _read(answer, roi, rows, cols)
    missed, wrong = (
        cv2.distanceTransform(np.pad(error, 1).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for error in (new & ~old, old & ~new)
    )
    place = tuple(int(np.searchsorted(line, at, "right")) for line, at in zip(lines, click[:2], strict=True))
    return float((missed if click.positive else wrong)[place]), float(max(missed.max(), wrong.max()))


def _read(
    answer: NDArray[np.float32], roi: ROI, rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether an answer is above 0.5 at pixels of the image, bilinear; false outside its window."""
    height, width = answer.shape
    down = (rows - roi.row_min) * ((height - 1) / max(roi.height - 1, 1))
    across = (cols - roi.col_min) * ((width - 1) / max(roi.width - 1, 1))
    x, y = np.meshgrid(across.astype(np.float32), down.astype(np.float32))
    read = np.asarray(cv2.remap(answer, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    inside = ((rows >= roi.row_min) & (rows <= roi.row_max))[:, None] & (
        (cols >= roi.col_min) & (cols <= roi.col_max)
    )
    return (read > 0.5) & inside
