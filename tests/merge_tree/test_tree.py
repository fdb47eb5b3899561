"""The merge tree against brute force over sets of leaves."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.tree import MergeTree


def random_tree(seed, grid):
    generator = np.random.default_rng(seed)
    n = grid[0] * grid[1]
    free, children = list(range(n)), []
    for i in range(n - 1):
        generator.shuffle(free)
        children.append((free.pop(), free.pop()))
        free.append(n + i)
    cost = np.sort(generator.random(n - 1)).astype(np.float32)
    return MergeTree(np.array(children, np.int32).reshape(-1, 2), cost, grid).validate()


def members(tree):
    """The leaves under each node, first child's first, by recursion."""

    def below(node):
        if node < tree.n_leaves:
            return [node]
        first, second = tree.children[node - tree.n_leaves]
        return below(int(first)) + below(int(second))

    return [below(node) for node in range(tree.n_nodes)]


@pytest.fixture(params=[(0, (1, 1)), (1, (1, 2)), (2, (3, 4)), (3, (7, 5)), (4, (1, 40))], ids=str)
def tree(request):
    return random_tree(*request.param)


def test_leaves_sizes_and_masks(tree):
    for node, expected in enumerate(members(tree)):
        leaves = tree.leaves(node)
        assert leaves.dtype == np.int32
        assert leaves.tolist() == expected
        assert tree.size(node) == tree.sizes[node] == len(expected)
        mask = tree.mask(node)
        assert mask.shape == tree.grid
        assert np.flatnonzero(mask).tolist() == sorted(expected)
        first, last = tree.span(node)
        assert tree.order[first:last].tolist() == expected
        assert sorted(tree.places[expected].tolist()) == list(range(first, last))
    assert np.shares_memory(tree.leaves(tree.root), tree.leaves(0))  # a slice, not a copy


def test_parents_depths_and_ancestors(tree):
    below = [set(leaves) for leaves in members(tree)]
    for node in range(tree.n_nodes):
        above = [other for other in range(tree.n_nodes) if below[node] <= below[other]]
        above.sort(key=lambda other: len(below[other]))
        assert tree.ancestors(node).tolist() == above
        assert tree.depth[node] == len(above) - 1
        assert tree.parent[node] == (above[1] if len(above) > 1 else node)


def test_cut_undoes_the_last_merges(tree):
    for k in range(1, tree.n_leaves + 1):
        regions = {leaf: {leaf} for leaf in range(tree.n_leaves)}
        for i, (a, b) in enumerate(tree.children[: tree.n_leaves - k].tolist()):
            regions[tree.n_leaves + i] = regions.pop(a) | regions.pop(b)
        labels = tree.cut(k)
        assert labels.shape == tree.grid
        assert labels.dtype == np.int32
        found = [set(np.flatnonzero(labels == label).tolist()) for label in range(k)]
        assert sorted(map(sorted, found)) == sorted(map(sorted, regions.values()))
        assert [min(region) for region in found] == sorted(min(region) for region in found)


@pytest.mark.parametrize("k", [0, -1, 13])
def test_cut_out_of_range(k):
    with pytest.raises(InputError, match=r"1\.\.12"):
        random_tree(0, (3, 4)).cut(k)


@pytest.mark.parametrize("seed", range(10))
def test_best_node_of_a_mask(tree, seed):
    wanted = np.random.default_rng(seed).random(tree.grid) < 0.3
    ious = []
    for leaves in members(tree):
        region = np.zeros(tree.n_leaves, bool)
        region[leaves] = True
        ious.append((region & wanted.ravel()).sum() / (region | wanted.ravel()).sum())
    node, iou = tree.best_node(wanted)
    assert iou == pytest.approx(max(ious))
    assert ious[node] == pytest.approx(iou)


@pytest.mark.parametrize("seed", range(10))
def test_best_node_of_pixel_counts(tree, seed):
    generator = np.random.default_rng(seed)
    total = generator.integers(0, 9, tree.grid)  # 0: a patch of which no pixel counts
    inside = generator.integers(0, total + 1)
    best = 0.0
    for leaves in members(tree):
        hit = inside.ravel()[leaves].sum()
        union = total.ravel()[leaves].sum() + inside.sum() - hit
        best = max(best, hit / union if union else 0.0)
    assert tree.best_node(inside, total)[1] == pytest.approx(best)


def test_best_node_finds_each_region_itself():
    tree = random_tree(5, (4, 6))
    for node in range(tree.n_nodes):
        assert tree.best_node(tree.mask(node)) == (node, 1.0)
    assert tree.best_node(np.zeros((4, 6), bool)) == (0, 0.0)


def test_best_node_wrong_input():
    tree = random_tree(0, (3, 4))
    with pytest.raises(InputError, match=r"`inside` of the tree's grid \(3, 4\), but got shape \(4, 3\)"):
        tree.best_node(np.ones((4, 3), bool))
    with pytest.raises(InputError, match="pass `total`"):
        tree.best_node(np.full((3, 4), 2))
    with pytest.raises(InputError, match="more inside than in total"):
        tree.best_node(np.ones((3, 4)), np.zeros((3, 4)))


@pytest.mark.parametrize("node", [-1, 23, 1000])
@pytest.mark.parametrize("method", ["leaves", "mask", "size", "ancestors"])
def test_no_such_node(method, node):
    with pytest.raises(InputError, match=r"0\.\.22, but got"):
        getattr(random_tree(0, (3, 4)), method)(node)


GOOD = [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("children", "cost", "grid", "message"),
    [
        (GOOD, [1, 1, 1], (2, 3), r"`children` of a 2x3 merge tree as int32 \(5, 2\)"),
        (GOOD, [1, 1], (2, 2), r"`cost` of a 2x2 merge tree as float32 \(3,\)"),
        (GOOD, [1, -1, 1], (2, 2), "at least 0"),
        (GOOD, [1, np.nan, 1], (2, 2), "finite"),
        (GOOD, [1, np.inf, 1], (2, 2), "finite"),
        (GOOD, [1, 1, 1], (0, 4), "`grid` as two positive"),
        (GOOD, [1, 1, 1], (2, 2, 1), "`grid` as two positive"),
        (GOOD, [1, 1, 1], (2.0, 2), "`grid` as two positive"),
        ([[0, 1], [2, 5], [4, 3]], [1, 1, 1], (2, 2), r"merge 1 to join nodes in 0\.\.4, but got \[2, 5\]"),
        ([[0, 1], [2, -3], [4, 3]], [1, 1, 1], (2, 2), "merge 1 to join"),
        ([[0, 1], [2, 1], [4, 5]], [1, 1, 1], (2, 2), "node 1 is joined 2 times"),
        ([[0, 0], [2, 3], [4, 5]], [1, 1, 1], (2, 2), "node 0 is joined 2 times"),
        ([[0, 1], [2, 3], [4, 4]], [1, 1, 1], (2, 2), "node 4 is joined 2 times"),
    ],
)
def test_validate(children, cost, grid, message):
    with pytest.raises(InputError, match=message):
        MergeTree(np.array(children, np.int32), np.array(cost, np.float32), grid).validate()


def test_validate_types():
    with pytest.raises(InputError, match="but got int64"):
        MergeTree(np.array(GOOD, np.int64), np.ones(3, np.float32), (2, 2)).validate()
    with pytest.raises(InputError, match="but got float64"):
        MergeTree(np.array(GOOD, np.int32), np.ones(3), (2, 2)).validate()
    with pytest.raises(InputError, match="list"):
        MergeTree(GOOD, np.ones(3, np.float32), (2, 2)).validate()
