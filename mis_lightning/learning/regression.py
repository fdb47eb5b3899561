"""Logistic regression drawn towards known weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_NEWTON_STEPS = 12
_HALVINGS = 10


def regression(
    rows: NDArray[np.float64], worth: NDArray[np.float64], prior: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """The weights that explain some outcomes; Newton's method, whose steps never make it worse.

    Args:
        rows: What the weights are multiplied by, float64, ``(n, k)``.
        worth: Outcomes in ``[0, 1]``, float64, ``(n,)``.
        prior: The weights without any outcome, float64, ``(k,)``.
        strength: How much they count: half of it times the squared distance to them is added to the cost.

    Returns:
        float64, ``(k,)``.
    """
    with threadpool_limits(1, "blas"):  # for matrices this small threads of BLAS cost far more than they gain
        return _newton(rows, worth, prior, strength)


def _newton(
    rows: NDArray[np.float64], worth: NDArray[np.float64], prior: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    def cost(weights: NDArray[np.float64]) -> float:
        sums = rows @ weights
        away = weights - prior
        return float((np.logaddexp(0, sums) - worth * sums).sum() + strength / 2 * (away @ away))

    weights, now = prior.copy(), cost(prior)
    for _ in range(_NEWTON_STEPS):
        expected = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (expected - worth) + strength * (weights - prior)
        curvature = (rows * (expected * (1 - expected))[:, None]).T @ rows
        step = np.linalg.solve(curvature + strength * np.eye(len(weights)), slope)
        for _ in range(_HALVINGS):
            if (new := cost(weights - step)) <= now:
                weights, now = weights - step, new
                break
            step = step / 2
    return weights
