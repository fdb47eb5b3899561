"""Mean IoU against the number of clicks, one line for each run (paper Fig. I)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mis_lightning.errors import InputError
from mis_lightning.figures.style import COLUMN_WIDTH, PALETTE, TICK_SIZE, TITLE_SIZE

Curves = Mapping[str, ArrayLike] | Iterable[ArrayLike]
"""IoU after each click of each object, ``(k,)`` each; by the object's name or not."""

_LINES = ("-", "--", "-.", ":")
_MARKERS = "osD^vPX"  # one for each colour of the palette
_INSIDE = 3  # as many runs leave room for a legend between their curves
_LEGEND_ROW = 0.17  # inches


def iou_curves(runs: Mapping[str, Curves], max_clicks: int = 20, *, width: float = COLUMN_WIDTH) -> Figure:
    """Draw the mean IoU after each click.

    Runs differ in colour, dashes and markers, so that the figure can be printed in grey. The legend of more
    than three runs stands below the axes, where it hides no curve.

    Args:
        runs: The curves of the objects by the label of the run. What
            :func:`mis_lightning.metrics.curves.read_curves` makes of one ``curves.csv`` fits, a line for each
            benchmark, and so do parts of several: ``{"ours": read_curves("a/curves.csv")["GrabCut"], ...}``.
        max_clicks: Length of the axis.
        width: Of the figure, in inches; the height is three quarters of it, at most 3 inches, and that of
            a legend below.

    Raises:
        InputError: No runs, or curves that :func:`mean_curve` does not take.
    """
    if not runs:
        raise InputError("Expected at least one run with its IoU curves, but got none.")
    columns = max(1, round(width / 1.65))
    rows = 0 if len(runs) <= _INSIDE else -(-len(runs) // columns)
    height = min(0.75 * width, 3.0) + _LEGEND_ROW * rows
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    clicks = np.arange(1, max_clicks + 1)
    for number, (label, curves) in enumerate(runs.items()):
        axes.plot(
            clicks,
            mean_curve(curves, max_clicks),
            label=label,
            color=PALETTE[number % len(PALETTE)],
            linestyle=_LINES[number % len(_LINES)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=3,
            linewidth=1.2,
        )
    axes.set_xlim(0.5, max_clicks + 0.5)
    axes.set_ylim(top=1.0)
    axes.set_xticks([1, *range(5, max_clicks + 1, 5)] if max_clicks > 7 else clicks)
    axes.set_xlabel("clicks", fontsize=TITLE_SIZE)
    axes.set_ylabel("mean IoU", fontsize=TITLE_SIZE)
    axes.tick_params(labelsize=TICK_SIZE)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    looks = {"fontsize": TICK_SIZE, "frameon": False, "handlelength": 3}
    if rows:
        figure.legend(loc="outside lower center", ncols=columns, columnspacing=1.2, **looks)
    else:
        axes.legend(loc="best", **looks)
    return figure


def mean_curve(curves: Curves, max_clicks: int = 20) -> NDArray[np.float64]:
    """The mean IoU of objects after each click.

    The curve of an object that ended early, because it reached the target, goes on with its last IoU: that is
    the mask the user keeps. A run that stops at 0.90 therefore lies below one that makes all clicks; compare
    runs of one protocol. Values of ``nan`` are left out.

    Args:
        curves: See :data:`Curves`.
        max_clicks: Later clicks are left out.

    Returns:
        Float64, ``(max_clicks,)``; ``nan`` where no object has a value.

    Raises:
        InputError: No curves, an empty one, one that is not a vector of IoUs, or ``max_clicks`` below 1.

    >>> mean_curve([[0.5, 1.0], [0.5]], 3).tolist()
    [0.5, 0.75, 0.75]
    """
    arrays = [np.asarray(c, np.float64) for c in (curves.values() if isinstance(curves, Mapping) else curves)]
    if max_clicks < 1 or not arrays:
        raise InputError(
            f"Expected curves of objects and `max_clicks` >= 1, but got {len(arrays)} and {max_clicks}."
        )
    for curve in arrays:
        if curve.ndim != 1 or len(curve) == 0 or ((curve < 0) | (curve > 1)).any():
            raise InputError(
                "Expected each curve as the IoU after each click, (k,) with k >= 1, in [0, 1], "
                f"but got shape {curve.shape} with {curve.ravel()[:5].tolist()}."
            )
    table = np.stack([curve[np.minimum(np.arange(max_clicks), len(curve) - 1)] for curve in arrays])
    known = ~np.isnan(table)
    counts = known.sum(axis=0)
    means = np.full(max_clicks, np.nan)
    np.divide(np.where(known, table, 0).sum(axis=0), counts, out=means, where=counts > 0)
    return means
