"""Stages of a merge tree against its own cuts and against a search without a heap."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.figures.taking_apart import take_apart
from mis_lightning.merge_tree.ward import build_merge_tree

GRID = (6, 7)
COUNTS = (1, 2, 5, 12, 42)


@pytest.fixture(scope="module")
def tree():
    features = np.random.default_rng(0).normal(size=(42, 3)).astype(np.float32)
    return build_merge_tree(features, GRID)


def relabelled(nodes: np.ndarray) -> np.ndarray:
    """Number labels as they first appear."""
    seen: dict[int, int] = {}
    return np.array([seen.setdefault(int(node), len(seen)) for node in nodes.ravel()]).reshape(nodes.shape)


def test_by_merge_gives_the_cuts_of_the_tree(tree) -> None:
    for count, stage in zip(COUNTS, take_apart(tree, COUNTS, "merge", 7), strict=True):
        np.testing.assert_array_equal(relabelled(stage.nodes), tree.cut(count))


def test_by_depth_takes_the_shallowest_node_first(tree) -> None:
    whole = [tree.root]
    for count, stage in zip(range(1, 20), take_apart(tree, range(1, 20), "depth", 7), strict=True):
        assert set(np.unique(stage.nodes)) == set(whole), count
        inner = [node for node in whole if node >= 42]
        first = min(inner, key=lambda node: (tree.depth[node], -tree.size(node), -node))
        whole.remove(first)
        whole += tree.children[first - 42].tolist()


def test_nodes_cover_their_own_leaves(tree) -> None:
    (stage,) = take_apart(tree, [9], "depth", 7)
    for node in np.unique(stage.nodes):
        np.testing.assert_array_equal(stage.nodes == node, tree.mask(int(node)))


def shared_borders(inside: np.ndarray, colours: np.ndarray) -> list[int]:
    """For each of seven colours, the edges it shares with a region."""
    shared = [0] * 7
    for r, c in np.argwhere(inside):
        for at in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if 0 <= at[0] < GRID[0] and 0 <= at[1] < GRID[1] and not inside[at]:
                shared[colours[at]] += 1
    return shared


@pytest.mark.parametrize("by", ["merge", "depth"])
def test_the_smaller_child_takes_the_colour_least_seen_around_it(tree, by) -> None:
    for before, after in itertools.pairwise(take_apart(tree, range(1, 30), by, 7)):
        (parent,) = np.setdiff1d(before.nodes, after.nodes)
        first, second = tree.children[parent - 42].tolist()
        smaller = second if tree.size(second) <= tree.size(first) else first
        inside = after.nodes == smaller
        (colour,) = np.unique(after.colours[inside])
        shared = shared_borders(inside, before.colours)
        assert shared[colour] == min(shared)
        np.testing.assert_array_equal(after.colours[~inside], before.colours[~inside])


def test_stages_come_in_the_order_asked_for(tree) -> None:
    stages = take_apart(tree, (8, 3, 8), "merge", 7)
    assert [len(np.unique(stage.nodes)) for stage in stages] == [8, 3, 8]


@pytest.mark.parametrize("counts", [(), (0,), (2, 43)])
def test_counts_outside_the_tree_are_refused(tree, counts) -> None:
    with pytest.raises(InputError, match=r"regions in 1\.\.42"):
        take_apart(tree, counts, "merge", 7)
