"""A second, slow implementation of the evaluation protocol, written straight from
docs/protocol.md#evaluation.

Nothing of the package is used but its structures: float images, distances by SciPy or from every pair of
pixels, matrices instead of an interpolation routine, one object and one input at a time.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist
from torch import Tensor

from mis_lightning.evaluation.simulation import EvaluationSettings
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Click, Prompt, Sample

EXPANSION, RECOMPUTE, Q = 1.4, 0.5, 0.5


def reference_click(gt: np.ndarray, predicted: np.ndarray, clicked: list[tuple[int, int]]) -> Click:
    """B2; ``gt`` is 1 object, 0 background, -1 ignored."""

    def depth(region: np.ndarray) -> np.ndarray:
        padded = np.pad(region, 1)
        if region.size > 10_000:  # too many pairs
            return distance_transform_edt(padded)[1:-1, 1:-1]
        result = np.zeros(padded.shape, dtype=np.float32)
        if region.any():
            result[padded] = cdist(np.argwhere(padded), np.argwhere(~padded)).min(axis=1)
        return result[1:-1, 1:-1]

    fn = depth((gt == 1) & ~predicted)
    fp = depth((gt == 0) & predicted)
    for r, c in clicked:
        fn[r, c] = fp[r, c] = 0
    positive = bool(fn.max() > fp.max())
    chosen = fn if positive else fp
    row, col = np.argwhere(chosen == chosen.max())[0]
    return Click(int(row), int(col), positive)


def reference_box(q: np.ndarray | None, clicks: list[Click], shape: tuple[int, int], least: int) -> list[int]:
    """B4, forward step 1."""
    if q is None or not (q > Q).any():
        return [0, shape[0] - 1, 0, shape[1] - 1]
    mask = q > Q
    for click in clicks:
        if click.positive:
            mask[int(click.row), int(click.col)] = True
    rows, cols = np.nonzero(mask)
    result = []
    for low, high, size in ((rows.min(), rows.max(), shape[0]), (cols.min(), cols.max(), shape[1])):
        extent = max(EXPANSION * (high - low + 1), least)
        centre = (low + high) / 2
        result += [
            max(0, int(np.rint(centre - 0.5 * extent))),
            min(size - 1, int(np.rint(centre + 0.5 * extent))),
        ]
    return result


def reference_box_iou(a: list[int], b: list[int]) -> float:
    product = 1.0
    for axis in (0, 2):
        shared = set(range(a[axis], a[axis + 1] + 1)) & set(range(b[axis], b[axis + 1] + 1))
        product *= len(shared) / (max(a[axis + 1], b[axis + 1]) - min(a[axis], b[axis]) + 1)
    return product


def reference_resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with aligned corners as a product with two interpolation matrices."""

    def weights(out: int, given: int) -> Tensor:
        matrix = np.zeros((out, given))
        for i in range(out):
            position = i * (given - 1) / (out - 1) if out > 1 else 0.0
            low = min(int(position), given - 1)
            matrix[i, low] += 1 - (position - low)
            if low + 1 < given:
                matrix[i, low + 1] += position - low
        return torch.from_numpy(matrix)

    rows, cols = weights(size[0], maps.shape[-2]), weights(size[1], maps.shape[-1])
    return (rows @ maps.double() @ cols.T).float()


def reference_points(clicks: list[tuple[float, float, bool]]) -> Tensor:
    """B3: m positive rows, m negative rows, at least one of each."""
    kinds = [[(r, c, k) for k, (r, c, p) in enumerate(clicks) if p is kind] for kind in (True, False)]
    m = max(len(kinds[0]), len(kinds[1]), 1)
    return torch.tensor([row for kind in kinds for row in kind + [(-1, -1, -1)] * (m - len(kind))])


@torch.no_grad()
def reference_session(
    model, sample: Sample, settings: EvaluationSettings, prediction: PredictionSettings, least: int
):
    """B1 for one object: its clicks and IoUs."""
    gt = sample.mask.astype(int)
    if sample.ignore is not None:
        gt[sample.ignore] = -1
    shape = gt.shape
    image = torch.tensor(sample.image, dtype=torch.float32).permute(2, 0, 1) / 255
    height, width = prediction.size
    predicted, q, roi, clicks, ious = np.zeros(shape, dtype=bool), None, None, [], []
    for number in range(1, settings.max_clicks + 1):
        clicks.append(reference_click(gt, predicted, [(c.row, c.col) for c in clicks]))

        candidate = reference_box(q, clicks, shape, least)
        if (
            roi is None
            or any(c.positive and (c.row < roi[0] or c.row >= roi[1] or c.col < roi[2] or c.col >= roi[3])
                   for c in clicks)
            or reference_box_iou(candidate, roi) < RECOMPUTE
        ):  # fmt: skip
            roi = candidate
        rmin, rmax, cmin, cmax = roi
        network_input = torch.cat([image, torch.zeros(1, *shape) if q is None else torch.tensor(q)[None]])
        crop = reference_resize(network_input[:, rmin : rmax + 1, cmin : cmax + 1], (height, width))
        moved = [
            (
                height * (c.row - rmin) / (rmax - rmin + 1),
                width * (c.col - cmin) / (cmax - cmin + 1),
                c.positive,
            )
            for c in clicks
        ]
        mirrored = [(r, width - c - 1, p) for r, c, p in moved]
        # One call each: the batch of the two is an implementation detail.
        straight = model(crop[None, :3], Prompt(reference_points(moved)[None].float(), crop[None, 3:]))
        flipped = torch.flip(crop, dims=[2])
        back = model(flipped[None, :3], Prompt(reference_points(mirrored)[None].float(), flipped[None, 3:]))
        logits = (straight + torch.flip(back, dims=[3])) / 2
        inside = reference_resize(1 / (1 + torch.exp(-logits[0, 0])), (rmax - rmin + 1, cmax - cmin + 1))
        q = np.zeros(shape, dtype=np.float32)
        q[rmin : rmax + 1, cmin : cmax + 1] = inside.numpy()

        predicted = q > prediction.threshold
        both = (predicted & (gt == 1)).sum()
        either = ((predicted | (gt == 1)) & (gt != -1)).sum()
        ious.append(both / either if either else float("nan"))
        if (
            settings.target_iou is not None
            and ious[-1] >= settings.target_iou
            and number >= settings.min_clicks
        ):
            break
    return clicks, ious
