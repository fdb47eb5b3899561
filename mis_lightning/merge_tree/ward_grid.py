"""Ward merging between neighbouring regions of a grid.

Rules: docs/protocol.md#merging, docs/protocol.md#ties-between-merges.

A merge takes O(log n) steps, and one cost for each neighbour of the union.

How it is fast:

* Each pair of neighbours belongs to its younger region, which tracks its best pair; a tournament over the
  regions tracks the best pair of all. No pair is queued twice, and none is looked up after its end.
* Where a region touched both parts of a union, the Lance-Williams formula gives the new cost from the two old
  ones. Features are read for the other neighbours alone, which on a grid is little more than half of them.
* A union keeps its mean in the row of one of its parts, so rows in use stay few and close together. Each
  row begins with a cache line.

An edge joins two neighbouring regions. It is stored as the exclusive or of their nodes, so that either end
gives the other one, and is 0 once the edge is gone.

Two things are there for speed alone, and are worth a third of the time: all indices are unsigned, so that
Numba leaves out the handling of negative ones, and `inline="always"` spares handing over many arrays at each
merge.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # all but the flags that forbid NaN and infinity

# An edge e is two words of `edges`: the exclusive or of its ends at e, the bits of its cost at e + 1.
_EDGE_WORDS = np.uint64(2)
# A node is eight words of `nodes`. A merged node has size 0. Its edges are _LENGTH entries of `pool` from
# _FIRST on; _BEST is the other end of its best pair with an older node; _ROW is where its mean is in `rows`
# and its key in the tournament. _SEEN and _SHARED serve one merge: the union whose list has it, and its edge.
_NODE_WORDS = np.uint64(8)
_SIZE, _FIRST, _LENGTH, _BEST, _ROW, _SEEN, _SHARED = (np.uint64(word) for word in range(7))

# A key orders pairs by cost, then by node: the bits of a float32 >= 0 grow with it.
_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(0xFFFFFFFF00000000)
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
_32 = np.uint64(32)
_0 = np.uint64(0)
_1 = np.uint64(1)


def merge_grid(
    features: NDArray[np.float32], h: int, w: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Merge neighbouring regions until one is left.

    Args:
        features: float32, C-contiguous and writeable (but not written to), ``(h * w, c)``.
        h: Rows of the grid.
        w: Columns of the grid.

    Returns:
        Children, int32 ``(n - 1, 2)``, and linkage costs, float32 ``(n - 1,)``, as in
        :class:`~mis_lightning.merge_tree.tree.MergeTree`. Features that are not finite, or whose squares
        are not, make costs that are not.
    """
    return _merge(features, _aligned(features.shape), np.uint64(h), np.uint64(w))


