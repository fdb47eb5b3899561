"""A logistic regression finds what made its data, and holds on to what was known where there are few."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mis_lightning.learning.regression import regression


@pytest.mark.parametrize("strength", [0.5, 5.0, 500.0])
def test_as_scikit_learn_where_nothing_is_known(strength: float) -> None:
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(300, 4))
    worth = (rows @ [1.0, -2.0, 0.0, 0.5] + generator.logistic(size=300) > 0).astype(np.float64)
    reference = LogisticRegression(C=1 / strength, fit_intercept=False, tol=1e-8).fit(rows, worth)
    np.testing.assert_allclose(regression(rows, worth, np.zeros(4), strength), reference.coef_[0], atol=1e-3)


def test_the_stronger_the_prior_the_less_changes() -> None:
    rows, worth, known = np.ones((4, 1)), np.zeros(4), np.array([2.0])
    weak, strong = (regression(rows, worth, known, strength)[0] for strength in (1.0, 1e6))
    assert weak < 0.5
    assert strong == pytest.approx(2.0, abs=1e-4)


def test_weights_stay_sound_where_plain_newton_steps_would_not() -> None:
    """Steps from a start that is surely wrong overshoot; halved ones do not."""
    generator = np.random.default_rng(0)
    rows = np.concatenate([np.full((200, 1), 12.0), generator.normal(0, 6, (200, 1))], axis=1)
    worth = np.full(200, 0.02)
    found = regression(rows, worth, np.array([3.0, 3.0]), 0.1)
    expected = 1 / (1 + np.exp(-rows @ found))
    assert np.abs(expected - worth).mean() < 0.05
    assert np.abs(found).max() < 10
