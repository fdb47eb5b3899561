from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.refinement import drop_specks, refine
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.merge_tree.ward import build_merge_tree


def random_tree(n: int, generator: np.random.Generator) -> MergeTree:
    """Any binary tree over a row of leaves: at each step two of the parts there are."""
    parts = list(range(n))
    children = []
    for union in range(n, 2 * n - 1):
        first, second = generator.choice(len(parts), 2, replace=False)
        pair = sorted((parts[first], parts[second]))
        children.append(pair)
        parts = [part for part in parts if part not in pair] + [union]
    return MergeTree(np.array(children, np.int32).reshape(-1, 2), np.ones(n - 1, np.float32), (1, n))


def prunings(tree: MergeTree, node: int) -> list[list[int]]:
    """All sets of nodes whose leaves partition those of a node."""
    if node < tree.n_leaves:
        return [[node]]
    first, second = tree.children[node - tree.n_leaves]
    split = [a + b for a, b in product(prunings(tree, first), prunings(tree, second))]
    return [[node], *split]


def labellings(tree: MergeTree, u: NDArray, price: float, fixed: NDArray) -> list[tuple[float, bytes]]:
    """Cost and labels of every pruning with every labelling of its pieces."""
    found = []
    for pieces in prunings(tree, tree.root):
        for chosen in product((False, True), repeat=len(pieces)):
            labels, cost = np.zeros(tree.n_leaves, bool), price * len(pieces)
            for piece, label in zip(pieces, chosen, strict=True):
                leaves = tree.leaves(piece)
                labels[leaves] = label
                against = -u[leaves] if label else u[leaves]
                cost += np.maximum(against, 0).sum()
            if not ((labels & (fixed < 0)) | (~labels & (fixed > 0))).any():
                found.append((cost, labels.tobytes()))
    return sorted(found)


@pytest.mark.parametrize("seed", range(40))
def test_no_pruning_is_cheaper(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 9))
    tree = random_tree(n, generator)
    u = generator.normal(0, 2, n).astype(np.float32)
    fixed = generator.choice(np.int8([-1, 0, 0, 0, 1]), n)
    price = float(generator.choice([0.0, 0.3, 1.0, 4.0, 20.0]))
    labels = refine(tree, u[None], price, fixed[None])
    cost_of: dict[bytes, float] = {}
    for cost, one in labellings(tree, u.astype(np.float64), price, fixed):
        cost_of.setdefault(one, cost)
    assert cost_of[labels.tobytes()] == pytest.approx(min(cost_of.values()), abs=1e-9)


def cheapest(tree: MergeTree, u: NDArray, price: float, fixed: NDArray) -> tuple[float, NDArray]:
    """The least cost over all prunings, each piece with the cheaper label, and the labels of it."""
    best, best_labels = np.inf, np.zeros(tree.n_leaves, bool)
    for pieces in prunings(tree, tree.root):
        total, labels = 0.0, np.zeros(tree.n_leaves, bool)
        for piece in pieces:
            leaves = tree.leaves(piece)
            as_object = np.where(fixed[leaves] < 0, np.inf, np.maximum(-u[leaves], 0)).sum()
            as_background = np.where(fixed[leaves] > 0, np.inf, np.maximum(u[leaves], 0)).sum()
            total += min(as_object, as_background) + price
            labels[leaves] = as_object < as_background
        if total < best:
            best, best_labels = total, labels
    return best, best_labels


