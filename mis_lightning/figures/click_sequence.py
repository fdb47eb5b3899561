"""One object click by click: the mask, the clicks, the IoU (paper Figs. IV and V)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.figures.outlines import draw_borders
from mis_lightning.figures.panels import check_image, image_panels, show
from mis_lightning.figures.style import BLUE, GREEN, PAGE_WIDTH, PALETTE, PALETTE_RGB, TICK_SIZE, VERMILLION
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.structures import Click, Sample

_LEGEND_WIDTH = 4.5  # inches that the legend takes in one row; narrower figures get two
_LEGEND_ROW = 0.18  # inches


class Step(NamedTuple):
    """The state after one click.

    Attributes:
        clicks: All clicks so far.
        probability: The answer, float ``(H, W)`` in ``[0, 1]``, or a bool mask.
        iou: With the true mask, in ``[0, 1]`` or ``nan``.
    """

    clicks: Sequence[Click]
    probability: NDArray[np.generic]
    iou: float


def simulated_steps(segmenter: Segmenter[Any], sample: Sample, settings: EvaluationSettings) -> list[Step]:
    """Run one simulated user, then answer the same clicks again and keep every answer.

    Args:
        segmenter: Answers the clicks.
        sample: What to segment.
        settings: When to stop.

    Returns:
        A step for each click of the session that
        :func:`~mis_lightning.evaluation.simulation.simulate_session` gives.
    """
    session = simulate_session(segmenter, sample, settings)
    state, steps = segmenter.begin(sample.image), []
    for count, (click, iou) in enumerate(zip(session.clicks, session.ious, strict=True), 1):
        (state,) = segmenter.click([state], [[click]])
        steps.append(Step(session.clicks[:count], segmenter.mask(state), float(iou)))
    return steps


def click_sequence(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    steps: Sequence[Step],
    *,
    shown: Sequence[int] | None = None,
    threshold: float = 0.5,
    columns: int | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """The image with the true outline, then mask, clicks and IoU click by click.

    Positive clicks are circles, negative ones crosses, the newest click is the largest.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        mask: The object, bool, ``(H, W)``.
        steps: What :func:`simulated_steps` returns, or your own.
        shown: Which clicks get a picture, counted from 1; ``None`` shows all.
        threshold: A pixel belongs to the mask where its probability is above this.
        columns: Pictures in a row; ``None`` fits them to the width.
        width: Of the figure, in inches.

    Raises:
        InputError: Shapes do not fit the image, or a shown click is not among the steps.
    """
    check_image(image)
    numbers = range(1, len(steps) + 1) if shown is None else shown
    if not all(1 <= number <= len(steps) for number in numbers):
        raise InputError(f"Expected `shown` clicks in 1..{len(steps)}, but got {list(numbers)}.")
    _check_mask(image, mask, "mask")
    legend_rows = 1 if width >= _LEGEND_WIDTH else 2
    figure, axes = image_panels(
        mask.shape, 1 + len(numbers), columns, width, footer=0.06 + legend_rows * _LEGEND_ROW
    )
    show(axes[0], image, "image and object")
    draw_borders(axes[0], mask, "white", 0.7, halo="black")
    for ax, number in zip(axes[1:], numbers, strict=True):
        clicks, probability, iou = steps[number - 1]
        _check_mask(image, probability, f"probability {number}")
        _show_step(ax, image, mask, np.asarray(probability) > threshold, f"click {number}: IoU {iou:.3f}")
        draw_clicks(ax, clicks)
    _legend(figure, legend_rows, any(not click.positive for at in numbers for click in steps[at - 1][0]))
    return figure


def _show_step(
    axes: Axes, image: NDArray[np.uint8], mask: NDArray[np.bool_], found: NDArray[np.bool_], title: str
) -> None:
    picture = 0.55 * (image / 255)
    picture[found] = 0.5 * image[found] / 255 + 0.5 * PALETTE_RGB[PALETTE.index(BLUE)]
    show(axes, picture, title)
    draw_borders(axes, mask, "white", 0.7, halo="black")


def draw_clicks(axes: Axes, clicks: Sequence[Click], newest: bool = True) -> None:
    """Mark clicks on a picture, the last one larger where it is the ``newest``."""
    for number, click in enumerate(clicks, start=1):
        size = 7.0 if newest and number == len(clicks) else 4.5
        axes.plot([click.col], [click.row], **_marker(click.positive, size))


def _marker(positive: bool, size: float) -> dict[str, Any]:
    return {
        "marker": "o" if positive else "X",
        "markersize": size,
        "markerfacecolor": GREEN if positive else VERMILLION,
        "markeredgecolor": "white",
        "markeredgewidth": 0.8,
        "linestyle": "none",
    }


def _legend(figure: Figure, rows: int, with_negative: bool) -> None:
    halo = [Stroke(linewidth=2.0, foreground="black"), Normal()]
    handles: list[Artist] = [
        Line2D([], [], color="white", linewidth=1.0, path_effects=halo, label="object"),
        Patch(facecolor=BLUE, alpha=0.7, label="mask found"),
        Line2D([], [], **_marker(True, 6), label="positive click"),
    ]
    if with_negative:
        handles.append(Line2D([], [], **_marker(False, 6), label="negative click"))
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=len(handles) if rows == 1 else 2,
        fontsize=TICK_SIZE,
        frameon=False,
        borderpad=0,
        borderaxespad=0.3,
    )


def _check_mask(image: NDArray[np.uint8], mask: NDArray[np.generic], name: str) -> None:
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"Expected `{name}` of shape {image.shape[:2]} like the image, but got {mask.shape}."
        )
