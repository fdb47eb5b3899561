"""Campaigns of a simulated annotator: cumulative clicks against objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure

from mis_lightning.errors import InputError
from mis_lightning.figures.style import PAGE_WIDTH, PALETTE, TICK_SIZE, TITLE_SIZE


def campaign_curves(
    campaigns: Mapping[str, Mapping[str, Sequence[int]]], *, columns: int = 4, width: float = PAGE_WIDTH
) -> Figure:
    """Draw a panel for each campaign, in it a line for each way of working.

    Args:
        campaigns: Clicks on each object, by the title of the campaign and the way.
        columns: Panels beside each other at most.
        width: Of the figure, in inches.

    Raises:
        InputError: There is no campaign, or one without objects.
    """
    if not campaigns or not all(ways and all(map(len, ways.values())) for ways in campaigns.values()):
        raise InputError("Expected at least one campaign, each with at least one object.")
    columns = min(columns, len(campaigns))
    rows = ceil(len(campaigns) / columns)
    figure = Figure(figsize=(width, 0.95 * rows * width / max(columns, 2)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    names = list(dict.fromkeys(way for ways in campaigns.values() for way in ways))
    for axes, (title, ways) in zip(panels, campaigns.items(), strict=False):
        for way, clicks in ways.items():
            total = np.concatenate([[0], np.cumsum(clicks)])
            colour = "0.45" if way == "frozen" else PALETTE[names.index(way) % len(PALETTE)]
            axes.plot(total, color=colour, linewidth=1.4, label=way)
        axes.set_title(title, fontsize=TITLE_SIZE)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=TICK_SIZE)
        axes.grid(color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(campaigns) :]:
        axes.set_axis_off()
    for axes in panels[:: max(columns, 1)]:
        axes.set_ylabel("clicks in all", fontsize=TITLE_SIZE)
    panels[0].set_xlabel("objects", fontsize=TITLE_SIZE)
    panels[0].legend(fontsize=TICK_SIZE, frameon=False)
    return figure