@pytest.mark.parametrize("seed", range(60))
def test_the_labels_are_those_of_the_cheapest_of_all_prunings(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = int(generator.integers(9, 13))
    tree = random_tree(n, generator)
    u = generator.normal(0, 2, n).astype(np.float32)  # no two labellings cost the same
    fixed = generator.choice(np.int8([-1, 0, 0, 0, 0, 0, 1]), n)
    price = float(generator.uniform(0, 3))
    _, expected = cheapest(tree, u.astype(np.float64), price, fixed)
    np.testing.assert_array_equal(refine(tree, u[None], price, fixed[None])[0], expected)


def test_without_a_price_every_leaf_goes_by_its_own_sign() -> None:
    generator = np.random.default_rng(0)
    tree = build_merge_tree(generator.random((63, 5), np.float32), (7, 9))
    u = generator.normal(size=(7, 9)).astype(np.float32)
    np.testing.assert_array_equal(refine(tree, u, 0.0), u > 0)


def test_a_high_price_leaves_one_piece_but_for_the_fixed_leaves() -> None:
    generator = np.random.default_rng(0)
    tree = build_merge_tree(generator.random((63, 5), np.float32), (7, 9))
    u = (generator.normal(size=(7, 9)) + 0.5).astype(np.float32)
    assert refine(tree, u, 1e6).all()
    assert not refine(tree, -u, 1e6).any()
    fixed = np.zeros((7, 9), np.int8)
    fixed[3, 4] = -1
    np.testing.assert_array_equal(refine(tree, u, 1e6, fixed)[3, 4], False)


def test_a_weak_answer_takes_the_shape_of_the_tree() -> None:
    """A blurred answer over a sharp square becomes the square."""
    rows, cols = np.mgrid[0:32, 0:32]
    square = (rows >= 8) & (rows < 23) & (cols >= 10) & (cols < 25)
    features = np.where(square, 1, 0).astype(np.float32).reshape(-1, 1)
    blurred = ndimage.gaussian_filter(square.astype(np.float32), 3) - np.float32(0.6)
    assert ((blurred > 0) != square).sum() > 50
    np.testing.assert_array_equal(refine(build_merge_tree(features, (32, 32)), blurred, 5.0), square)


def test_equal_costs_leave_fewer_pieces_and_background() -> None:
    tree = MergeTree(np.int32([[0, 1]]), np.float32([1]), (1, 2))
    # cut: 2 prices; whole: 1 price + 1 log-odds. At a price of 1 both cost 2.
    assert refine(tree, np.float32([[2, -1]]), 1.0).tolist() == [[True, True]]
    assert refine(tree, np.float32([[2, -1]]), 0.99).tolist() == [[True, False]]
    assert refine(tree, np.float32([[1, -1]]), 5.0).tolist() == [[False, False]]


def test_arrays_that_may_not_be_written_to_are_read() -> None:
    tree = MergeTree(np.int32([[0, 1]]), np.float32([1]), (1, 2))
    tree.children.flags.writeable = False
    u = np.float32([[2, -3]])
    u.flags.writeable = False
    assert refine(tree, u, 0.1).tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("price", "evidence", "fixed", "message"),
    [
        (-1.0, np.zeros((1, 2)), None, "`price`"),
        (np.nan, np.zeros((1, 2)), None, "`price`"),
        (1.0, np.zeros((2, 1)), None, "`evidence` of the tree's grid"),
        (1.0, np.zeros((1, 2)), np.zeros((1, 3), np.int8), "`fixed` of the tree's grid"),
        (1.0, np.zeros((1, 2)), np.int8([[0, 2]]), "labels -1, 0 or 1"),
        (1.0, np.float32([[0, np.nan]]), None, "finite"),
    ],
)
def test_says_what_does_not_fit(price: float, evidence: NDArray, fixed: NDArray, message: str) -> None:
    tree = MergeTree(np.int32([[0, 1]]), np.float32([1]), (1, 2))
    with pytest.raises(InputError, match=message):
        refine(tree, evidence, price, fixed)


@pytest.mark.parametrize("seed", range(10))
def test_pieces_are_dropped_and_holes_filled_as_ndimage_labels_them(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(generator.normal(size=(40, 50)), 1.5) > 0
    seen, unseen = generator.random((2, 40, 50)) > 0.98
    expected = mask.copy()
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    for label in range(1, count + 1):
        if not seen[labels == label].any():
            expected[labels == label] = False
    labels, count = ndimage.label(~expected)
    for label in range(1, count + 1):
        piece = labels == label
        border = piece[0].any() or piece[-1].any() or piece[:, 0].any() or piece[:, -1].any()
        if not (border or unseen[piece].any()):
            expected[piece] = True
    before = mask.copy()
    np.testing.assert_array_equal(drop_specks(mask, seen, unseen), expected)
    np.testing.assert_array_equal(mask, before)


def test_a_clicked_pixel_keeps_its_label() -> None:
    generator = np.random.default_rng(3)
    for _ in range(20):
        mask = generator.random((12, 12)) > 0.5
        clicked = generator.random((12, 12)) > 0.9
        kept = drop_specks(mask, mask & clicked, ~mask & clicked)
        np.testing.assert_array_equal(kept[clicked], mask[clicked])


def test_an_empty_and_a_full_mask_stay() -> None:
    nothing = np.zeros((4, 5), bool)
    assert not drop_specks(nothing, nothing, nothing).any()
    assert drop_specks(~nothing, ~nothing, nothing).all()
    assert not drop_specks(~nothing, nothing, nothing).any()


def test_drop_specks_wants_one_shape() -> None:
    with pytest.raises(InputError, match="one shape"):
        drop_specks(np.ones((2, 2), bool), np.ones((2, 2), bool), np.ones((2, 3), bool))
