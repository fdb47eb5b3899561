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


@pytest.mark.parametrize("by", ["merge", "depth"])
def test_colours_last_and_differ_from_the_neighbours(tree, by) -> None:
    stages = take_apart(tree, range(1, 30), by, 7)
    for before, after in itertools.pairwise(stages):
        new = np.setdiff1d(after.nodes, before.nodes).tolist()
        smaller = min(new, key=tree.size)
        assert len(new) == 2
        changed = before.colours != after.colours
        assert not changed[after.nodes != smaller].any() or tree.size(new[0]) == tree.size(new[1])
        for node in np.unique(after.nodes):
            assert len(np.unique(after.colours[after.nodes == node])) == 1
    unlike = stages[-1].nodes[:, 1:] != stages[-1].nodes[:, :-1]
    same_colour = stages[-1].colours[:, 1:] == stages[-1].colours[:, :-1]
    assert (unlike & same_colour).sum() <= 2  # seven colours nearly always suffice for the neighbours


def test_stages_come_in_the_order_asked_for(tree) -> None:
    stages = take_apart(tree, (8, 3, 8), "merge", 7)
    assert [len(np.unique(stage.nodes)) for stage in stages] == [8, 3, 8]


@pytest.mark.parametrize("counts", [(), (0,), (2, 43)])
def test_counts_outside_the_tree_are_refused(tree, counts) -> None:
    with pytest.raises(InputError, match=r"regions in 1\.\.42"):
        take_apart(tree, counts, "merge", 7)
