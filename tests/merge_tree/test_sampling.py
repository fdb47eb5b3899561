"""Sampling: docs/protocol.md#reference-draws, the depth law in closed form, and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.merge_tree import sampling
from mis_lightning.merge_tree.sampling import leaf_counts, node_mask, sample_node
from mis_lightning.merge_tree.tree import MergeTree

GOLDEN_TREES = {  # docs/protocol.md#reference-draws
    (2, 3): [(1, 4), (0, 3), (2, 5), (6, 8), (7, 9)],
    (3, 3): [(7, 8), (0, 3), (6, 9), (1, 10), (2, 5), (4, 12), (13, 14), (11, 15)],
    (4, 4): [
        *[(8, 12), (3, 7), (1, 5), (0, 4), (13, 16), (6, 17), (9, 20), (2, 21)],
        *[(18, 19), (14, 15), (10, 11), (22, 26), (23, 24), (25, 27), (28, 29)],
    ],
}
GOLDEN_DRAWS = {
    (2, 3): [{3}, {5}, {2}, {1}, {1, 4, 2, 5}, {1, 4, 2, 5}],
    (3, 3): [{7, 8}, {1, 0, 3}, {4}, {2}, {2, 5, 4, 1, 0, 3}, {2, 5, 4, 1, 0, 3}],
    (4, 4): [
        *[{1, 5, 0, 4}, {10, 11}, {13, 8, 12}, {14}],
        *[{14, 15, 9, 10, 11, 13, 8, 12}, {14, 15, 9, 10, 11, 13, 8, 12}],
    ],
}
SEEDS = [1, 7920, 15839, 23758, 31677, 39596]


class ReferenceRandom:
    """The generator of the reference: minimal standard, two outputs to a number.

    Rule: docs/protocol.md#reference-draws.
    """

    def __init__(self, seed):
        self.state = seed % (2**31 - 1) or 1

    def step(self):
        self.state = 16807 * self.state % (2**31 - 1)
        return self.state - 1

    def random(self):
        first, second, range_ = self.step(), self.step(), 2147483646
        return (first + second * range_) / range_**2


def tree_of(children, grid):
    return MergeTree(np.array(children, np.int32).reshape(-1, 2), np.zeros(len(children), np.float32), grid)


def caterpillar(n):
    """Each merge adds one leaf: the root's children are a leaf and all the others."""
    return tree_of([(0, 1)] + [(n + i, i + 2) for i in range(n - 2)], (1, n))


def balanced(levels):
    n = 2**levels
    return tree_of([(2 * i, 2 * i + 1) for i in range(n - 1)], (1, n))


def test_reference_random():
    expected = {
        1: [0.131537787739, 0.458650132023, 0.218959186212, 0.678864716741],
        7920: [0.779282093803, 0.509044833673, 0.156755718323, 0.608557597180],
    }
    for seed, numbers in expected.items():
        source = ReferenceRandom(seed)
        np.testing.assert_allclose([source.random() for _ in range(4)], numbers, atol=1e-12)


@pytest.mark.parametrize("grid", GOLDEN_TREES)
def test_golden_draws(grid):
    tree = tree_of(GOLDEN_TREES[grid], grid).validate()
    for seed, expected in zip(SEEDS, GOLDEN_DRAWS[grid], strict=True):
        node = sampling._descend.py_func(tree.children, tree.n_leaves, ReferenceRandom(seed), 0.9)
        assert set(tree.leaves(node).tolist()) == expected


def test_compiled_draws_equal_plain_ones():
    tree = balanced(6)
    for seed in range(200):
        plain = sampling._descend.py_func(tree.children, 64, np.random.default_rng(seed), 0.9)
        assert sample_node(tree, np.random.default_rng(seed), 0.9, 0.0) == plain


def test_depth_law():
    """P(depth >= m) = 0.9^(m(m-1)/2), within five standard deviations."""
    tree, draws = balanced(12), 20_000
    generator = np.random.default_rng(0)
    depths = tree.depth[[sample_node(tree, generator, 0.9, 0.0) for _ in range(draws)]]
    for m in range(12):
        law = 0.9 ** (m * (m - 1) / 2)
        assert abs((depths >= m).mean() - law) <= 5 * np.sqrt(law * (1 - law) / draws)
    assert depths.mean() == pytest.approx(3.91, abs=0.05)


def test_children_have_equal_chances_whatever_their_size():
    tree = caterpillar(20)
    generator = np.random.default_rng(0)
    nodes = [sample_node(tree, generator, 0.0, 0.0) for _ in range(4000)]
    assert set(nodes) == set(tree.children[-1].tolist())  # decay 0 stops at depth 1
    assert abs(nodes.count(19) / 4000 - 0.5) < 5 * 0.5 / np.sqrt(4000)


def test_share_must_be_exceeded():
    tree = caterpillar(20)  # the root's children have shares of 0.05 and 0.95
    generator = np.random.default_rng(0)
    assert {sample_node(tree, generator, 0.0, 0.05) for _ in range(50)} == {tree.root - 1}
    assert {sample_node(tree, generator, 0.0, 0.0499) for _ in range(50)} == {19, tree.root - 1}


