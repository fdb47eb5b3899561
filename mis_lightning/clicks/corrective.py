"""Prediction and mask of a training batch -> one more click per sample, in its largest error.

Rule: docs/protocol.md#corrective-clicks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import isqrt
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.clicks import corrective_on_gpu
from mis_lightning.clicks.pixel_choice import choose_pixels
from mis_lightning.errors import InputError

Errors = Callable[[int], tuple[NDArray[np.bool_], NDArray[np.bool_]]]
"""Index of a sample -> its FN and FP, bool ``(H, W)``."""


def add_corrective_clicks(
    points: Tensor,
    probability: Tensor,
    mask: Tensor,
    order: int,
    generator: torch.Generator,
    threshold: float = 0.49,
) -> Tensor:
    """Click once per sample, somewhere deep inside the deeper of its two kinds of error.

    With FN the object's pixels predicted below ``threshold`` and FP the other pixels predicted above it, the
    click is positive iff FN is strictly deeper than FP (depth: OpenCV's 5x5 approximate distance to the
    nearest pixel outside the error; everything beyond the image is outside). Its pixel is uniform over those
    deeper than half the greater depth. A sample without error gets no click.

    Args:
        points: float32 ``(B, 2K, 3)``, see :mod:`mis_lightning.structures`; not changed.
        probability: ``(B, 1, H, W)`` or ``(B, H, W)`` in [0, 1], on any device. On CUDA all is done there
            and nothing waits for it (:mod:`~mis_lightning.clicks.corrective_on_gpu`); from another device the
            errors are fetched once per batch.
        mask: Same shape and device, bool, or a number that is above 0.5 in the object.
        order: ``t``, the number of this click, from 1. A positive click is written to row ``K - t``, a
            negative one to row ``2K - t``, over what is there.
        generator: One number per sample is drawn from it, whether or not the sample gets a click. The result
            does not depend on the number of threads.
        threshold: Splits the prediction into object and background.

    Returns:
        A new points tensor, on the device of ``points``.

    Raises:
        InputError: ``order`` is not in ``1..K``.
    """
    half = points.shape[1] // 2
    if not 1 <= order <= half:
        raise InputError(
            f"Expected the click number `order` in 1..{half}, but got {order}; allow more points."
        )
    uniform = torch.rand(len(points), generator=generator, device=generator.device, dtype=torch.float64)
    if corrective_on_gpu.works_on(probability.device):
        return _add_on_gpu(points, probability.detach(), mask, order, uniform, threshold)
    errors = error_maps(probability.detach(), mask, threshold)
    return add_clicks_on_cpu(points, errors, order, uniform.tolist())


def add_clicks_on_cpu(points: Tensor, errors: Errors, order: int, uniform: Sequence[float]) -> Tensor:
    """:func:`add_corrective_clicks` of error maps in this process's threads."""
    half = points.shape[1] // 2

    def choose(sample: int) -> tuple[int, int, bool] | None:
        return choose_click(*errors(sample), uniform[sample])

    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:  # numpy and OpenCV release the GIL
        clicks = list(pool.map(choose, range(len(points))))

    clicked = [sample for sample, click in enumerate(clicks) if click is not None]
    rows = [half - order if positive else 2 * half - order for _, _, positive in filter(None, clicks)]
    values = [(row, col, order) for row, col, _ in filter(None, clicks)]
    place = torch.tensor([clicked, rows], dtype=torch.long, device=points.device).unbind()
    return points.index_put(place, torch.tensor(values, dtype=points.dtype, device=points.device).view(-1, 3))


