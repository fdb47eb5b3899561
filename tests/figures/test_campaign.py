"""Panels, lines and totals of campaigns."""

from __future__ import annotations

import pytest

from mis_lightning.errors import InputError
from mis_lightning.figures.campaign import campaign_curves


def test_lines_are_cumulative_clicks() -> None:
    figure = campaign_curves({"a": {"frozen": [3, 4], "learning": [3, 1]}, "b": {"frozen": [5]}})
    first, second = figure.axes
    assert [line.get_ydata().tolist() for line in first.lines] == [[0, 3, 7], [0, 3, 4]]
    assert [line.get_ydata().tolist() for line in second.lines] == [[0, 5]]
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    legend = first.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["frozen", "learning"]


@pytest.mark.parametrize("nothing", [{}, {"a": {}}, {"a": {"frozen": []}}])
def test_nothing_to_draw_is_said(nothing: dict[str, dict[str, list[int]]]) -> None:
    with pytest.raises(InputError, match="at least one campaign"):
        campaign_curves(nothing)