def test_last_of_100_draws_where_none_is_large_enough():
    tree = caterpillar(20)
    for seed in range(20):
        generator = np.random.default_rng(seed)
        draws = [sampling._descend.py_func(tree.children, 20, generator, 0.9) for _ in range(100)]
        after = generator.random()
        generator = np.random.default_rng(seed)
        assert sample_node(tree, generator, 0.9, 0.95) == draws[-1]
        assert generator.random() == after


def test_the_number_of_draws_is_a_choice():
    tree = caterpillar(20)
    generator = np.random.default_rng(5)
    draws = [sampling._descend.py_func(tree.children, 20, generator, 0.9) for _ in range(3)]
    assert sample_node(tree, np.random.default_rng(5), 0.9, 0.95, max_draws=3) == draws[-1]
    with pytest.raises(InputError, match="max_draws"):
        sample_node(tree, generator, max_draws=0)


def test_root_only_of_a_single_leaf():
    generator = np.random.default_rng(0)
    assert sample_node(tree_of([], (1, 1)), generator) == 0
    assert {sample_node(tree_of([(0, 1)], (1, 2)), generator) for _ in range(50)} == {0, 1}


@pytest.mark.parametrize(
    ("decay", "min_share"), [(-0.1, 0.05), (1.1, 0.05), (np.nan, 0), (0.9, 1), (0.9, -1)]
)
def test_wrong_parameters(decay, min_share):
    with pytest.raises(InputError, match="Expected `"):
        sample_node(balanced(2), np.random.default_rng(0), decay, min_share)


@pytest.mark.parametrize("size", [(6, 10), (48, 80), (47, 83), (3, 4), (1, 1), (7, 9), (100, 2)])
def test_node_mask_is_floor_nearest(size):
    tree = tree_of([(i, i + 1) if i == 0 else (60 + i - 1, i + 1) for i in range(59)], (6, 10)).validate()
    rows = np.arange(size[0]) * 6 // size[0]
    cols = np.arange(size[1]) * 10 // size[1]
    for node in (0, 59, 63, 90, tree.root):
        mask = node_mask(tree, node, size)
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(mask, tree.mask(node)[np.ix_(rows, cols)])


@pytest.mark.parametrize("size", [(6, 10), (47, 83), (4, 7)])
def test_leaf_counts(size):
    mask = np.random.default_rng(0).random(size) < 0.5
    expected = np.zeros((6, 10))
    rows, cols = np.nonzero(mask)
    np.add.at(expected, (rows * 6 // size[0], cols * 10 // size[1]), 1)
    np.testing.assert_array_equal(leaf_counts(mask, (6, 10)), expected)


def test_best_node_by_counts_is_exact_in_pixels():
    tree = balanced(5)
    tree = MergeTree(tree.children, tree.cost, (4, 8)).validate()
    generator = np.random.default_rng(1)
    mask, ignore = generator.random((2, 30, 45)) < [[[0.4]], [[0.1]]]
    counted = leaf_counts(mask & ~ignore, tree.grid), leaf_counts(~ignore, tree.grid)
    node, iou = tree.best_node(*counted)
    ious = []
    for other in range(tree.n_nodes):
        region = node_mask(tree, other, mask.shape)
        ious.append((region & mask & ~ignore).sum() / ((region | mask) & ~ignore).sum())
    assert iou == pytest.approx(max(ious))
    assert node == int(np.argmax(ious))


def test_wrong_sizes_and_masks():
    for size in [(0, 5), (5, -1), (5,), (1, 2, 3)]:
        with pytest.raises(InputError, match="at least 1x1"):
            node_mask(balanced(2), 0, size)
    for mask in (np.zeros((3, 3)), np.zeros(3, bool), np.zeros((0, 3), bool)):
        with pytest.raises(InputError, match="Expected"):
            leaf_counts(mask, (2, 2))


def test_walk_probabilities_sum_to_one():
    """On a tiny tree every outcome has a closed form: check each of them."""
    tree = tree_of([(0, 1), (4, 2), (5, 3)], (2, 2)).validate()
    # root -> 3 or 5; 5 stops with 0.1, else -> 2 or 4; 4 stops with 1 - 0.81, else -> 0 or 1
    law = {3: 0.5, 5: 0.5 * 0.1, 2: 0.5 * 0.9 * 0.5, 4: 0.5 * 0.9 * 0.5 * 0.19}
    law[0] = law[1] = 0.5 * 0.9 * 0.5 * 0.81 * 0.5
    assert sum(law.values()) == pytest.approx(1)
    generator = np.random.default_rng(0)
    nodes = np.array([sample_node(tree, generator, 0.9, 0.0) for _ in range(10_000)])
    for node, share in law.items():
        assert abs((nodes == node).mean() - share) < 5 * np.sqrt(share * (1 - share) / 10_000)
