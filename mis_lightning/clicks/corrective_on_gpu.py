"""One corrective click per sample, chosen on the GPU: a training step does not wait for the CPU.

Rule: docs/protocol.md#corrective-clicks.

The rule is that of :mod:`~mis_lightning.clicks.corrective`. Depths agree with OpenCV's up to the rounding of
OpenCV's floats, so clicks differ from those of the CPU only where such a rounding decides a tie.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

Depth = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Error maps ``(N, H, W)`` -> their depths ``(N, H, W)`` and the largest of each map ``(N,)``."""

_TOLERANCE = 1e-3  # pixels, to OpenCV's distance


@lru_cache(maxsize=8)
def works_on(device: torch.device) -> bool:
    """Whether this device can compute depths: tried once and compared with OpenCV; warns if it cannot."""
    if device.type != "cuda":
        return False
    error = np.zeros((40, 56), np.uint8)
    error[3:31, 5:50] = 1
    error[12:15, 20:22] = 0
    error[36:] = 1
    try:
        from mis_lightning.clicks.depth_on_gpu import SCALE, depth_inside

        depth, deepest = depth_inside(torch.from_numpy(error)[None].to(device))
        found = depth[0].cpu().numpy() * SCALE
        expected = cv2.distanceTransform(np.pad(error, 1), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
        if abs(found - expected).max() > _TOLERANCE or int(deepest[0]) != int(depth.max()):
            raise RuntimeError("its depths differ from OpenCV's")
    except Exception as reason:  # no Triton, no compiler, a GPU it does not know: the CPU can do it all
        warnings.warn(
            f"The clicks of training are chosen on the CPU, for {device} cannot ({type(reason).__name__}: "
            f"{str(reason)[:200]}). Steps take longer, the clicks are the same.",
            stacklevel=2,
        )
        return False
    return True


def choose_clicks(errors: Tensor, uniform: Tensor, depth: Depth) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the next click of every sample.

    Args:
        errors: FN and FP, bool ``(B, 2, H, W)``.
        uniform: In [0, 1), float64 ``(B,)``; picks among the candidates in row-major order.
        depth: Finds depths.

    Returns:
        Positions int64 ``(B, 2)`` of (row, col); whether the click is positive, bool ``(B,)``; whether there
        is an error to click at all, bool ``(B,)``. Nothing waits for the device.
    """
    batch, _, height, width = errors.shape
    depths, deepest = depth(errors.view(torch.uint8).reshape(2 * batch, height, width))
    # floats, as OpenCV returns them
    depths, deepest = depths.view(batch, 2, height, width).float(), deepest.view(batch, 2).float()
    positive = deepest[:, 0] > deepest[:, 1]
    greatest = deepest.amax(1)
    chosen = torch.where(positive[:, None, None], depths[:, 0], depths[:, 1])
    candidates = chosen > (greatest / 2)[:, None, None]

    per_row = candidates.sum(2)
    ends = per_row.cumsum(1)
    rank = (uniform * ends[:, -1]).long()[:, None]
    row = torch.searchsorted(ends, rank, right=True).clamp_(max=height - 1)
    rank = rank - (ends.gather(1, row) - per_row.gather(1, row))
    within = candidates.gather(1, row[:, :, None].expand(-1, -1, width))[:, 0].cumsum(1)
    col = torch.searchsorted(within, rank, right=True).clamp_(max=width - 1)
    return torch.cat([row, col], dim=1), positive, greatest > 0


def write_clicks(points: Tensor, position: Tensor, positive: Tensor, clicked: Tensor, order: int) -> Tensor:
    """Return the points with the new click of each sample that has one, in row ``K - t`` or ``2K - t``."""
    half = points.shape[1] // 2
    place = torch.where(positive, half - order, 2 * half - order)[:, None, None].expand(-1, 1, 3)
    click = torch.cat([position.to(points.dtype), torch.full_like(points[:, :1, 2], order)], dim=1)
    click = torch.where(clicked[:, None], click, points.gather(1, place)[:, 0])
    return points.scatter(1, place, click[:, None])
