"""Sharpen a model's answer by a merge tree: the best labelling that the tree allows, found exactly.

The leaves carry a model's log-odds. A *pruning* is a set of nodes whose leaves partition the grid; each of
its nodes, a *piece*, gets one label and costs the log-odds that it contradicts, plus a price. The cheapest
pruning has large pieces with one label, cut up only where the evidence pays for it: borders are the tree's,
objects are the model's. It is found in one pass up and one down (Guigues, Cocquerez and Le Men, "Scale-sets
image analysis", IJCV 2006).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.tree import MergeTree

_BACKGROUND, _OBJECT, _CUT = np.uint8(0), np.uint8(1), np.uint8(2)


def refine(
    tree: MergeTree,
    evidence: NDArray[np.float32],
    price: float,
    fixed: NDArray[np.int8] | None = None,
) -> NDArray[np.bool_]:
    """Label the leaves by the cheapest pruning of the tree.

    The cost of a pruning is the sum over its pieces of ``price`` and of the evidence against the piece's
    label: ``max(0, -u)`` of each leaf in an object piece, ``max(0, u)`` in a background piece. Every fixed
    leaf gets its label, whatever it costs.

    Sums are float64: with float32 the rounding of a sum over all leaves exceeds what one leaf weighs.

    Args:
        tree: A tree over ``(h, w)`` leaves.
        evidence: Log-odds that a leaf belongs to the object, finite, clipped by the caller to what one leaf
            may weigh at most, float32, ``(h, w)``.
        price: What a piece costs, in log-odds, at least 0. A piece whose evidence sums up to less is not
            worth cutting out.
        fixed: 1 where a leaf is the object, -1 where it is not, 0 where the evidence decides, int8,
            ``(h, w)``; ``None``: all 0.

    Returns:
        Whether each leaf belongs, bool, ``(h, w)``. Of equally cheap prunings one of the fewest pieces; a
        piece whose labels cost the same is background.

    Raises:
        InputError: A shape is not the tree's grid, a log-odd or the price is not finite, the price is
            negative, or a fixed label is not -1, 0 or 1.

    Example:
        >>> tree = MergeTree(np.int32([[0, 1], [2, 3]]), np.float32([0.5, 2.0]), (1, 3))
        >>> refine(tree, np.float32([[3, -1, -2]]), price=1.2).tolist()
        [[True, True, False]]
        >>> refine(tree, np.float32([[3, -1, -2]]), price=1.2, fixed=np.int8([[0, -1, 0]])).tolist()
        [[True, False, False]]
    """
    if not 0 <= price < np.inf:
        raise InputError(f"Expected `price`, what a piece costs, finite and at least 0, but got {price}.")
    fixed = np.zeros(tree.grid, np.int8) if fixed is None else fixed
    for name, given in (("evidence", evidence), ("fixed", fixed)):
        if given.shape != tuple(tree.grid):
            raise InputError(f"Expected `{name}` of the tree's grid {tree.grid}, but got {given.shape}.")
    if not ((fixed >= -1) & (fixed <= 1)).all():
        raise InputError(f"Expected labels -1, 0 or 1 in `fixed`, but got {fixed.min()} to {fixed.max()}.")
    if not np.isfinite(evidence).all():
        raise InputError("Expected finite log-odds in `evidence`, but got NaN or infinity; clip them first.")
    labels = _prune(
        np.require(tree.children, np.int32, ["C", "W"]),  # read-only arrays would be compiled for anew
        np.require(evidence, np.float32, ["C", "W"]).ravel(),
        np.require(fixed, np.int8, ["C", "W"]).ravel(),
        float(price),
    )
    return labels.view(np.bool_).reshape(tree.grid)


def drop_specks(
    mask: NDArray[np.bool_], object_seen: NDArray[np.bool_], background_seen: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Drop the pieces of a mask that nothing speaks for, and fill the holes that nothing speaks for.

    Args:
        mask: bool, ``(h, w)``.
        object_seen: Where a positive click or the model speaks for the object, bool, ``(h, w)``. A connected
            piece of the mask without such a place is dropped; corners connect.
        background_seen: Where a negative click or the model speaks against it, bool, ``(h, w)``. A hole
            without such a place is filled. A hole is a connected piece of the rest, by edges, that does not
            reach the border of the map.

    Returns:
        A new mask, bool, ``(h, w)``.

    Raises:
        InputError: The shapes differ.

    Example:
        >>> mask, nothing = np.ones((3, 7), bool), np.zeros((3, 7), bool)
        >>> mask[1, 1] = False
        >>> mask[:, 3:6] = False
        >>> seen = nothing.copy()
        >>> seen[0, 0] = True
        >>> drop_specks(mask, seen, nothing).astype(int).tolist()
        [[1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0]]
    """
    if not mask.shape == object_seen.shape == background_seen.shape:
        raise InputError(
            "Expected `mask`, `object_seen` and `background_seen` of one shape, but got "
            f"{mask.shape}, {object_seen.shape} and {background_seen.shape}."
        )
    kept = _pieces_with(mask, object_seen, connectivity=8)
    keeps_open = background_seen.copy()
    keeps_open[[0, -1]] = True
    keeps_open[:, [0, -1]] = True
    return ~_pieces_with(~kept, keeps_open, connectivity=4)


def _pieces_with(mask: NDArray[np.bool_], anchors: NDArray[np.bool_], connectivity: int) -> NDArray[np.bool_]:
    """The connected pieces of a mask that hold an anchor."""
    count, labels = cv2.connectedComponents(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S
    )
    wanted = np.zeros(count, np.bool_)
    wanted[labels[anchors]] = True
    wanted[0] = False  # what is not in the mask
    return wanted[labels]


@njit(cache=True, nogil=True)
def _prune(
    children: NDArray[np.int32], evidence: NDArray[np.float32], fixed: NDArray[np.int8], price: float
) -> NDArray[np.uint8]:
    """The label of each leaf, 0 or 1, uint8, ``(n,)``."""
    # unsigned indices spare Numba the handling of negative ones
    n, one = np.uint64(evidence.shape[0]), np.uint64(1)
    nodes = children.view(np.uint32)
    # for each node side by side: its cost as an object, as background, and at best
    cost = np.empty((n + n - one, 3), np.float64)
    choice = np.empty(n + n - one, np.uint8)
    for leaf in range(n):
        as_object = np.inf if fixed[leaf] < 0 else max(0.0, -np.float64(evidence[leaf]))
        as_background = np.inf if fixed[leaf] > 0 else max(0.0, np.float64(evidence[leaf]))
        cost[leaf, 0] = as_object
        cost[leaf, 1] = as_background
        cost[leaf, 2] = min(as_object, as_background) + price
        choice[leaf] = as_object < as_background
    for merge in range(n - one):
        a, b, node = np.uint64(nodes[merge, 0]), np.uint64(nodes[merge, 1]), n + merge
        as_object = cost[a, 0] + cost[b, 0]
        as_background = cost[a, 1] + cost[b, 1]
        whole = min(as_object, as_background) + price
        cut = cost[a, 2] + cost[b, 2]
        cost[node, 0] = as_object
        cost[node, 1] = as_background
        cost[node, 2] = min(whole, cut)
        choice[node] = _CUT if cut < whole else np.uint8(as_object < as_background)
    for back in range(one, n):
        merge = n - one - back
        label = choice[n + merge]
        if label != _CUT:
            choice[np.uint64(nodes[merge, 0])] = label
            choice[np.uint64(nodes[merge, 1])] = label
    return choice[:n].copy()
