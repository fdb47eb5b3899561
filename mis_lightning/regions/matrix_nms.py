"""Matrix NMS: scores decayed by the better masks they overlap (SOLOv2, Wang et al., 2020).

Rule: docs/protocol.md#matrix-nms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def matrix_nms(
    masks: NDArray[np.bool_], scores: NDArray[np.floating], sigma: float = 2.0
) -> NDArray[np.float64]:
    """Decay scores with a Gaussian kernel; all masks are of one class.

    Args:
        masks: bool, ``(N, pixels)``, none empty, in descending order of the scores.
        scores: ``(N,)``.
        sigma: Of the kernel.

    Returns:
        Decayed scores, float64, ``(N,)``: ``score_j * min_i exp(-sigma IoU_ij^2) / exp(-sigma comp_i^2)``
        with ``comp_i`` the largest IoU of mask ``i`` with a better one.
    """
    if len(masks) == 0:
        return np.zeros(0)
    inside = masks.astype(np.float32)
    both = inside @ inside.T
    area = np.diagonal(both)
    iou = np.triu(both / (area[:, None] + area[None] - both), k=1).astype(np.float64)  # i better than j
    worst = iou.max(axis=0)
    decay = np.exp(-sigma * iou**2) / np.exp(-sigma * worst[:, None] ** 2)
    return np.asarray(scores * decay.min(axis=0), np.float64)