def _aligned(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Rows that begin where a cache line does if their channels fill whole lines: up to a tenth of the time.

    Made by numpy, which asks for huge pages where Numba's own arrays do not.
    """
    line = 64 // 4
    size = math.prod(shape)
    memory = np.empty(size + line, np.float32)
    first = -memory.ctypes.data // 4 % line
    return memory[first : first + size].reshape(shape)


@njit(cache=True, nogil=True)
def _merge(
    features: NDArray[np.float32], rows: NDArray[np.float32], h: int, w: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    n = h * w
    nodes = np.zeros(_NODE_WORDS * (n + n - _1), np.uint32)
    edges = np.empty(_EDGE_WORDS * (n + n), np.uint32)
    costs = edges.view(np.float32)
    # lists of edges still in use never need more than 4n entries, those of one union another 4n
    pool = np.empty(np.uint64(12) * n, np.uint32)
    tournament = np.empty(n + n, np.uint64)
    children = np.empty((n - _1, 2), np.int32)
    heights = np.empty(n - _1, np.float32)
    used = _start(features, rows, h, w, nodes, edges, costs, pool, tournament)
    union = n
    while union < n + n - _1:
        newer = tournament[1] & _LOW
        at_newer = _NODE_WORDS * newer
        older = np.uint64(nodes[at_newer + _BEST])
        at_older = _NODE_WORDS * older
        if nodes[at_older + _SIZE] == 0:
            best = _next_best(newer, nodes, edges, pool)
            _enter(tournament, n + np.uint64(nodes[at_newer + _ROW]), best)
            continue
        merge = union - n
        children[merge, 0] = older
        children[merge, 1] = newer
        heights.view(np.uint32)[merge] = tournament[1] >> _32
        size_newer = np.float32(nodes[at_newer + _SIZE])
        size_older = np.float32(nodes[at_older + _SIZE])
        row = np.uint64(nodes[at_newer + _ROW])
        row_older = np.uint64(nodes[at_older + _ROW])
        _move(rows, row, row_older, size_older / (size_newer + size_older))

        length = np.uint64(nodes[at_newer + _LENGTH]) + np.uint64(nodes[at_older + _LENGTH])
        if used + length > np.uint64(pool.shape[0]):
            pool, used = _packed(pool, union, nodes, edges)
        at_union = _NODE_WORDS * union
        nodes[at_union + _SIZE] = nodes[at_newer + _SIZE] + nodes[at_older + _SIZE]
        nodes[at_union + _ROW] = row
        nodes[at_union + _FIRST] = used
        used = _join_lists(newer, older, union, heights[merge], nodes, edges, costs, pool, used)
        nodes[at_union + _LENGTH] = used - np.uint64(nodes[at_union + _FIRST])
        nodes[at_newer + _SIZE] = 0
        nodes[at_older + _SIZE] = 0
        best = _price(union, rows, nodes, edges, costs, pool)
        _enter(tournament, n + row_older, _NONE)
        _enter(tournament, n + row, best)
        union += _1
    return children, heights


@njit(cache=True, nogil=True)
def _start(
    features: NDArray[np.float32],
    rows: NDArray[np.float32],
    h: int,
    w: int,
    nodes: NDArray[np.uint32],
    edges: NDArray[np.uint32],
    costs: NDArray[np.float32],
    pool: NDArray[np.uint32],
    tournament: NDArray[np.uint64],
) -> int:
    """Copy the features, join each leaf to the ones above and to the left, and fill the tournament."""
    n = h * w
    # the edges of a leaf are numbered 4 * leaf (up) and 4 * leaf + 2 (left)
    up, left = _0, np.uint64(2)
    used = _0
    leaf = _0
    for r in range(h):
        for c in range(w):
            for ch in range(rows.shape[1]):
                rows[leaf, ch] = features[leaf, ch]
            at = _NODE_WORDS * leaf
            nodes[at + _SIZE] = 1
            nodes[at + _ROW] = leaf
            nodes[at + _FIRST] = used
            edge = np.uint64(4) * leaf
            best = _NONE
            if r > 0:
                edges[edge + up] = leaf ^ (leaf - w)
                costs[edge + up + _1] = np.float32(0.5) * _distance(rows, leaf, leaf - w)
                best = (np.uint64(edges[edge + up + _1]) << _32) | (leaf - w)
                pool[used] = edge + up
                used += _1
            if c > 0:
                edges[edge + left] = leaf ^ (leaf - _1)
                costs[edge + left + _1] = np.float32(0.5) * _distance(rows, leaf, leaf - _1)
                best = min(best, (np.uint64(edges[edge + left + _1]) << _32) | (leaf - _1))
                pool[used] = edge + left
                used += _1
            if r < h - _1:
                pool[used] = np.uint64(4) * (leaf + w) + up
                used += _1
            if c < w - _1:
                pool[used] = np.uint64(4) * (leaf + _1) + left
                used += _1
            nodes[at + _LENGTH] = used - np.uint64(nodes[at + _FIRST])
            nodes[at + _BEST] = best & _LOW
            tournament[n + leaf] = _NONE if best == _NONE else (best & _HIGH) | leaf
            leaf += _1
    for at in range(n - _1, _0, -1):
        tournament[at] = min(tournament[at + at], tournament[at + at + _1])
    return used


@njit(cache=True, nogil=True, fastmath=_FAST)
def _distance(rows: NDArray[np.float32], p: int, q: int) -> float:
    """Squared distance of two rows."""
    total = np.float32(0)
    for ch in range(rows.shape[1]):
        step = rows[p, ch] - rows[q, ch]
        total += step * step
    return total


@njit(cache=True, nogil=True, fastmath=_FAST)
def _move(rows: NDArray[np.float32], p: int, q: int, share: float) -> None:
    """Move row p towards row q; written so that the mean of equals is exactly equal to them."""
    for ch in range(rows.shape[1]):
        rows[p, ch] += (rows[q, ch] - rows[p, ch]) * share


@njit(cache=True, nogil=True, inline="always")
def _enter(tournament: NDArray[np.uint64], at: int, key: int) -> None:
    """Change one key: `tournament[1]` is the least of all, `tournament[i]` of those at 2i and 2i + 1."""
    tournament[at] = key
    while at > _1:
        key = min(key, tournament[at ^ _1])
        at >>= _1
        if tournament[at] == key:
            break
        tournament[at] = key


@njit(cache=True, nogil=True, inline="always")
def _next_best(
    node: int, nodes: NDArray[np.uint32], edges: NDArray[np.uint32], pool: NDArray[np.uint32]
) -> int:
    """Find the best pair of a node with an older one, clear its list of edges gone, and return its key."""
    at = _NODE_WORDS * node
    best = _NONE
    first = np.uint64(nodes[at + _FIRST])
    kept = first
    for entry in range(first, first + np.uint64(nodes[at + _LENGTH])):
        edge = np.uint64(pool[entry])
        ends = np.uint64(edges[edge])
        if ends != 0:
            pool[kept] = edge
            kept += _1
            other = ends ^ node
            key = (np.uint64(edges[edge + _1]) << _32) | other
            best = min(best, key if other < node else _NONE)
    nodes[at + _LENGTH] = kept - first
    nodes[at + _BEST] = best & _LOW
    return _NONE if best == _NONE else (best & _HIGH) | node


@njit(cache=True, nogil=True)
def _packed(
    pool: NDArray[np.uint32], n_nodes: int, nodes: NDArray[np.uint32], edges: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], int]:
    """A pool without the lists of merged nodes and the edges gone, and how much of it is used."""
    packed = np.empty_like(pool)
    used = _0
    for node in range(n_nodes):
        at = _NODE_WORDS * node
        if nodes[at + _SIZE] > 0:
            first = np.uint64(nodes[at + _FIRST])
            nodes[at + _FIRST] = used
            for entry in range(first, first + np.uint64(nodes[at + _LENGTH])):
                if edges[np.uint64(pool[entry])] != 0:
                    packed[used] = pool[entry]
                    used += _1
            nodes[at + _LENGTH] = used - np.uint64(nodes[at + _FIRST])
    return packed, used


@njit(cache=True, nogil=True, inline="always")
def _join_lists(
    newer: int,
    older: int,
    union: int,
    cost: float,
    nodes: NDArray[np.uint32],
    edges: NDArray[np.uint32],
    costs: NDArray[np.float32],
    pool: NDArray[np.uint32],
    used: int,
) -> int:
    """Append the union's edges to the pool; neighbours whose costs are still to be found keep _SEEN."""
    first = np.uint64(nodes[_NODE_WORDS * newer + _FIRST])
    size_newer = np.float32(nodes[_NODE_WORDS * newer + _SIZE])
    for entry in range(first, first + np.uint64(nodes[_NODE_WORDS * newer + _LENGTH])):
        edge = np.uint64(pool[entry])
        ends = np.uint64(edges[edge])
        if ends != 0:
            other = ends ^ newer
            if other != older:
                nodes[_NODE_WORDS * other + _SEEN] = union
                nodes[_NODE_WORDS * other + _SHARED] = edge
                edges[edge] = other ^ union
                pool[used] = edge
                used += _1
            else:
                edges[edge] = 0
    first = np.uint64(nodes[_NODE_WORDS * older + _FIRST])
    size_older = np.float32(nodes[_NODE_WORDS * older + _SIZE])
    for entry in range(first, first + np.uint64(nodes[_NODE_WORDS * older + _LENGTH])):
        edge = np.uint64(pool[entry])
        ends = np.uint64(edges[edge])
        if ends != 0:
            other = ends ^ older
            at = _NODE_WORDS * other
            if nodes[at + _SEEN] == union:  # Lance-Williams
                nodes[at + _SEEN] = 0
                size = np.float32(nodes[at + _SIZE])
                shared = np.uint64(nodes[at + _SHARED])
                joint = (size_newer + size) * costs[shared + _1] + (size_older + size) * costs[edge + _1]
                joint = (joint - size * cost) / (size_newer + size_older + size)
                costs[shared + _1] = max(np.float32(0), joint)
                edges[edge] = 0
            else:
                nodes[at + _SEEN] = union
                edges[edge] = other ^ union
                pool[used] = edge
                used += _1
    return used


@njit(cache=True, nogil=True, inline="always")
def _price(
    union: int,
    rows: NDArray[np.float32],
    nodes: NDArray[np.uint32],
    edges: NDArray[np.uint32],
    costs: NDArray[np.float32],
    pool: NDArray[np.uint32],
) -> int:
    """Find the missing costs of a new union's pairs, and the best of them; return its key."""
    at_union = _NODE_WORDS * union
    row = np.uint64(nodes[at_union + _ROW])
    size_union = np.float32(nodes[at_union + _SIZE])
    best = _NONE
    first = np.uint64(nodes[at_union + _FIRST])
    for entry in range(first, first + np.uint64(nodes[at_union + _LENGTH])):
        edge = np.uint64(pool[entry])
        other = np.uint64(edges[edge]) ^ union
        at = _NODE_WORDS * other
        if nodes[at + _SEEN] == union:
            size = np.float32(nodes[at + _SIZE])
            weight = (size * size_union) * (np.float32(1) / (size + size_union))
            costs[edge + _1] = weight * _distance(rows, row, np.uint64(nodes[at + _ROW]))
        best = min(best, (np.uint64(edges[edge + _1]) << _32) | other)
    nodes[at_union + _BEST] = best & _LOW
    return _NONE if best == _NONE else (best & _HIGH) | union
