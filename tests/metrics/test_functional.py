"""IoU and NoC against hand-computed values and each edge rule of docs/protocol.md#number-of-clicks."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.metrics.functional import failures, iou, iou_at, number_of_clicks, reaches

A = np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
B = np.array([[1, 1, 1], [0, 0, 0]], dtype=bool)


def test_iou_by_hand() -> None:
    assert iou(A, B) == 2 / 4
    assert iou(A, A) == 1.0
    assert iou(A, ~A) == 0.0


def test_iou_leaves_ignored_pixels_out_of_both_counts() -> None:
    ignore = np.array([[0, 1, 1], [0, 0, 0]], dtype=bool)
    assert iou(A, B, ignore) == 1 / 2


def test_iou_of_an_empty_union_is_nan_and_never_reaches() -> None:
    empty = np.zeros((2, 3), dtype=bool)
    assert np.isnan(iou(empty, empty))
    assert np.isnan(iou(A, B, np.ones((2, 3), dtype=bool)))
    assert number_of_clicks([np.nan, np.nan], 0.8) == 20
    assert number_of_clicks([np.nan, 0.8], 0.8) == 2
    assert not reaches(float("nan"), 0.0)


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 2), dtype=bool), np.zeros((2, 3), dtype=np.uint8), np.zeros(3, dtype=bool)]
)
def test_iou_refuses_what_is_no_mask_of_this_shape(bad) -> None:
    with pytest.raises(InputError, match="bool array of shape"):
        iou(bad, B)
    with pytest.raises(InputError, match="`ignore`"):
        iou(A, B, bad)


@pytest.mark.parametrize(
    ("ious", "threshold", "expected"),
    [
        ([0.1, 0.85, 0.9], 0.80, 2),
        ([0.1, 0.85, 0.9], 0.85, 2),  # reaching is enough
        ([0.1, 0.85, 0.9], 0.90, 3),
        ([0.1, 0.85, 0.8], 0.90, 20),
        ([0.9, 0.1], 0.90, 1),  # the first time counts, later drops do not
        ([], 0.80, 20),
        ([0.5] * 19 + [0.95], 0.90, 20),
        ([0.5] * 20 + [0.95], 0.90, 20),  # beyond the budget
    ],
)
def test_number_of_clicks(ious, threshold, expected) -> None:
    assert number_of_clicks(ious, threshold) == expected
    assert number_of_clicks(np.array(ious, dtype=np.float32), threshold) == expected


def test_float32_curves_reach_the_decimal_they_were_stored_from() -> None:
    # float32(0.9) is below float64(0.9); an IoU of exactly 9/10 must still count.
    assert float(np.float32(0.9)) > 0.9 or number_of_clicks(np.array([0.9], dtype=np.float32), 0.9) == 1
    assert number_of_clicks(np.array([0.8], dtype=np.float32), 0.8) == 1
    assert number_of_clicks(np.array([0.7], dtype=np.float32), 0.7) == 1


def test_stopping_at_the_target_does_not_change_noc() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        whole = rng.random(20)
        stop = number_of_clicks(whole, 0.9)
        for threshold in (0.8, 0.85, 0.9):
            assert number_of_clicks(whole[:stop], threshold) == number_of_clicks(whole, threshold)


def test_failures_include_success_at_the_last_click() -> None:
    curves = [[0.1] * 20, [0.1] * 19 + [0.95], [0.1] * 18 + [0.95, 0.95]]
    clicks = [number_of_clicks(curve, 0.9) for curve in curves]
    assert clicks == [20, 20, 19]
    assert failures(clicks) == 2
    assert failures([5, 4, 5], max_clicks=5) == 2


def test_iou_at() -> None:
    curves = [[0.5, 0.75], [0.25, 1.0, 1.0]]
    assert iou_at(curves, 2) == 0.875
    assert iou_at([[np.nan, 0.5], [0.5, 0.5]], 1) == 0.5
    assert np.isnan(iou_at([[np.nan]], 1))
    for k in (0, 3):
        with pytest.raises(InputError, match="target_iou=None"):
            iou_at(curves, k)
    with pytest.raises(InputError):
        iou_at([], 1)


def test_number_of_clicks_refuses_a_matrix_and_an_empty_budget() -> None:
    with pytest.raises(InputError, match=r"\(k,\)"):
        number_of_clicks(np.zeros((2, 2)), 0.9)
    with pytest.raises(InputError, match="max_clicks"):
        number_of_clicks([0.5], 0.9, max_clicks=0)
