"""What a training batch shows the network: regions, first points, and the answers to them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.figures.click_sequence import draw_clicks
from mis_lightning.figures.outlines import draw_borders
from mis_lightning.figures.panels import image_panels, show
from mis_lightning.figures.style import BLUE, PAGE_WIDTH, PALETTE, PALETTE_RGB
from mis_lightning.structures import Click


def training_batch(
    images: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    points: NDArray[np.float32],
    probabilities: NDArray[np.floating],
    *,
    threshold: float = 0.5,
    width: float = PAGE_WIDTH,
) -> Figure:
    """One picture a sample: the region outlined, its points, the mask found in blue, their IoU in the title.

    Args:
        images: uint8, ``(B, H, W, 3)``.
        masks: The regions, bool, ``(B, H, W)``; empty ones have no outline.
        points: float32, ``(B, 2K, 3)`` as in :mod:`mis_lightning.structures`.
        probabilities: The answers, ``(B, H, W)`` in ``[0, 1]``.
        threshold: A pixel belongs to the mask where its probability is above this.
        width: Of the figure, in inches.

    Raises:
        InputError: The shapes do not fit together.
    """
    if not (masks.shape == probabilities.shape == images.shape[:3] and len(points) == len(images)):
        raise InputError(
            "Expected images (B, H, W, 3), masks and probabilities (B, H, W) and points (B, 2K, 3), but got "
            f"{images.shape}, {masks.shape}, {probabilities.shape} and {points.shape}."
        )
    figure, axes = image_panels((masks.shape[1], masks.shape[2]), len(images), None, width)
    for ax, image, mask, rows, probability in zip(axes, images, masks, points, probabilities, strict=True):
        found = probability > threshold
        either = np.count_nonzero(found | mask)
        iou = np.count_nonzero(found & mask) / either if either else 1.0
        picture = 0.7 * (image / 255)
        picture[found] = 0.5 * image[found] / 255 + 0.5 * PALETTE_RGB[PALETTE.index(BLUE)]
        show(ax, picture, f"IoU {iou:.2f}" if mask.any() else f"empty region, {found.mean():.0%} marked")
        if mask.any() and not mask.all():
            draw_borders(ax, mask, "white", 0.7, halo="black")
        half = len(rows) // 2
        used = [(number, row) for number, row in enumerate(rows) if row[2] >= 0]
        draw_clicks(
            ax, [Click(float(row[0]), float(row[1]), number < half) for number, row in used], newest=False
        )
    return figure
