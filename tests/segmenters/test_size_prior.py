"""What the sizes of accepted objects say about an answer."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.segmenters.size_prior import SizePrior


def test_nothing_is_known_before_the_first_object() -> None:
    assert SizePrior.of([]) is None


def test_alike_objects_say_more_than_one_and_than_unlike_ones() -> None:
    one, alike, unlike = SizePrior.of([100]), SizePrior.of([100] * 20), SizePrior.of([10, 1000] * 10)
    assert one is not None
    assert alike is not None
    assert unlike is not None
    cost = [prior.cost([300])[0] for prior in (unlike, one, alike)]
    assert cost == sorted(cost)
    assert alike.cost([100.0])[0] == pytest.approx(0, abs=1e-3)


def test_one_stray_object_moves_little() -> None:
    prior = SizePrior.of([100.0] * 9 + [1e6])
    assert prior is not None
    assert prior.middle == round(np.log(100), 2)


def test_the_cost_is_limited() -> None:
    prior = SizePrior(np.log(100), 0.1)
    assert prior.cost([100, 1e9, 0]).tolist() == [0, 5, 5]


@pytest.mark.parametrize(("middle", "spread"), [(float("nan"), 1), (1, 0), (1, float("inf"))])
def test_what_is_no_prior_is_refused(middle: float, spread: float) -> None:
    with pytest.raises(InputError, match="finite middle and a spread above 0"):
        SizePrior(middle, spread)
