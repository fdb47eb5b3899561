"""The course of a training run: loss and NoC of the validations against steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.figures.style import PAGE_WIDTH, PALETTE, TICK_SIZE, TITLE_SIZE
from mis_lightning.metrics.training_log import TrainingLog

_LINES = {"noc_80": ":", "noc_85": "-", "noc_90": "--"}
_MARKERS = "osD^vPX"


def learning_curves(
    runs: Mapping[str, TrainingLog],
    benchmark: str | None = None,
    smooth: int = 5,
    *,
    width: float = PAGE_WIDTH,
) -> Figure:
    """Draw loss and NoC against the training step, a colour for each run.

    Args:
        runs: The logs by the label of the run.
        benchmark: Whose NoC, as in ``val/<benchmark>/noc_85``; ``None``: the first that a log has.
        smooth: The loss is the mean of this many logged values; the values themselves are faint.
        width: Of the figure, in inches.

    Raises:
        InputError: No runs, a log without a loss, or without the NoC of a benchmark that is named.
    """
    if not runs or smooth < 1:
        raise InputError(f"Expected at least one run and `smooth` >= 1, but got {len(runs)} and {smooth}.")
    figure = Figure(figsize=(width, 0.36 * width), layout="constrained")
    losses, clicks = figure.subplots(1, 2, sharex=True)
    for number, (label, log) in enumerate(runs.items()):
        if "train/loss" not in log:
            raise InputError(f"Expected the loss of the training in the log of {label}, but it has none.")
        colour = PALETTE[number % len(PALETTE)]
        steps, values = log["train/loss"].T
        losses.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        losses.plot(steps, running_mean(values, smooth), color=colour, linewidth=1.4, label=label)
        for name, line in _LINES.items():
            if (noc := _noc(log, label, benchmark, name)) is not None:
                own = name.replace("noc_", "NoC@")
                own = f"{label}, {own}" if len(runs) > 1 else own
                marker = _MARKERS[number % len(_MARKERS)]
                clicks.plot(*noc.T, line, color=colour, marker=marker, markersize=3, linewidth=1.2, label=own)
    clicks.set_ylim(0, 20.5)
    losses.set_xlim(left=0)
    for axes, title in ((losses, "training loss"), (clicks, "clicks needed (NoC)")):
        axes.set_xlabel("steps", fontsize=TITLE_SIZE)
        axes.set_ylabel(title, fontsize=TITLE_SIZE)
        axes.tick_params(labelsize=TICK_SIZE)
        axes.grid(color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0] and (axes is clicks or len(runs) > 1):
            axes.legend(fontsize=TICK_SIZE, frameon=False)
    return figure


def _noc(log: TrainingLog, label: str, benchmark: str | None, name: str) -> NDArray[np.float64] | None:
    columns = [column for column in log if column.startswith("val/") and column.endswith(f"/{name}")]
    if benchmark is not None:
        wanted = f"val/{benchmark}/{name}"
        if wanted not in columns:
            raise InputError(
                f"Expected {wanted} in the log of {label}, but got {', '.join(columns) or 'none'}."
            )
        return log[wanted]
    return log[columns[0]] if columns else None


def running_mean(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """The mean of each value and the ``length - 1`` before it, fewer at the start, float64, ``(n,)``.

    >>> running_mean(np.array([1.0, 3.0, 5.0]), 2).tolist()
    [1.0, 2.0, 4.0]
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - length, 0)
    mean: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return mean
