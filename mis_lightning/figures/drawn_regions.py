"""What training sees of one image: regions drawn from it, whatever their source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.figures.outlines import draw_borders
from mis_lightning.figures.panels import check_image, faded, image_panels, show
from mis_lightning.figures.style import BLUE, PAGE_WIDTH, PALETTE, PALETTE_RGB


def drawn_regions(
    image: NDArray[np.uint8],
    masks: Sequence[NDArray[np.bool_]],
    *,
    columns: int | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """The image, and each region in blue over the darkened image, with its share of the image.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        masks: The regions, bool, ``(H, W)`` each.
        columns: Pictures in a row; ``None`` fits them to the width.
        width: Of the figure, in inches.

    Raises:
        InputError: The image is of another kind, or a mask has another size.
    """
    check_image(image)
    size = (image.shape[0], image.shape[1])
    if any(mask.shape != size or mask.dtype != np.bool_ for mask in masks):
        raise InputError(f"Expected `masks` as bool {size}, but got {[mask.shape for mask in masks]}.")
    figure, axes = image_panels(size, 1 + len(masks), columns, width)
    show(axes[0], image, "image")
    for ax, mask in zip(axes[1:], masks, strict=True):
        picture = faded(image, 0.6, 0.0)
        picture[mask] = 0.6 * image[mask] / 255 + 0.4 * PALETTE_RGB[PALETTE.index(BLUE)]
        show(ax, picture, f"{mask.mean():.0%} of the image" if mask.any() else "no region")
        draw_borders(ax, mask, "white", 0.6, halo="black")
    return figure
