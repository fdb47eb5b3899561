"""How much an answer looks like an object: numbers that need no label.

A *look* is an ROI shown to a click model, and its answer. Every number is measured at the size of the
answer, not in pixels of the image, so that it means the same for a cell and for a house.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.segmenters.zoom_in import ROI, to_crop
from mis_lightning.structures import Click

CUES = ("cut", "contrast", "node", "centred", "agrees")
"""Names of the numbers, in the order of :func:`measure_looks`. The object is where the answer is above 0.5.

* ``cut``: share of the object's outline on edges of the window that are not edges of the image.
* ``contrast``: logarithm of the squared distance in CIE Lab between the mean colours of the object and of a
  ring around it, over their variances.
* ``node``: IoU of the object with the best node of a merge tree of the window.
* ``centred``: depth of the click in the object over the largest depth in its piece of the object.
* ``agrees``: mean IoU with the other looks' objects, in the image; looks weigh as much as their answers are
  decided (pixels above 0.7 over those above 0.3).
"""

_LEAVES = 64  # on a side of a window's merge tree
_EXTRACTOR = ColourTexture(stride=1, max_side=_LEAVES, frequencies=32)
_RING = np.ones((9, 9), np.uint8)


class Looks(NamedTuple):
    """What a model was shown of one image, and what it answered.

    Attributes:
        rois: Where.
        views: What it saw, RGB in ``[0, 1]``, float32, ``(n, 3, h, w)``.
        probabilities: What it answered, float32, ``(n, h, w)``.
        shape: ``(H, W)`` of the image.
    """

    rois: Sequence[ROI]
    views: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    shape: tuple[int, int]

    def and_one(self, roi: ROI, view: NDArray[np.float32], probability: NDArray[np.float32]) -> Looks:
        """These looks and one more of the same image: ``view`` ``(3, h, w)``, ``probability`` ``(h, w)``."""
        views, probabilities = self.views, self.probabilities
        return Looks(
            [*self.rois, roi],
            np.concatenate([views, view[None]]),
            np.concatenate([probabilities, probability[None]]),
            self.shape,
        )

    def sides(self) -> NDArray[np.float64]:
        """Longer side of each window in pixels of the image, float64, ``(n,)``."""
        return np.array([max(roi.height, roi.width) for roi in self.rois], np.float64)

    def areas(self) -> NDArray[np.float64]:
        """Pixels of the image that each answer covers, float64, ``(n,)``."""
        shares = (self.probabilities > 0.5).mean(axis=(1, 2))
        return np.asarray(shares * [roi.height * roi.width for roi in self.rois], np.float64)


def measure_looks(looks: Looks, click: Click) -> NDArray[np.float64]:
    """Measure every look.

    Args:
        looks: The looks.
        click: The first click, in pixels of the image.

    Returns:
        float64, ``(n, len(CUES))``; ``nan`` throughout where an answer has no pixel above 0.5.
    """
    rois, views, probabilities, shape = looks
    objects = probabilities > 0.5
    cues = np.full((len(rois), len(CUES)), np.nan)
    filled = [i for i in range(len(rois)) if objects[i].any()]
    overlap = overlaps(objects[filled], [rois[i] for i in filled])
    decided = np.array([(probabilities[i] > 0.7).sum() / (probabilities[i] > 0.3).sum() for i in filled])
    for k, i in enumerate(filled):
        mask = objects[i].view(np.uint8)
        others = np.arange(len(filled)) != k
        weights = decided[others] + 1e-3
        cues[i] = (
            _cut(mask, rois[i], shape),
            _contrast(views[i], objects[i]),
            _node(views[i], mask),
            _centred(mask, to_crop(click, rois[i], mask.shape)),
            np.average(overlap[k, others], weights=weights) if others.any() else 0.0,
        )
    return cues


def overlaps(objects: NDArray[np.bool_], rois: Sequence[ROI]) -> NDArray[np.float64]:
    """IoU in the image of every two objects, float64, ``(n, n)``; each pair is compared on the finer grid.

    Args:
        objects: bool, ``(n, h, w)``, none empty.
        rois: Where they are.
    """
    count, (height, width) = len(rois), objects.shape[1:]
    pixel = [roi.height * roi.width / (height * width) for roi in rois]
    areas = [float(one.sum()) * size for one, size in zip(objects, pixel, strict=True)]
    result = np.eye(count)
    for i in range(count):
        for j in range(i):
            wide, close = (i, j) if pixel[i] > pixel[j] else (j, i)
            a, b = rois[close], rois[wide]
            rows = _cells(a.row_min, a.height, b.row_min, b.height, height)
            cols = _cells(a.col_min, a.width, b.col_min, b.width, width)
            seen = np.pad(objects[wide], ((0, 1), (0, 1)))[rows[:, None], cols]  # the pad: outside
            common = float((seen & objects[close]).sum()) * pixel[close]
            result[i, j] = result[j, i] = min(1.0, common / (areas[i] + areas[j] - common))
    return result


def _cells(close_min: int, close_size: int, wide_min: int, wide_size: int, count: int) -> NDArray[np.intp]:
    """The cell of the wide window at the middle of each cell of the close one; ``count`` where outside."""
    middle = close_min + (np.arange(count) + 0.5) * close_size / count
    cell = np.floor((middle - wide_min) * count / wide_size).astype(np.intp)
    return np.where((cell >= 0) & (cell < count), cell, count)


def _cut(mask: NDArray[np.uint8], roi: ROI, shape: tuple[int, int]) -> float:
    edges = (
        (mask[0], roi.row_min > 0),
        (mask[-1], roi.row_max < shape[0] - 1),
        (mask[:, 0], roi.col_min > 0),
        (mask[:, -1], roi.col_max < shape[1] - 1),
    )
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(4.0, *(cv2.arcLength(contour, True) for contour in contours))
    return sum(float(line.sum()) for line, inner in edges if inner) / outline


def _contrast(view: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    lab = np.asarray(cv2.cvtColor(np.ascontiguousarray(view.transpose(1, 2, 0)), cv2.COLOR_RGB2LAB))
    ring = (cv2.dilate(inside.view(np.uint8), _RING) > 0) & ~inside
    inner, outer = lab[inside], lab[ring if ring.any() else inside]  # no ring: the object is everything
    variance = float(inner.var(axis=0).sum() + outer.var(axis=0).sum())
    distance = float(np.square(inner.mean(axis=0) - outer.mean(axis=0)).sum())
    return float(np.log(distance / (variance + 1) + 0.01))


def _node(view: NDArray[np.float32], mask: NDArray[np.uint8]) -> float:
    pixels = np.clip(view.transpose(1, 2, 0) * 255 + 0.5, 0, 255).astype(np.uint8)
    side = (min(_LEAVES, mask.shape[1]), min(_LEAVES, mask.shape[0]))
    features, grid = _EXTRACTOR(cv2.resize(pixels, side, interpolation=cv2.INTER_AREA))
    covered = cv2.resize(mask.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
    return build_merge_tree(features, grid).best_node(np.clip(covered, 0, 1), np.ones(grid))[1]


def _centred(mask: NDArray[np.uint8], click: Click) -> float:
    row, col = (min(max(int(at), 0), size - 1) for at, size in zip(click[:2], mask.shape, strict=True))
    _, labels = cv2.connectedComponents(mask, connectivity=8)
    piece = (labels == labels[row, col]).view(np.uint8) if labels[row, col] else mask
    padded = cv2.copyMakeBorder(piece, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    return float(depth[row + 1, col + 1] / depth.max())
