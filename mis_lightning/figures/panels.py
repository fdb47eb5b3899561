"""A grid of pictures of one size, filling the width of a figure to the last point."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.figures.style import TITLE_SIZE

_PANEL = 1.6  # inches: a picture with room for its title
_GAP = 0.06  # inches between pictures
_TITLE = 0.19  # inches above each picture


def image_panels(
    size: tuple[int, int], count: int, columns: int | None, width: float, footer: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Lay out axes for pictures.

    Args:
        size: Of every picture, ``(H, W)``; only the ratio counts.
        count: Number of pictures.
        columns: Pictures in a row; ``None`` takes as many as leave each one the 1.6 inches a title needs.
        width: Of the figure, in inches.
        footer: Space left free below, in inches.

    Returns:
        The figure and its axes, row by row.

    Raises:
        InputError: No pictures, or no column, or a width too small for the columns.
    """
    columns = min(max(1, int(width / _PANEL)) if columns is None else columns, count)
    if columns < 1 or width <= columns * 2 * _GAP:
        raise InputError(
            "Expected at least one picture in at least one column and a `width` of the figure in inches, "
            f"but got {count} pictures, {columns} columns, width {width}."
        )
    rows = math.ceil(count / columns)
    panel = (width - (columns - 1) * _GAP) / columns
    height = panel * size[0] / size[1]
    total = rows * (height + _TITLE) + (rows - 1) * _GAP + footer
    figure = Figure(figsize=(width, total))
    axes = []
    for index in range(count):
        row, column = divmod(index, columns)
        left = column * (panel + _GAP)
        top = row * (height + _TITLE + _GAP) + _TITLE
        axes.append(
            figure.add_axes(
                (left / width, (total - top - height) / total, panel / width, height / total),
            )
        )
    return figure, axes


def show(axes: Axes, picture: NDArray[np.generic], title: str) -> None:
    """Show a picture ``(H, W, 3)``, uint8 or float in ``[0, 1]``, under a title."""
    axes.imshow(picture)
    axes.set_axis_off()
    axes.set_title(title, fontsize=TITLE_SIZE, pad=3)


def check_image(image: NDArray[np.uint8]) -> None:
    """Check that an image is RGB, uint8, ``(H, W, 3)``.

    Raises:
        InputError: It is not.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(
            f"Expected `image` as RGB, uint8, (H, W, 3), but got {image.dtype} {image.shape}; "
            "read it with mis_lightning.images.read_image."
        )


def faded(image: NDArray[np.uint8], strength: float, colour: float = 1.0) -> NDArray[np.float64]:
    """Mix an image with white (or black for ``colour`` 0), float64, ``(H, W, 3)``, in ``[0, 1]``."""
    return (1 - strength) * (image / 255) + strength * colour
