"""The best set of disjoint nodes of a merge tree.

Arteta, Lempitsky, Noble and Zisserman, "Learning to detect cells using non-overlapping extremal regions",
MICCAI 2012, choose cells so; a pass up and a pass down over the tree find the best of all choices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.tree import MergeTree


def best_antichain(tree: MergeTree, worth: NDArray[np.float32]) -> NDArray[np.int32]:
    """The disjoint nodes whose worth adds up to the most.

    Args:
        tree: A merge tree.
        worth: Of each node: a score less a price. Nodes of a worth of at most 0 are never taken, ``-inf``
            among them; float32, ``(2n - 1,)``.

    Returns:
        The nodes, int32, ascending. Of equally good sets the one with the larger nodes.

    Raises:
        InputError: There is not one number for each node, or one is NaN or infinite.

    Example:
        >>> tree = MergeTree(np.int32([[0, 1], [2, 3]]), np.float32([0.5, 2.0]), (1, 3))
        >>> best_antichain(tree, np.float32([0.4, 0.4, 0.3, 0.7, 0.9])).tolist()
        [0, 1, 2]
        >>> best_antichain(tree, np.float32([0.2, 0.4, -1, 0.7, 0.5])).tolist()
        [3]
    """
    if worth.shape != (tree.n_nodes,):
        raise InputError(f"Expected the worth of {tree.n_nodes} nodes, but got shape {worth.shape}.")
    if np.isnan(worth).any() or (worth == np.inf).any():
        raise InputError("Expected no NaN and no infinity in the worth of nodes.")
    return _choose(
        np.require(tree.children, np.int32, ["C", "W"]), np.require(worth, np.float32, ["C", "W"]).ravel()
    )


@njit(cache=True, nogil=True)
def _choose(children: NDArray[np.int32], worth: NDArray[np.float32]) -> NDArray[np.int32]:
    n = len(children) + 1
    best = np.empty(2 * n - 1, np.float64)  # of a node and all below it
    for node in range(2 * n - 1):
        below = 0.0
        if node >= n:
            below = best[children[node - n, 0]] + best[children[node - n, 1]]
        best[node] = max(below, worth[node])
    taken = np.zeros(2 * n - 1, np.bool_)
    open_ = np.zeros(2 * n - 1, np.bool_)  # no node above it is taken
    open_[2 * n - 2] = True
    for node in range(2 * n - 2, -1, -1):
        if not open_[node] or best[node] <= 0:
            continue
        if worth[node] == best[node]:
            taken[node] = True
        else:
            open_[children[node - n, 0]] = True
            open_[children[node - n, 1]] = True
    return np.flatnonzero(taken).astype(np.int32)
