"""What is measured of all nodes at once, against each node by itself."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.alike.level_tree import level_tree
from mis_lightning.alike.node_features import FEATURES, node_borders, node_features, node_sums
from mis_lightning.merge_tree.ward import build_merge_tree


def outside(mask):
    """The leaves beside each leaf of a mask, one entry an edge: its own place and the other's."""
    for row, col in np.argwhere(mask):
        for other in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
            if 0 <= other[0] < mask.shape[0] and 0 <= other[1] < mask.shape[1] and not mask[other]:
                yield (row, col), other


@pytest.mark.parametrize("make", ["levels", "ward"])
def test_sums_and_borders(make):
    generator = np.random.default_rng(1)
    depth = generator.random((6, 7), np.float32)
    tree = level_tree(depth) if make == "levels" else build_merge_tree(depth.reshape(-1, 1), (6, 7))
    sums, borders = node_sums(tree, depth.reshape(-1, 1)), node_borders(tree)
    for node in range(tree.n_nodes):
        mask = tree.mask(node)
        assert sums[node, 0] == pytest.approx(depth[mask].sum(), rel=1e-5)
        assert borders[node] == len(list(outside(mask)))


def test_features_of_each_node():
    generator = np.random.default_rng(2)
    depth = generator.random((7, 6), np.float32)
    colours = generator.random((7, 6, 2), np.float32)
    tree = level_tree(depth)
    table = dict(zip(FEATURES, node_features(tree, depth, colours, 5.0).T, strict=False))
    for node in range(tree.n_nodes):
        mask = tree.mask(node)
        edges = list(outside(mask))
        assert table["log size, in marked objects"][node] == pytest.approx(np.log(mask.sum() / 5), abs=1e-5)
        assert table["mean depth"][node] == pytest.approx(depth[mask].mean(), abs=1e-5)
        assert table["spread of the depth"][node] == pytest.approx(depth[mask].std(), abs=1e-3)
        assert table["greatest depth"][node] == depth[mask].max()
        assert table["least depth"][node] == depth[mask].min()
        lost = sum(float(depth[a] - depth[b]) for a, b in edges) / max(len(edges), 1)
        assert table["depth lost across the border"][node] == pytest.approx(lost, abs=1e-5)
    assert node_features(tree, depth, colours, 5.0)[tree.root, len(FEATURES) :] == pytest.approx(
        colours.mean(axis=(0, 1)), abs=1e-5
    )


def test_a_disk_is_the_roundest():
    rows, cols = np.mgrid[:40, :80]
    disk = np.hypot(rows - 20, cols - 20) < 12
    bar = (abs(rows - 20) < 3) & (abs(cols - 58) < 18)
    found = {}
    for name, shape in (
        ("disk", disk),
        ("bar", bar),
        ("both", disk | bar | ((rows == 20) & (cols > 20) & (cols < 50))),
    ):
        tree = level_tree(shape.astype(np.float32))
        node = tree.best_node(shape)[0]
        row = node_features(tree, shape.astype(np.float32), np.zeros((40, 80, 0), np.float32), 1.0)[node]
        found[name] = dict(zip(FEATURES, row, strict=True))
    assert found["disk"]["compactness"] == pytest.approx(1, abs=0.1)
    assert found["disk"]["fill of the ellipse of the same moments"] == pytest.approx(1, abs=0.02)
    assert found["disk"]["axes of that ellipse"] == pytest.approx(1, abs=0.01)
    assert found["bar"]["axes of that ellipse"] < 0.5
    assert found["bar"]["compactness"] < 0.7
    assert found["both"]["fill of the ellipse of the same moments"] < 0.8
