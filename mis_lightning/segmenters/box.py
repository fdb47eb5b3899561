"""A box around an object: what is outside is background; model, tree and colours decide inside.

The model was not trained on boxes. It is shown the box as the previous mask, which biases it towards the
whole box, and once more half as strong, which does not bias it enough; the mean of the two is in between. Two
things that only a box tells are added to its log-odds: parts of the tree that reach far out of the box are
background, and so are colours that occur outside rather than inside (re-estimated from the labels, as GrabCut
does). The model then sees the mask found so, once more. Weights were chosen on the development halves of
eight sets: ``experiments/refinement/refinement.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mis_lightning.clicks.deepest_pixel import deepest_pixel
from mis_lightning.errors import InputError
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.mask_box import mask_box
from mis_lightning.merge_tree.leaf_grid import leaf_evidence, leaf_pixels
from mis_lightning.merge_tree.refinement import refine
from mis_lightning.merge_tree.sampling import leaf_counts
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.structures import Click

Ask = Callable[[NDArray[np.float32], Sequence[Click]], NDArray[np.float32]]
"""``ask(previous mask (H, W), clicks) -> logits (h, w)``: the model, in one ROI, in pixels of the ROI."""

BINS = 16
"""Bins of each Lab channel in the histograms of colours."""
PARTS_OF_BOX = 8
"""Parts that the tree is cut into, for each area of the box."""
INSIDE_SHARE = 0.8
"""A part that lies inside the box with this share of its pixels speaks neither for nor against."""


def segment_box(
    ask: Ask,
    roi: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    how: Refinement,
    extractor: PatchExtractor | None = None,
) -> NDArray[np.bool_]:
    """The object in a box; nothing outside the box belongs.

    Args:
        ask: The model in this ROI; asked three times.
        roi: The pixels of the ROI, the box and some surroundings, RGB, uint8, ``(H, W, 3)``.
        inside: The box, bool, ``(H, W)``.
        how: Price and clip.
        extractor: Of the tree; that of ``how`` if none is given.

    Returns:
        The mask, bool, ``(H, W)``; it may be empty.

    Raises:
        InputError: The box has another shape than the ROI, or holds no pixel.
    """
    shape = roi.shape[:2]
    if inside.shape != shape or not inside.any():
        raise InputError(
            f"Expected a box of the ROI's shape {shape} with a pixel in it, but got {inside.shape} and "
            f"{int(inside.sum())} pixels."
        )
    tree = how.tree(roi, extractor)
    inside_counts = leaf_counts(inside, tree.grid)
    counts = leaf_counts(np.ones_like(inside), tree.grid)
    fixed = np.where(inside_counts > 0, 0, -1).astype(np.int8)
    bins = _colour_bins(roi, tree.grid)
    previous, middle = inside.astype(np.float32), [_centre(inside)]
    asked = 0.5 * (ask(previous, middle) + ask(0.5 * previous, middle))
    price = how.piece_price(tree.n_leaves, asked.shape)
    base = leaf_evidence(asked, shape, tree.grid, how.clip) + _part_evidence(tree, inside_counts, counts)
    base = np.clip(base, -how.clip, how.clip)
    labels = refine(tree, base, price, fixed)
    for _ in range(3):
        labels = _with_colours(tree, base, labels, bins, 1.0, fixed, price, how.clip)
    mask = leaf_pixels(labels, shape) & inside
    if not mask.any():
        return mask
    again = leaf_evidence(ask(mask.astype(np.float32), [_deepest(mask)]), shape, tree.grid, how.clip)
    base = 0.5 * (base + again)
    for _ in range(2):
        labels = _with_colours(tree, base, labels, bins, 0.5, fixed, price, how.clip)
    return leaf_pixels(labels, shape) & inside


def _with_colours(
    tree: MergeTree,
    base: NDArray[np.float32],
    labels: NDArray[np.bool_],
    bins: NDArray[np.int64],
    weight: float,
    fixed: NDArray[np.int8],
    price: float,
    clip: float,
) -> NDArray[np.bool_]:
    """New labels from log-odds and the colours of the old labels."""
    if not labels.any() or labels.all():
        return labels
    evidence = base + np.float32(weight) * colour_evidence(bins, labels)
    return refine(tree, np.clip(evidence, -clip, clip).astype(np.float32, copy=False), price, fixed)


def colour_evidence(bins: NDArray[np.int64], labels: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much likelier each leaf's colour is among the object's leaves than among the others.

    Args:
        bins: The bin of each leaf's colour, in ``0..BINS**3 - 1``, int64, ``(h, w)``.
        labels: The object, bool, ``(h, w)``; neither empty nor everything.

    Returns:
        Log-ratio of two histograms, each smoothed by a Gaussian of one bin, in ``[-3, 3]``, float32,
        ``(h, w)``.
    """
    smooth = []
    for chosen in (bins[labels], bins[~labels]):
        histogram = np.bincount(chosen, minlength=BINS**3).reshape(BINS, BINS, BINS)
        histogram = gaussian_filter(histogram.astype(np.float64), 1.0)
        smooth.append(histogram.ravel() / histogram.sum() + 1e-4 / BINS)
    ratio = np.log(smooth[0] / smooth[1])
    return np.clip(ratio, -3, 3).astype(np.float32)[bins]


def _colour_bins(roi: NDArray[np.uint8], grid: tuple[int, int]) -> NDArray[np.int64]:
    small = cv2.resize(np.ascontiguousarray(roi), grid[::-1], interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.int64) * BINS // 256
    return np.asarray((lab[..., 0] * BINS + lab[..., 1]) * BINS + lab[..., 2])


def _part_evidence(
    tree: MergeTree, inside: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Log-odds against parts that reach out of the box, a little for those wholly inside."""
    parts = tree.cut(int(np.clip(round(PARTS_OF_BOX * counts.sum() / inside.sum()), 1, tree.n_leaves)))
    share = np.bincount(parts.ravel(), inside.ravel()) / np.bincount(parts.ravel(), counts.ravel())
    return np.clip(15 * (share - INSIDE_SHARE), -2, 1).astype(np.float32)[parts]


def _centre(box: NDArray[np.bool_]) -> Click:
    """A positive click in the middle of a box."""
    rows, cols = mask_box(box)
    return Click((rows.start + rows.stop - 1) / 2, (cols.start + cols.stop - 1) / 2, True)


def _deepest(mask: NDArray[np.bool_]) -> Click:
    """A positive click on the deepest pixel of a mask."""
    _, row, col = deepest_pixel(mask, np.empty((0, 2), np.int64))
    return Click(float(row), float(col), True)
