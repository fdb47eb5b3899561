"""Split a merge tree from the root down, with consistent colours for its regions."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.tree import MergeTree


@dataclass(frozen=True)
class Partition:
    """The regions at one stage.

    Attributes:
        nodes: The node that each patch belongs to, int32, ``(h, w)``.
        colours: A number of a colour for each patch, the same all over a region, int64, ``(h, w)``.
    """

    nodes: NDArray[np.int32]
    colours: NDArray[np.int64]


def take_apart(
    tree: MergeTree, counts: Sequence[int], by: Literal["merge", "depth"], n_colours: int
) -> list[Partition]:
    """Split regions into their two children, starting with the whole image.

    The larger child keeps the colour of its parent; the smaller one gets the colour with which it shares the
    shortest border. So a region has one colour through all stages, and neighbours rarely look alike.

    Args:
        tree: The tree.
        counts: Numbers of regions to stop at.
        by: Which region goes first: ``"merge"``, the one that was merged last; ``"depth"``, the one nearest
            to the root, the larger of equals.
        n_colours: Number of colours.

    Returns:
        The stages, in the order of ``counts``.

    Raises:
        InputError: No counts, or one that is not in ``1..n``.
    """
    if not counts or not all(1 <= count <= tree.n_leaves for count in counts):
        raise InputError(
            f"Expected numbers of regions in 1..{tree.n_leaves}, the patches of the merge tree, "
            f"but got {list(counts)}."
        )

    def urgency(node: int) -> tuple[int, int, int]:
        return (0, 0, -node) if by == "merge" else (int(tree.depth[node]), -tree.size(node), -node)

    nodes = np.full(tree.n_leaves, tree.root, np.int32)
    colours = np.zeros(tree.n_leaves, np.int64)
    stages: dict[int, Partition] = {}
    waiting = [(urgency(tree.root), tree.root)]
    for count in range(1, max(counts) + 1):
        if count in counts:
            stages[count] = Partition(nodes.reshape(tree.grid).copy(), colours.reshape(tree.grid).copy())
        if count == max(counts):
            break
        _, parent = heapq.heappop(waiting)  # never empty: leaves stay out, and fewer than n regions are left
        children = [int(child) for child in tree.children[parent - tree.n_leaves]]
        for child in children:
            nodes[tree.leaves(child)] = child
            if child >= tree.n_leaves:
                heapq.heappush(waiting, (urgency(child), child))
        smaller = min(reversed(children), key=tree.size)
        colours[tree.leaves(smaller)] = _free_colour(tree, smaller, colours, n_colours)
    return [stages[count] for count in counts]


def _free_colour(tree: MergeTree, node: int, colours: NDArray[np.int64], n_colours: int) -> int:
    """The colour least seen around a node, and of those the one least seen anywhere."""
    inside = tree.mask(node)
    around = colours.reshape(tree.grid)
    touching = [
        around[1:][inside[:-1] & ~inside[1:]],
        around[:-1][inside[1:] & ~inside[:-1]],
        around[:, 1:][inside[:, :-1] & ~inside[:, 1:]],
        around[:, :-1][inside[:, 1:] & ~inside[:, :-1]],
    ]
    shared = np.bincount(np.concatenate(touching), minlength=n_colours)
    area = np.bincount(colours, minlength=n_colours)
    return min(range(n_colours), key=lambda colour: (shared[colour], area[colour]))
