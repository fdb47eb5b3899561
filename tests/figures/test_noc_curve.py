"""Mean IoU curves against means by hand, and from a written report."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import SimulatedSession
from mis_lightning.figures.noc_curve import iou_curves, mean_curve
from mis_lightning.metrics.curves import curves_to_csv, read_curves
from mis_lightning.structures import Click


def test_ended_curves_go_on_with_their_last_value_and_nan_is_left_out() -> None:
    curves = [[0.5, 0.75, 1.0], [0.25, 0.95], [np.nan, 0.5]]
    expected = [(0.5 + 0.25) / 2, (0.75 + 0.95 + 0.5) / 3, (1 + 0.95 + 0.5) / 3, (1 + 0.95 + 0.5) / 3]
    np.testing.assert_allclose(mean_curve(curves, 4), expected, rtol=1e-12)


def test_later_clicks_are_left_out() -> None:
    np.testing.assert_array_equal(mean_curve([[0.25, 0.5, 0.75]], 2), [0.25, 0.5])


def test_clicks_without_any_value_are_nan() -> None:
    np.testing.assert_array_equal(mean_curve([[np.nan, 0.5]], 2), [np.nan, 0.5])


def test_a_line_for_each_run_that_grey_print_tells_apart() -> None:
    runs = {f"run {i}": [[i / 10, 0.9]] for i in range(7)}
    figure = iou_curves(runs, max_clicks=5)
    (axes,) = figure.axes
    assert len({line.get_color() for line in axes.lines}) == 7
    assert len({(line.get_linestyle(), line.get_marker()) for line in axes.lines}) == 7
    for i, line in enumerate(axes.lines):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
        np.testing.assert_allclose(line.get_ydata(), [i / 10, 0.9, 0.9, 0.9, 0.9])
    (legend,) = figure.legends
    assert axes.get_legend() is None
    assert [text.get_text() for text in legend.get_texts()] == list(runs)
    figure.draw_without_rendering()
    assert legend.get_window_extent().y1 <= axes.get_tightbbox().y0 + 1  # below the axes and their label
    assert axes.get_ylim()[1] == 1.0


def test_the_legend_of_few_runs_is_among_the_curves() -> None:
    figure = iou_curves({"a": [[0.5, 0.6]], "b": [[0.2, 0.9]]}, 5)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b"]
    assert figure.legends == []


def test_a_written_report_can_be_drawn(tmp_path) -> None:
    def session(name: str, *ious: float) -> SimulatedSession:
        clicks = tuple(Click(1, n, True) for n in range(len(ious)))
        return SimulatedSession(name, np.float32(ious), clicks, 1.0, 0.5)

    results = {"GrabCut": [session("a", 0.5, 0.75), session("b", 1.0)], "Berkeley": [session("a", 0.25)]}
    (tmp_path / "curves.csv").write_text(curves_to_csv(results), encoding="utf-8")
    (axes,) = iou_curves(read_curves(tmp_path / "curves.csv"), max_clicks=2).axes
    assert {line.get_label(): line.get_ydata().tolist() for line in axes.lines} == {
        "GrabCut": [0.75, 0.875],
        "Berkeley": [0.25, 0.25],
    }


@pytest.mark.parametrize("curves", [[], [[]], [[0.5, 1.5]], [[[0.5]]], {}])
def test_what_is_no_curve_is_refused(curves) -> None:
    with pytest.raises(InputError, match="Expected"):
        mean_curve(curves)


def test_no_runs_are_refused() -> None:
    with pytest.raises(InputError, match="at least one run"):
        iou_curves({})
