from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.figures.learning_curve import learning_curves, running_mean


def log(**columns):
    return {name.replace("__", "/"): np.array(values, float) for name, values in columns.items()}


LOSS = [[0, 1.0], [10, 0.5], [20, 0.3]]


def test_loss_and_clicks_of_each_run():
    first = log(train__loss=LOSS) | {"val/a/noc_85": np.array([[10.0, 12.0], [20.0, 9.0]])}
    second = log(train__loss=LOSS) | {"val/a/noc_90": np.array([[20.0, 15.0]])}
    losses, clicks = learning_curves({"one": first, "two": second}, smooth=2).axes
    raw, mean = losses.lines[:2]
    np.testing.assert_array_equal(raw.get_xydata(), LOSS)
    np.testing.assert_allclose(mean.get_ydata(), [1.0, 0.75, 0.4])
    assert [line.get_label() for line in clicks.lines] == ["one, NoC@85", "two, NoC@90"]
    np.testing.assert_array_equal(clicks.lines[0].get_xydata(), [[10, 12], [20, 9]])
    assert clicks.lines[0].get_color() != clicks.lines[1].get_color()
    assert clicks.get_ylim() == (0, 20.5)


def test_a_run_without_validation_is_a_loss_alone():
    losses, clicks = learning_curves({"one": log(train__loss=LOSS)}).axes
    assert len(losses.lines) == 2
    assert len(clicks.lines) == 0
    assert losses.get_legend() is None


def test_the_benchmark_that_is_named():
    both = log(train__loss=LOSS) | {f"val/{name}/noc_85": np.array([[1.0, n]]) for n, name in enumerate("ab")}
    noc = [f"val/{name}/noc_{t}" for name in "ab" for t in (80, 90)]
    both |= {name: np.array([[1.0, 5.0]]) for name in noc}
    _, clicks = learning_curves({"one": both}, "b").axes
    assert [line.get_ydata()[0] for line in clicks.lines] == [5, 1, 5]
    with pytest.raises(InputError, match="val/c/noc_80"):
        learning_curves({"one": both}, "c")


def test_what_cannot_be_drawn():
    with pytest.raises(InputError, match="at least one run"):
        learning_curves({})
    with pytest.raises(InputError, match="loss"):
        learning_curves({"one": {}})


def test_means_of_the_last_values():
    values = np.random.default_rng(0).random(20)
    expected = [values[max(0, i - 3) : i + 1].mean() for i in range(20)]
    np.testing.assert_allclose(running_mean(values, 4), expected)
