"""The best disjoint nodes, against all choices there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mis_lightning.alike.antichain import best_antichain
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.ward import build_merge_tree


def all_antichains(tree):
    leaves = [set(tree.leaves(node).tolist()) for node in range(tree.n_nodes)]
    for count in range(tree.n_leaves + 1):
        for nodes in combinations(range(tree.n_nodes), count):
            if sum(len(leaves[node]) for node in nodes) == len(set().union(*(leaves[n] for n in nodes))):
                yield nodes


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_best_of_all(seed):
    generator = np.random.default_rng(seed)
    tree = build_merge_tree(generator.random((6, 2), np.float32), (2, 3))
    worth = generator.normal(size=tree.n_nodes).astype(np.float32)
    worth[generator.random(tree.n_nodes) < 0.2] = -np.inf
    chosen = best_antichain(tree, worth)
    best = max(sum(float(worth[node]) for node in nodes) for nodes in all_antichains(tree))
    assert worth[chosen].astype(float).sum() == pytest.approx(best)
    assert tuple(chosen.tolist()) in set(all_antichains(tree))
    assert (worth[chosen] > 0).all()


def test_of_equals_the_larger():
    tree = build_merge_tree(np.float32([[0], [0], [5]]), (1, 3))
    assert best_antichain(tree, np.float32([1, 1, 0, 2, 2])).tolist() == [4]


def test_nothing_of_worth():
    tree = build_merge_tree(np.float32([[0], [1]]), (1, 2))
    assert best_antichain(tree, np.float32([-1, 0, -np.inf])).tolist() == []


@pytest.mark.parametrize(
    "worth", [np.zeros(2, np.float32), np.float32([0, np.nan, 0]), np.float32([0, np.inf, 0])]
)
def test_refused(worth):
    tree = build_merge_tree(np.float32([[0], [1]]), (1, 2))
    with pytest.raises(InputError):
        best_antichain(tree, worth)
