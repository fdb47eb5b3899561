"""The share of clicks that is saved lies in its interval."""

from __future__ import annotations

import pytest

from mis_lightning.metrics.saving import saving


def test_the_interval_of_a_saving_holds_it() -> None:
    mean, low, high = saving([4, 10, 6, 8], [2, 10, 5, 3])
    assert mean == pytest.approx(8 / 28)
    assert low < mean < high
