"""IoU and number of clicks of one object: plain functions on arrays.

Rules: docs/protocol.md#iou, docs/protocol.md#number-of-clicks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mis_lightning.errors import InputError


def iou(
    prediction: NDArray[np.bool_], mask: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None
) -> float:
    """Intersection over union of two masks, over the pixels that count.

    Args:
        prediction: Bool, ``(H, W)``.
        mask: The object, bool, ``(H, W)``.
        ignore: Pixels that count neither for nor against, bool, ``(H, W)``.

    Returns:
        A value in ``[0, 1]``; ``nan`` where the union is empty (such an object never reaches a target).

    Raises:
        InputError: The arrays differ in shape or are not bool.

    >>> prediction, mask = np.array([[True, True, False]]), np.array([[False, True, True]])
    >>> iou(prediction, mask), iou(prediction, mask, np.array([[True, False, False]]))
    (0.3333333333333333, 0.5)
    """
    for name, array in (("prediction", prediction), ("mask", mask), ("ignore", ignore)):
        if array is not None and (array.shape != mask.shape or array.dtype != np.bool_):
            raise InputError(
                f"Expected `{name}` as a bool array of shape {mask.shape} like `mask`, "
                f"but got {array.dtype} {array.shape}."
            )
    if ignore is not None:
        prediction, mask = prediction & ~ignore, mask & ~ignore
    intersection = int(np.count_nonzero(prediction & mask))
    union = int(np.count_nonzero(prediction)) + int(np.count_nonzero(mask)) - intersection
    return intersection / union if union else float("nan")


def reaches(value: float, threshold: float) -> bool:
    """Whether an IoU reaches a threshold, compared in float32 as the stored curves are; ``nan`` never does.

    >>> reaches(0.9, 0.9), reaches(0.89, 0.9), reaches(float("nan"), 0.0)
    (True, False, False)
    """
    return bool(np.float32(value) >= np.float32(threshold))


def number_of_clicks(ious: ArrayLike, threshold: float, max_clicks: int = 20) -> int:
    """NoC@threshold of one object: the clicks needed to reach the IoU, ``max_clicks`` where it never does.

    Args:
        ious: IoU after each click, ``(k,)``, in ``[0, 1]`` or ``nan``; only the first ``max_clicks`` count.
        threshold: Target IoU in ``[0, 1]``.
        max_clicks: The budget, which is also the score of a failure.

    Raises:
        InputError: ``ious`` is not one-dimensional or ``max_clicks`` is below 1.

    >>> number_of_clicks([0.5, 0.8, 0.91], 0.8), number_of_clicks([0.5, 0.8], 0.9)
    (2, 20)
    """
    curve = np.asarray(ious, dtype=np.float32)
    if curve.ndim != 1 or max_clicks < 1:
        raise InputError(
            f"Expected `ious` of shape (k,) and `max_clicks` >= 1, but got {curve.shape} and {max_clicks}."
        )
    reached = np.flatnonzero(curve[:max_clicks] >= np.float32(threshold))
    return int(reached[0]) + 1 if reached.size else max_clicks


def failures(clicks: Sequence[int] | NDArray[np.int64], max_clicks: int = 20) -> int:
    """Objects that used the whole budget; success exactly at the last click counts too.

    Rule: docs/protocol.md#failures.

    Args:
        clicks: ``number_of_clicks`` of each object, ``(n,)``.
        max_clicks: The budget those were computed with.

    >>> failures([1, 20, 7, 20])
    2
    """
    return int(np.count_nonzero(np.asarray(clicks) == max_clicks))


def iou_at(curves: Sequence[ArrayLike], k: int) -> float:
    """IoU@k: the mean IoU after the k-th click. Objects without an IoU there (``nan``) are left out.

    Args:
        curves: IoU after each click of each object, every one of length ``k`` or more.
        k: Click, counted from 1.

    Returns:
        The mean in float64; ``nan`` where no object has a value.

    Raises:
        InputError: A curve is shorter than ``k``, because its run stopped at a target IoU.

    >>> iou_at([[0.5, 0.75], [0.25, 1.0]], 1)
    0.375
    """
    arrays = [np.asarray(curve, dtype=np.float64) for curve in curves]
    shortest = min((len(array) for array in arrays), default=0)
    if not 1 <= k <= shortest:
        raise InputError(
            f"Expected `k` between 1 and the shortest curve ({shortest} clicks), but got {k}. "
            "IoU@k needs runs that do not stop at a target: evaluate with target_iou=None."
        )
    values = np.array([array[k - 1] for array in arrays])
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def regressions(ious: ArrayLike) -> int:
    """Clicks after which the IoU was lower than before, by however little; ``nan`` is never lower.

    Args:
        ious: IoU after each click, ``(k,)``.

    >>> regressions([0.5, 0.75, 0.625, 0.625, 0.5])
    2
    """
    curve = np.asarray(ious, dtype=np.float32)
    return int(np.count_nonzero(curve[1:] < curve[:-1]))


def far_share(
    before: NDArray[np.bool_], after: NDArray[np.bool_], at: tuple[float, float], radius: float
) -> float:
    """Share of the pixels that a click changed that lie farther from it than a radius.

    Args:
        before: The mask before the click, bool, ``(H, W)``.
        after: The mask after it, bool, ``(H, W)``.
        at: ``(row, col)`` of the click, in pixels.
        radius: In pixels; of an object, that of a disc of its area, ``sqrt(area / pi)``.

    Returns:
        A value in ``[0, 1]``; ``nan`` where nothing changed.

    >>> before, after = np.array([[True, True, False, False]]), np.array([[True, False, False, True]])
    >>> far_share(before, after, (0, 1), radius=1)
    0.5
    """
    rows, cols = np.nonzero(before != after)
    if not rows.size:
        return float("nan")
    return float(np.mean((rows - at[0]) ** 2 + (cols - at[1]) ** 2 > radius**2))
