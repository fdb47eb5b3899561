"""Generalised eigenvectors of a graph: normalised cuts (Shi and Malik, 2000)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

DENSE_BELOW = 200  # nodes; below it a full decomposition is quicker than Lanczos, and exact


def smallest_eigenvectors(
    weights: NDArray[np.floating], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solve ``(D - W) y = lambda D y``, ``D`` the row sums of ``W``, for the smallest eigenvalues.

    Lanczos on ``D^-1/2 W D^-1/2``, whose largest eigenvalues are those, from a fixed start; where it does not
    converge, a dense decomposition.

    Args:
        weights: Symmetric, not negative, ``(n, n)``; row sums below 1e-12 count as 1
            (docs/protocol.md#deep-spectral-methods).
        count: How many, at most ``n``.

    Returns:
        Eigenvalues, float64, ``(count,)``, ascending from 0, and vectors ``(n, count)``, ``y' D y = 1``;
        their signs are arbitrary but always the same.
    """
    n = len(weights)
    count = min(count, n)
    degree = weights.sum(axis=1, dtype=np.float64)
    degree[degree < 1e-12] = 1.0
    root = 1 / np.sqrt(degree)
    normalised = weights * root.astype(weights.dtype)[:, None]
    normalised *= root.astype(weights.dtype)
    values, vectors = _largest(normalised, count)
    order = np.argsort(-values, kind="stable")
    return 1 - values[order], vectors[:, order] * root[:, None]


def _largest(matrix: NDArray[np.floating], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = len(matrix)
    if n > DENSE_BELOW and count < n // 4:
        start = np.random.default_rng(0).standard_normal(n).astype(matrix.dtype)
        try:
            values, vectors = eigsh(matrix, count, which="LA", v0=start, ncv=min(n, max(2 * count + 1, 32)))
            return values.astype(np.float64), vectors.astype(np.float64)
        except ArpackNoConvergence:
            pass  # many eigenvalues nearly equal
    return eigh(matrix.astype(np.float64), subset_by_index=(n - count, n - 1))  # type: ignore[return-value]
