"""Ward merging between any two regions, in O(n^2) steps over a matrix of linkage costs.

Chains of nearest neighbours (Murtagh 1983): under Ward's cost two regions nearest to each other stay so
whatever else merges, so they may merge at once, and sorting the merges by cost gives the greedy tree.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit
from mis_lightning.errors import InputError

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # all but the flags that forbid NaN and infinity
_TILE = 64
_CANCELLED = np.float32(1e-3)  # a squared distance this small beside the norms has lost its digits


def merge_full(features: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Merge any two regions until one is left.

    Args:
        features: float32, ``(n, c)``, C-contiguous, finite.

    Returns:
        Children, int32 ``(n - 1, 2)``, the older first, and linkage costs, float32 ``(n - 1,)``, ascending,
        as in :class:`~mis_lightning.merge_tree.tree.MergeTree`.

    Raises:
        InputError: The matrix of costs, ``4 n^2`` bytes, would not fit into memory.
    """
    n = features.shape[0]
    _check_memory(n)
    # away from zero, more of the inner products would cancel and have to be found again
    centred = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    try:
        costs = centred @ centred.T
    except MemoryError as error:
        raise InputError(_too_large(n)) from error
    _leaf_costs(features, costs)
    pairs = _chain(costs)
    return _in_order(pairs, _exact_costs(features, pairs))


def _check_memory(n: int) -> None:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not known on this system: let the allocation decide
        return
    if 4 * n * n > 0.8 * memory:
        raise InputError(_too_large(n))


def _too_large(n: int) -> str:
    return (
        f"Expected few enough patches for the {n}x{n} matrix of linkage costs ({4 * n * n / 2**30:.1f} GiB) "
        'to fit into memory; use connectivity="grid" or a coarser grid of patches.'
    )


@njit(cache=True, nogil=True)
def _leaf_costs(features: NDArray[np.float32], gram: NDArray[np.float32]) -> None:
    """Turn inner products into linkage costs in place, infinite on the diagonal and exactly symmetric."""
    n = gram.shape[0]
    norms = np.empty(n, np.float32)
    for i in range(n):
        norms[i] = gram[i, i]
    for i0 in range(0, n, _TILE):
        for j0 in range(0, i0 + 1, _TILE):
            for i in range(i0, min(i0 + _TILE, n)):
                for j in range(j0, min(j0 + _TILE, i)):
                    scale = norms[i] + norms[j]
                    squared = scale - np.float32(2) * gram[i, j]
                    if squared < _CANCELLED * scale:
                        squared = _distance(features, i, j)
                    gram[i, j] = gram[j, i] = np.float32(0.5) * squared
    for i in range(n):
        gram[i, i] = np.inf


@njit(cache=True, nogil=True, fastmath=_FAST)
def _distance(rows: NDArray[np.float32], p: int, q: int) -> float:
    total = np.float32(0)
    for ch in range(rows.shape[1]):
        step = rows[p, ch] - rows[q, ch]
        total += step * step
    return total


@njit(cache=True, nogil=True)
def _chain(costs: NDArray[np.float32]) -> NDArray[np.int32]:
    """Pairs of nodes in the order in which chains of nearest neighbours merge them, int32, ``(n - 1, 2)``.

    A union takes over the row and column of one of its parts.
    """
    n = costs.shape[0]
    pairs = np.empty((n - 1, 2), np.int32)
    sizes = np.ones(n, np.float32)
    node = np.arange(n)
    gone = np.zeros(n, np.float32)  # infinite where a row is out of use: added to the costs, not branched on
    chain = np.empty(n, np.int64)
    length = 0
    first = 0
    for merge in range(n - 1):
        if length == 0:
            while gone[first] > 0:
                first += 1
            chain[0] = first
            length = 1
        while True:
            end = chain[length - 1]
            near, cost = _nearest(costs, end, gone)
            if length > 1 and costs[end, chain[length - 2]] <= cost:
                break
            chain[length] = near
            length += 1
        i, j = min(end, chain[length - 2]), max(end, chain[length - 2])
        length -= 2
        pairs[merge, 0] = node[i]
        pairs[merge, 1] = node[j]
        gone[j] = np.inf
        _unite(costs, i, j, sizes, gone)
        sizes[i] += sizes[j]
        node[i] = n + merge
    return pairs


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _nearest(costs: NDArray[np.float32], i: int, gone: NDArray[np.float32]) -> tuple[int, float]:
    least = np.float32(np.inf)
    for j in range(costs.shape[0]):
        least = min(least, costs[i, j] + gone[j])
    for j in range(costs.shape[0]):
        if costs[i, j] == least and gone[j] == 0:
            return j, least
    return i, least


@njit(cache=True, nogil=True, fastmath=_FAST)
def _unite(
    costs: NDArray[np.float32], i: int, j: int, sizes: NDArray[np.float32], gone: NDArray[np.float32]
) -> None:
    """Costs of the union of i and j by the Lance-Williams formula, in row and column i."""
    size_i, size_j, cost = sizes[i], sizes[j], costs[i, j]
    for a in range(costs.shape[0]):
        joint = (size_i + sizes[a]) * costs[i, a] + (size_j + sizes[a]) * costs[j, a]
        costs[i, a] = (joint - sizes[a] * cost) / (size_i + size_j + sizes[a])
    costs[i, i] = np.inf
    for a in range(costs.shape[0]):
        if gone[a] == 0:
            costs[a, i] = costs[i, a]


def _in_order(
    pairs: NDArray[np.int32], cost: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The merges sorted by cost, their unions renamed accordingly, the older part first."""
    n = len(pairs) + 1
    order = np.argsort(cost, kind="stable")
    name = np.arange(2 * n - 1, dtype=np.int32)
    name[n + order] = np.arange(n, 2 * n - 1, dtype=np.int32)
    return np.sort(name[pairs[order]], axis=1), cost[order]


@njit(cache=True, nogil=True)
def _exact_costs(features: NDArray[np.float32], pairs: NDArray[np.int32]) -> NDArray[np.float32]:
    """Costs of the merges from means in float64, none below those of its parts, whatever the rounding."""
    n, channels = features.shape
    means = features.astype(np.float64)
    sizes = np.ones(2 * n - 1)
    row_of = np.empty(2 * n - 1, np.int64)
    cost = np.zeros(2 * n - 1)
    for node in range(2 * n - 1):
        if node < n:
            row_of[node] = node
            continue
        first, second = pairs[node - n, 0], pairs[node - n, 1]
        p, q = row_of[first], row_of[second]
        sizes[node] = sizes[first] + sizes[second]
        share = sizes[second] / sizes[node]
        squared = 0.0
        for ch in range(channels):
            step = means[q, ch] - means[p, ch]
            squared += step * step
            means[p, ch] += step * share
        cost[node] = max(sizes[first] * share * squared, cost[first], cost[second])
        row_of[node] = p
    return cost[n:].astype(np.float32)
