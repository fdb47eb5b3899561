"""Eigenvectors of graphs: closed forms, and a dense generalised solver."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh

from mis_lightning.regions import spectral
from mis_lightning.regions.spectral import smallest_eigenvectors


def test_the_path_of_two_pairs_has_its_known_fiedler_vector():
    # Two pairs joined by a weak edge: the second vector has one sign on each pair.
    weights = np.array([[0, 1, 0, 0], [1, 0, 0.1, 0], [0, 0.1, 0, 1], [0, 0, 1, 0]], float)
    values, vectors = smallest_eigenvectors(weights, 2)
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert np.ptp(vectors[:, 0]) == pytest.approx(0, abs=1e-12)  # constant
    # By symmetry y = (a, b, -b, -a): (1 - lambda) a = b and 1.1 (1 - lambda) b = a - 0.1 b.
    one_less = (-0.1 + np.sqrt(0.01 + 4.4)) / 2.2
    assert values[1] == pytest.approx(1 - one_less)
    a, b, c, d = vectors[:, 1] / vectors[0, 1]
    assert (a, b, c, d) == pytest.approx((1, one_less, -one_less, -1))


@pytest.mark.parametrize(("n", "count"), [(30, 4), (300, 2), (300, 12)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_agrees_with_a_dense_generalised_solver(n, count, dtype):
    rng = np.random.default_rng(n)
    points = rng.random((n, 3))
    weights = np.exp(-8 * ((points[:, None] - points[None]) ** 2).sum(-1)).astype(dtype)
    degree = np.diag(weights.sum(1).astype(float))
    expected, base = eigh(degree - weights.astype(float), degree)
    values, vectors = smallest_eigenvectors(weights, count)
    loose = 1e-5 if dtype == np.float32 else 1e-8
    np.testing.assert_allclose(values, expected[:count], atol=loose)
    for k in range(count):  # the spectrum is simple: vectors agree up to sign
        cosine = abs(vectors[:, k] @ degree @ base[:, k])
        assert cosine == pytest.approx(1, abs=20 * loose)


def test_lanczos_and_the_dense_way_agree_and_repeat(monkeypatch):
    weights = np.random.default_rng(0).random((250, 250))
    weights += weights.T
    fast = smallest_eigenvectors(weights, 3)
    again = smallest_eigenvectors(weights, 3)
    np.testing.assert_array_equal(fast[1], again[1])
    monkeypatch.setattr(spectral, "DENSE_BELOW", 1000)
    dense = smallest_eigenvectors(weights, 3)
    np.testing.assert_allclose(np.abs(fast[1]), np.abs(dense[1]), atol=1e-8)


def test_nodes_without_edges_do_not_divide_by_zero():
    weights = np.zeros((5, 5))
    weights[0, 1] = weights[1, 0] = 1
    values, vectors = smallest_eigenvectors(weights, 5)
    assert np.isfinite(values).all()
    assert np.isfinite(vectors).all()
