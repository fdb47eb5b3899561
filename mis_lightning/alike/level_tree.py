"""The merge tree of a map's level sets: its nodes are what is connected above any threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.tree import MergeTree


def level_tree(values: NDArray[np.float32]) -> MergeTree:
    """Merge the leaves of a map from its peaks downwards.

    Leaves join in descending order of their values, each with the neighbours (by edges) that are there
    already. So every connected part of every upper level set ``values >= t`` is a node; between two levels
    lie nodes where one leaf after the other is added. Where two peaks meet, their parts become one.

    Args:
        values: Of the leaves, finite, float32, ``(h, w)``.

    Returns:
        The merge tree. The cost of a merge is how far the level lies below the highest value.

    Raises:
        InputError: The map has another shape or type, is empty, or is not finite.

    Example:
        >>> tree = level_tree(np.float32([[3, 1, 2]]))
        >>> tree.children.tolist(), tree.cost.tolist()
        ([[0, 1], [2, 3]], [2.0, 2.0])
    """
    if values.ndim != 2 or values.dtype != np.float32 or values.size == 0:
        raise InputError(f"Expected a map, float32 (h, w), but got {values.dtype} {values.shape}.")
    if not np.isfinite(values).all():
        raise InputError("Expected finite values in a map, but got NaN or infinity.")
    flat = np.require(values, np.float32, ["C", "W"]).ravel()
    order = np.argsort(-flat, kind="stable")
    children, levels = _join(order, flat, values.shape[0], values.shape[1])
    cost = (flat[order[0]] - levels).astype(np.float32)
    return MergeTree(children, cost, (int(values.shape[0]), int(values.shape[1])))


@njit(cache=True, nogil=True)
def _join(
    order: NDArray[np.int64], values: NDArray[np.float32], height: int, width: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The children of each merge, and its level: the value of the last leaf, the least in the node."""
    n = height * width
    children = np.empty((n - 1, 2), np.int32)
    levels = np.empty(n - 1, np.float32)
    root = np.full(n, -1, np.int64)  # of a leaf's part, by way of other leaves; -1: not there yet
    node = np.empty(n, np.int32)  # of the part with this root
    size = np.ones(n, np.int32)
    made = 0
    for leaf in order:
        root[leaf] = leaf
        node[leaf] = leaf
        row, col = leaf // width, leaf % width
        for side in range(4):
            if side == 0 and row > 0:
                other = leaf - width
            elif side == 1 and col > 0:
                other = leaf - 1
            elif side == 2 and col + 1 < width:
                other = leaf + 1
            elif side == 3 and row + 1 < height:
                other = leaf + width
            else:
                continue
            if root[other] < 0:
                continue
            a, b = _find(root, leaf), _find(root, other)
            if a == b:
                continue
            children[made, 0] = min(node[a], node[b])
            children[made, 1] = max(node[a], node[b])
            levels[made] = values[leaf]
            if size[a] < size[b]:
                a, b = b, a
            root[b] = a
            size[a] += size[b]
            node[a] = n + made
            made += 1
    return children, levels


@njit(cache=True, nogil=True)
def _find(root: NDArray[np.int64], leaf: int) -> int:
    while root[leaf] != leaf:
        root[leaf] = root[root[leaf]]
        leaf = root[leaf]
    return leaf
