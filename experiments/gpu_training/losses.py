"""Cross-entropy with the region, and one minus its soft IoU, to which small objects count like large ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def answer_loss(logits: Tensor, mask: Tensor, counts: Tensor, overlap_weight: float) -> tuple[Tensor, Tensor]:
    """Compare the answers of a batch with its regions.

    Args:
        logits: ``(B, 1, P, P)``.
        mask: bool, like ``logits``.
        counts: Weight of each sample, ``(B,)``.
        overlap_weight: Of the soft IoU.

    Returns:
        The loss and the mean IoU of the answers cut at one half, which has no gradient.
    """
    target = mask.to(logits.dtype)
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).mean(1)
    probability = logits.sigmoid()
    both = (probability * target).flatten(1).sum(1)
    either = (probability + target).flatten(1).sum(1) - both
    overlap = 1 - (both + 1) / (either + 1)
    total = counts.sum().clamp(min=1)
    with torch.no_grad():
        taken = logits > 0
        hit = (taken & mask).flatten(1).sum(1) / (taken | mask).flatten(1).sum(1).clamp(min=1)
        iou = (hit * counts).sum() / total
    return ((cross + overlap_weight * overlap) * counts).sum() / total, iou
