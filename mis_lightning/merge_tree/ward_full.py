"""Ward merging between any two regions, by chains of nearest neighbours over a matrix of linkage costs."""

from __future__ import annotations

import os

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mis_lightning.errors import InputError

_FAST = {"reassoc", "contract", "nsz", "arcp"}
_CANCELLED = np.float32(1e-3)  # a squared distance this small next to the norms lost its digits


def merge_full(features):
    n = features.shape[0]
    _check_memory(n)
    centred = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    try:
        costs = centred @ centred.T
    except MemoryError as error:
        raise InputError(_too_large(n)) from error
    _leaf_costs(centred, costs)
    pairs = _chain(costs.reshape(-1), n)
    return _label(centred, pairs)


def _check_memory(n):
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return
    if 4 * n * n > 0.8 * physical:
        raise InputError(_too_large(n))


def _too_large(n):
    return (
        f"Expected few enough patches for a {n}x{n} matrix of linkage costs ({4 * n * n / 2**30:.1f} GiB) to fit "
        'into memory; use connectivity="grid" or a coarser grid of patches.'
    )


@njit(cache=True, nogil=True, fastmath=_FAST)
def _distance(rows, p, q):
    total = np.float32(0)
    for ch in range(rows.shape[1]):
        d = rows[p, ch] - rows[q, ch]
        total += d * d
    return total


@njit(cache=True, nogil=True)
def _leaf_costs(rows, gram):
    n = rows.shape[0]
    norm = np.empty(n, np.float32)
    for i in range(n):
        norm[i] = gram[i, i]
    for i in range(n):
        ni = norm[i]
        for j in range(n):
            s = ni + norm[j]
            d = s - np.float32(2) * gram[i, j]
            if d < _CANCELLED * s:
                d = _distance(rows, i, j)
            gram[i, j] = np.float32(0.5) * d
        gram[i, i] = np.inf


@njit(cache=True, nogil=True)
def _argmin(costs, base, m):
    best = np.float32(np.inf)
    for j in range(m):
        best = min(best, costs[base + j])
    for j in range(m):
        if costs[base + j] == best:
            return j, best
    return 0, best


@njit(cache=True, nogil=True)
def _chain(costs, n):
    pairs = np.empty((n - 1, 2), np.int32)
    size = np.ones(n, np.float32)
    node = np.arange(n).astype(np.int32)
    chain = np.empty(n, np.int32)
    length = 0
    m = n  # side of matrix
    live = n
    inf = np.float32(np.inf)
    merged = 0
    alive = np.ones(n, np.bool_)
    first = 0
    while merged < n - 1:
        if length == 0:
            while not alive[first]:
                first += 1
            chain[0] = first
            length = 1
        while True:
            top = chain[length - 1]
            other, best = _argmin(costs, top * m, m)
            if length > 1 and costs[top * m + chain[length - 2]] <= best:
                other = chain[length - 2]
                break
            chain[length] = other
            length += 1
        length -= 2
        i, j = min(top, other), max(top, other)
        pairs[merged, 0] = node[i]
        pairs[merged, 1] = node[j]
        cij = costs[i * m + j]
        si, sj = size[i], size[j]
        for a in range(m):
            sa = size[a]
            cia = costs[i * m + a]
            cja = costs[j * m + a]
            costs[i * m + a] = ((si + sa) * cia + (sj + sa) * cja - sa * cij) / (si + sj + sa)
        costs[i * m + j] = inf
        costs[i * m + i] = inf
        for a in range(m):
            if alive[a]:
                costs[a * m + i] = costs[i * m + a]
                costs[a * m + j] = inf
        alive[j] = False
        size[i] = si + sj
        node[i] = n + merged
        merged += 1
        live -= 1
    return pairs


@njit(cache=True, nogil=True)
def _label(rows, pairs):
    n = rows.shape[0]
    cost = np.empty(n - 1, np.float32)
    size = np.ones(2 * n - 1, np.float32)
    row_of = np.arange(2 * n - 1)
    mean = rows.copy()
    for t in range(n - 1):
        i, j = pairs[t]
        p, q = row_of[i], row_of[j]
        si, sj = size[i], size[j]
        cost[t] = si * sj / (si + sj) * _distance(mean, p, q)
        for side in range(2):
            below = pairs[t, side]
            if below >= n:
                cost[t] = max(cost[t], cost[below - n])
        for ch in range(mean.shape[1]):
            mean[p, ch] = (mean[p, ch] * si + mean[q, ch] * sj) / (si + sj)
        row_of[n + t] = p
        size[n + t] = si + sj
    order = np.argsort(cost, kind="mergesort")
    rank = np.empty(n - 1, np.int32)
    for t in range(n - 1):
        rank[order[t]] = t
    children = np.empty((n - 1, 2), np.int32)
    for t in range(n - 1):
        a, b = pairs[order[t]]
        a = a if a < n else n + rank[a - n]
        b = b if b < n else n + rank[b - n]
        children[t, 0] = min(a, b)
        children[t, 1] = max(a, b)
    return children, cost[order]
