"""Nodes of a level tree are what is connected above thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mis_lightning.alike.level_tree import level_tree
from mis_lightning.errors import InputError


def nodes_of(tree):
    return {tuple(sorted(tree.leaves(node).tolist())) for node in range(tree.n_nodes)}


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 5), (9, 8)])
def test_every_part_of_every_level_is_a_node(shape):
    generator = np.random.default_rng(0)
    values = generator.integers(0, 6, shape).astype(np.float32)  # with ties
    tree = level_tree(values).validate()
    nodes = nodes_of(tree)
    for threshold in np.unique(values):
        labels, count = ndimage.label(values >= threshold)
        for part in range(1, count + 1):
            assert tuple(np.flatnonzero(labels.ravel() == part).tolist()) in nodes


def test_the_cost_is_how_far_below_the_peak():
    values = np.float32([[5, 1, 4], [0, 0, 3]])
    tree = level_tree(values)
    for merge, cost in enumerate(tree.cost):
        assert cost == 5 - values.ravel()[tree.leaves(tree.n_leaves + merge)].min()
    assert (np.diff(tree.cost) >= 0).all()


@pytest.mark.parametrize(
    "values", [np.zeros((2, 2)), np.float32([1, 2]), np.float32([[np.nan, 1]]), np.zeros((0, 3), np.float32)]
)
def test_refused(values):
    with pytest.raises(InputError):
        level_tree(values)
