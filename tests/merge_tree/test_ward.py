"""Ward merging against a plain brute-force twin, scikit-learn and SciPy."""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph

from mis_lightning.errors import InputError
from mis_lightning.merge_tree import ward_full
from mis_lightning.merge_tree.ward import build_merge_tree


def greedy_twin(features, grid):
    """docs/protocol.md#merging literally, in float64, with a scan over all pairs in place of a heap.

    Equal costs: the pair whose younger node is the older, then whose older node is.
    """
    h, w = grid
    n = h * w
    centre = {i: features[i].astype(np.float64) for i in range(n)}
    size = dict.fromkeys(range(n), 1)
    pairs = []  # (i, j) in the order in which they entered the list
    for i in range(n):
        if i // w < h - 1:
            pairs.append((i, i + w))
        if i % w < w - 1:
            pairs.append((i, i + 1))

    def linkage_cost(i, j):
        return size[i] * size[j] / (size[i] + size[j]) * ((centre[i] - centre[j]) ** 2).sum()

    costs = [linkage_cost(*pair) for pair in pairs]
    around = [(-1, 0), (0, -1), (1, 0), (0, 1)]  # up, left, down, right
    neighbours = {
        i: [(r + i // w) * w + c + i % w for r, c in around if 0 <= r + i // w < h and 0 <= c + i % w < w]
        for i in range(n)
    }
    children, heights = [], []
    parent = {}

    def root(i):
        while i in parent:
            i = parent[i]
        return i

    for k in range(n, 2 * n - 1):
        alive = [t for t, (i, j) in enumerate(pairs) if i not in parent and j not in parent]
        pairs, costs = [pairs[t] for t in alive], [costs[t] for t in alive]
        t = min(range(len(pairs)), key=lambda t: (costs[t], max(pairs[t]), min(pairs[t])))
        i, j = pairs[t]
        children.append((i, j))
        heights.append(costs[t])
        parent[i] = parent[j] = k
        centre[k] = (size[i] * centre[i] + size[j] * centre[j]) / (size[i] + size[j])
        size[k] = size[i] + size[j]
        neighbours[k] = []
        for a in neighbours[i] + neighbours[j]:
            a = root(a)
            if a != k and a not in neighbours[k]:
                neighbours[k].append(a)
        for a in neighbours[k]:
            pairs.append((a, k))
            costs.append(linkage_cost(a, k))
    return np.array(children, np.int32).reshape(n - 1, 2), np.array(heights)


def textured(generator, grid, channels):
    """Features with a coarse layout and noise, as those of an image."""
    h, w = grid
    rows, cols = np.mgrid[0:h, 0:w]
    field = [(np.sin(rows / 3 + k) + np.cos(cols / (2 + k))).ravel() for k in range(4)]
    mixed = np.stack(field, 1) @ generator.standard_normal((4, channels))
    return (mixed + 0.4 * generator.standard_normal((h * w, channels))).astype(np.float32)


def partitions(children, n, ks):
    """The set of regions with k left, for each k, as frozensets of leaves."""
    members = {i: frozenset([i]) for i in range(n)}
    found = {}
    for i, (a, b) in enumerate(children):
        if len(members) in ks:
            found[len(members)] = set(members.values())
        members[n + i] = members.pop(int(a)) | members.pop(int(b))
    return found


@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (1, 9), (9, 1), (2, 2), (3, 5), (7, 6), (13, 11)])
@pytest.mark.parametrize("channels", [1, 3, 8, 40, 65])
@pytest.mark.parametrize("kind", ["noise", "textured"])
def test_grid_equals_twin(grid, channels, kind):
    generator = np.random.default_rng([*grid, channels])
    n = grid[0] * grid[1]
    features = generator.standard_normal((n, channels)).astype(np.float32)
    if kind == "textured":
        features = textured(generator, grid, channels)
    tree = build_merge_tree(features, grid).validate()
    children, heights = greedy_twin(features, grid)
    np.testing.assert_array_equal(tree.children, children)
    np.testing.assert_allclose(tree.cost, heights, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_grid_zero_cost_ties(seed):
    generator = np.random.default_rng(seed)
    grid = (int(generator.integers(1, 9)), int(generator.integers(1, 9)))
    # costs of small whole numbers are exact in float32 only while sizes are powers of two: keep to the zeros
    features = np.repeat(generator.integers(0, 3, (grid[0] * grid[1], 1)), 2, axis=1).astype(np.float32)
    features *= np.float32(1000.0) ** generator.integers(0, 2)
    tree = build_merge_tree(features, grid).validate()
    children, _ = greedy_twin(features, grid)
    zeros = int((tree.cost == 0).sum())
    np.testing.assert_array_equal(tree.children[:zeros], children[:zeros])


def test_grid_constant_features_equal_twin():
    features = np.full((30, 5), 0.1, np.float32)
    tree = build_merge_tree(features, (5, 6)).validate()
    np.testing.assert_array_equal(tree.children, greedy_twin(features * 0, (5, 6))[0])
    assert tree.depth.max() <= 8  # the oldest pair first keeps flat images balanced


@pytest.mark.parametrize(("grid", "channels"), [((12, 17), 16), ((24, 32), 384), ((40, 40), 6)])
def test_grid_heights_and_partitions_of_sklearn(grid, channels):
    n = grid[0] * grid[1]
    features = textured(np.random.default_rng(n), grid, channels)
    tree = build_merge_tree(features, grid).validate()
    children, _, _, _, distances = ward_tree(
        features, connectivity=grid_to_graph(*grid), return_distance=True
    )
    np.testing.assert_allclose(np.sqrt(2 * tree.cost), distances, rtol=1e-4)
    ks = {2, 3, 5, 10, 50, n // 2}
    assert partitions(tree.children, n, ks) == partitions(children, n, ks)


def test_grid_one_region_swallows_all():
    """On a chessboard two patches average out, and what touches them comes next: long lists of neighbours."""
    chess = (np.indices((16, 16)).sum(0) % 2 * 2 - 1).reshape(-1, 1)
    noise = np.random.default_rng(0).standard_normal((256, 3))
    features = (chess + 0.1 * noise).astype(np.float32)
    tree = build_merge_tree(features, (16, 16)).validate()
    children, heights = greedy_twin(features, (16, 16))
    np.testing.assert_array_equal(tree.children, children)
    np.testing.assert_allclose(tree.cost, heights, rtol=1e-4)
    assert tree.depth.max() > 60
    assert (np.diff(tree.cost) < 0).any()  # with neighbours only, a merge may cost less than the one before


def test_grid_far_from_zero():
    values = 1000 + np.cumsum(np.random.default_rng(0).uniform(1, 2, 400)).astype(np.float32)
    tree = build_merge_tree(values[:, None], (1, 400)).validate()
    children, heights = greedy_twin(values[:, None], (1, 400))
    np.testing.assert_array_equal(tree.children, children)
    np.testing.assert_allclose(tree.cost, heights, rtol=1e-4)


def test_features_are_left_alone():
    features = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    before = features.copy()
    for connectivity in ("grid", "full"):
        first = build_merge_tree(features, (5, 6), connectivity)
        second = build_merge_tree(np.asfortranarray(features), (5, 6), connectivity)
        np.testing.assert_array_equal(first.children, second.children)
        np.testing.assert_array_equal(first.cost, second.cost)
    np.testing.assert_array_equal(features, before)
    features.setflags(write=False)
    np.testing.assert_array_equal(build_merge_tree(features, (5, 6), "full").children, first.children)


@pytest.mark.parametrize(("n", "channels"), [(1, 3), (2, 1), (3, 2), (60, 1), (150, 7), (700, 50)])
def test_full_equals_scipy(n, channels):
    features = np.random.default_rng(n).standard_normal((n, channels)).astype(np.float32)
    tree = build_merge_tree(features, (1, n), "full").validate()
    assert (np.diff(tree.cost) >= 0).all()
    if n == 1:
        return
    expected = linkage(features.astype(np.float64), "ward")
    np.testing.assert_allclose(np.sqrt(2 * tree.cost), expected[:, 2], rtol=1e-5)
    for k in {1, 2, n // 3 + 1, n}:
        labels = tree.cut(k).ravel()
        theirs = fcluster(expected, k, "maxclust")
        assert len(set(zip(labels.tolist(), theirs.tolist(), strict=True))) == k


def test_full_with_duplicates_and_offset():
    generator = np.random.default_rng(3)
    points = generator.standard_normal((40, 5)) + 100.0
    features = np.repeat(points, 3, axis=0).astype(np.float32)[generator.permutation(120)]
    tree = build_merge_tree(features, (8, 15), "full").validate()
    expected = linkage(features.astype(np.float64), "ward")[:, 2]
    assert (tree.cost[:80] == 0).all()
    np.testing.assert_allclose(np.sqrt(2 * tree.cost[80:]), expected[80:], rtol=1e-4)
    flat = build_merge_tree(np.ones((12, 3), np.float32), (3, 4), "full").validate()
    assert (flat.cost == 0).all()


def test_full_keeps_small_differences_within_far_groups():
    """Inner products alone lose them: 1000^2 leaves float32 no digit for 0.01^2."""
    generator = np.random.default_rng(0)
    groups = 1000 * generator.standard_normal((6, 4)).repeat(20, axis=0)
    features = (groups + 0.01 * generator.standard_normal((120, 4))).astype(np.float32)
    tree = build_merge_tree(features, (10, 12), "full").validate()
    expected = linkage(features.astype(np.float64), "ward")[:, 2]
    np.testing.assert_allclose(np.sqrt(2 * tree.cost), expected, rtol=1e-4)


def test_full_too_large_for_memory(monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4}.__getitem__)
    with pytest.raises(InputError, match=r'200x200 matrix.*connectivity="grid"'):
        ward_full.merge_full(np.zeros((200, 2), np.float32))


@pytest.mark.parametrize(
    ("features", "grid", "message"),
    [
        (np.zeros((6, 2)), (2, 3), "float32 array"),
        (np.zeros(6, np.float32), (2, 3), "float32 array"),
        ([[0.0]], (1, 1), "float32 array"),
        (np.zeros((6, 2), np.float32), (3, 3), "of 6 patches"),
        (np.zeros((6, 2), np.float32), (-2, -3), "of 6 patches"),
        (np.zeros((0, 2), np.float32), (0, 3), "of 0 patches"),
        (np.zeros((6, 0), np.float32), (2, 3), "one channel"),
        (np.float32([[0], [np.nan]]), (1, 2), "row 1 holds NaN"),
        (np.float32([[np.inf], [0]]), (1, 2), "row 0 holds NaN"),
        (np.float32([[3e38], [-3e38]]), (1, 2), "too large"),
    ],
)
@pytest.mark.parametrize("connectivity", ["grid", "full"])
def test_wrong_input(features, grid, message, connectivity):
    with pytest.raises(InputError, match=message):
        build_merge_tree(features, grid, connectivity)


def test_wrong_connectivity():
    with pytest.raises(InputError, match='"grid" or "full"'):
        build_merge_tree(np.zeros((6, 2), np.float32), (2, 3), "eight")
