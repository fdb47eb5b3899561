"""What else finds objects alike: templates that are matched, and thresholding with a watershed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.alike.proposal import Proposal
from mis_lightning.alike.propose import distinct

SIZES = (0.75, 1.0, 1.33)
"""Of templates, in those of the marked objects."""


def match_templates(image: NDArray[np.uint8], examples: Sequence[NDArray[np.bool_]]) -> list[Proposal]:
    """Place each marked object, at three sizes, where OpenCV's normalised correlation has its peaks.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        examples: Masks of marked objects, bool, ``(H, W)``.

    Returns:
        Best first, by the correlation.
    """
    found = []
    for mask in examples:
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        margin = max(2, round(0.2 * max(width, height)))
        rows = slice(max(0, top - margin), top + height + margin)
        cols = slice(max(0, left - margin), left + width + margin)
        for size in SIZES:
            template = cv2.resize(image[rows, cols], None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
            shape = cv2.resize(mask[rows, cols].astype(np.float32), template.shape[1::-1]) > 0.5
            if not shape.any() or min(np.subtract(image.shape[:2], template.shape[:2])) < 0:
                continue
            alike = cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED)
            apart = max(3, min(width, height) // 2) | 1
            peaks = (alike == cv2.dilate(alike, np.ones((apart, apart)))) & (alike > 0.3)
            found += [Proposal(float(alike[r, c]), shape, int(r), int(c)) for r, c in np.argwhere(peaks)]
    taken = np.any(np.stack(list(examples)), axis=0)
    return distinct(found, taken)


def watershed(image: NDArray[np.uint8], examples: Sequence[NDArray[np.bool_]]) -> list[Proposal]:
    """Threshold the lightness (Otsu), and part what touches by the watershed of its distances.

    Whether objects are light or dark, how far apart their middles are, and which sizes are likely, is taken
    from the marked ones; a score says how near the size is to theirs.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        examples: Masks of marked objects, bool, ``(H, W)``.

    Returns:
        Best first.
    """
    filters, measure, segmentation = (
        import_module(f"skimage.{part}") for part in ("filters", "measure", "segmentation")
    )
    peak_local_max = import_module("skimage.feature").peak_local_max
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1)
    taken = np.any(np.stack(list(examples)), axis=0)
    near = cv2.dilate(taken.view(np.uint8), np.ones((9, 9))).astype(np.bool_) & ~taken
    light = grey[taken].mean() > grey[near].mean()
    limit = filters.threshold_otsu(grey)
    inside = grey > limit if light else grey <= limit
    area = float(np.median([np.count_nonzero(mask) for mask in examples]))
    depth = cv2.GaussianBlur(cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 5), (0, 0), 1)
    peaks = peak_local_max(
        depth, min_distance=max(1, round(0.6 * math.sqrt(area / math.pi))), labels=inside.astype(np.uint8)
    )
    markers = np.zeros(inside.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = []
    for part in measure.regionprops(segmentation.watershed(-depth, markers, mask=inside)):
        if not 0.2 * area < part.area < 6 * area:
            continue
        top, left = part.bbox[:2]
        found.append(Proposal(math.exp(-abs(math.log(part.area / area))), part.image_filled, top, left))
    return distinct(found, taken)