def _add_on_gpu(
    points: Tensor, probability: Tensor, mask: Tensor, order: int, uniform: Tensor, threshold: float
) -> Tensor:
    """:func:`add_corrective_clicks` without a wait for the GPU, so that the CPU can prepare what follows."""
    from mis_lightning.clicks.depth_on_gpu import depth_inside

    size = probability.shape[-2:]
    errors = split_errors(probability.float().reshape(-1, *size), mask.reshape(-1, *size), threshold)
    if uniform.device.type == "cpu":
        uniform = uniform.pin_memory().to(probability.device, non_blocking=True)
    chosen = corrective_on_gpu.choose_clicks(torch.stack(errors, dim=1), uniform, depth_inside)
    return corrective_on_gpu.write_clicks(points, *chosen, order)


def error_maps(probability: Tensor, mask: Tensor, threshold: float) -> Errors:
    """Return a function from the index of a sample to its FN and FP.

    On the CPU the work is done inside that function, while the sample is in the cache. Elsewhere it is done
    on the device for the whole batch, and only the maps of bools are fetched.
    """
    size = probability.shape[-2:]
    probability = probability.float().reshape(-1, *size)
    mask = mask.reshape(-1, *size)
    if probability.device.type != "cpu":
        both = torch.stack(split_errors(probability, mask, threshold), dim=1).cpu().numpy()
        return lambda sample: (both[sample, 0], both[sample, 1])
    scores, targets = probability.numpy(), mask.numpy()
    return lambda sample: split_errors(scores[sample], targets[sample], threshold)


def split_errors(probability: Any, mask: Any, threshold: float) -> tuple[Any, Any]:
    """Return FN and FP, bool: tensors for tensors, arrays for arrays, in the shape of the arguments."""
    target = mask if mask.dtype in (torch.bool, np.bool_) else mask > 0.5
    return (probability < threshold) & target, (probability > threshold) & ~target


def choose_click(
    missed: NDArray[np.bool_], wrong: NDArray[np.bool_], uniform: float
) -> tuple[int, int, bool] | None:
    """Choose the next click of one sample.

    Args:
        missed: FN, bool ``(H, W)``.
        wrong: FP, bool ``(H, W)``.
        uniform: In [0, 1); picks among the candidates in row-major order.

    Returns:
        Row, column and whether the click is positive; ``None`` where there is no error.
    """
    errors = (missed, wrong)
    bounds = [depth_bound(error) for error in errors]
    depths: dict[int, NDArray[np.float32]] = {}
    deepest = [0.0, 0.0]
    promising = int(bounds[1] > bounds[0])
    for which in (promising, 1 - promising):
        # Often the first depth already exceeds what the other error could reach.
        if bounds[which] > 0 and bounds[which] >= deepest[1 - which]:
            depths[which] = depth_inside(errors[which])
            deepest[which] = float(depths[which].max())
    if not depths:
        return None
    positive = deepest[0] > deepest[1]
    chosen = 0 if positive else 1
    candidates = depths[chosen] > max(deepest) / 2
    left, top, _, _ = cv2.boundingRect(errors[chosen].view(np.uint8))
    ((row, col),) = choose_pixels(candidates, np.array([uniform]))
    return top + int(row), left + int(col), positive


def depth_inside(error: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Approximate distance of every pixel to the outside of the error, cropped to the error's bounding box.

    The box is padded by one pixel of outside. No path to a pixel beyond that is shorter than the one to the
    padding, so cropping changes nothing.
    """
    left, top, width, height = cv2.boundingRect(error.view(np.uint8))
    box = error[top : top + height, left : left + width].view(np.uint8)
    padded = cv2.copyMakeBorder(box, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1], np.float32)


def depth_bound(error: NDArray[np.bool_]) -> int:
    """Return a number that no depth of the error exceeds; 0 iff there is no error.

    A straight step costs 1, so the depth is at most the way to the nearer side of the bounding box; and a
    pixel of depth above ``m`` is the centre of a diamond of ``2m² + 2m + 1`` pixels of the error.
    """
    area = cv2.countNonZero(error.view(np.uint8))
    if area == 0:
        return 0
    _, _, width, height = cv2.boundingRect(error.view(np.uint8))
    return min((min(width, height) + 1) // 2, (isqrt(2 * area - 1) + 1) // 2)
