"""What is reported of the IoU curves of one benchmark.

Rule: docs/protocol.md#number-of-clicks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mis_lightning.metrics.functional import failures, iou_at, number_of_clicks

THRESHOLDS = (0.80, 0.85, 0.90)
"""IoU targets that are usually reported."""

IOU_CLICKS = (1, 5, 10)
"""Clicks k of the IoU@k that are usually reported."""


def summarise(
    curves: Sequence[ArrayLike], max_clicks: int = 20, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, float]:
    """Everything that is reported of one benchmark.

    Args:
        curves: IoU after each click of each object, float32, ``(k,)`` each.
        max_clicks: The budget, which is also the score of a failure.
        thresholds: IoU targets in ``(0, 1]``.

    Returns:
        ``n``; for each threshold ``t`` in percent ``noc@t`` (mean), ``std@t`` (population standard deviation)
        and ``failures@t`` (objects that used all clicks, success at the last one included); for each ``k`` of
        1, 5, 10 that every curve reaches ``iou@k``. Means are taken in float64 in the order of ``curves``.

    >>> summary = summarise([[0.5, 0.875], [1.0]])
    >>> summary["noc@85"], summary["failures@85"], summary["iou@1"], "iou@5" in summary
    (1.5, 0, 0.75, False)
    """
    arrays = [np.asarray(curve, dtype=np.float32) for curve in curves]
    summary: dict[str, float] = {"n": len(arrays)}
    for threshold in thresholds:
        clicks = [number_of_clicks(curve, threshold, max_clicks) for curve in arrays]
        percent = f"{100 * threshold:g}"
        summary[f"noc@{percent}"] = float(np.mean(clicks)) if clicks else float("nan")
        summary[f"std@{percent}"] = float(np.std(clicks)) if clicks else float("nan")
        summary[f"failures@{percent}"] = failures(clicks, max_clicks)
    shortest = min((len(curve) for curve in arrays), default=0)
    for k in IOU_CLICKS:
        if k <= shortest:
            summary[f"iou@{k}"] = iou_at(arrays, k)
    return summary
