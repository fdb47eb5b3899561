"""The merge tree as a segmenter: planted squares whose masks are known, and a search over all nodes."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.segmenters.base import Box
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.structures import Click, Sample


def two_squares():
    """A red and a green square on grey; 64×64 pixels."""
    image = np.full((64, 64, 3), 120, np.uint8)
    image[8:24, 8:24] = (220, 30, 30)
    image[36:56, 36:56] = (30, 200, 30)
    return image


def test_one_click_marks_the_square():
    predictor = ClickPredictor(MergeTreeSegmenter())
    predictor.set_image(two_squares())
    mask = predictor.click(15, 15)
    assert mask.dtype == np.float32
    expected = np.zeros((64, 64), np.float32)
    expected[8:24, 8:24] = 1
    np.testing.assert_array_equal(mask, expected)
    mask = predictor.click(45, 45)  # the union
    expected[36:56, 36:56] = 1
    np.testing.assert_array_equal(mask, expected)
    predictor.set_image(two_squares())
    assert not predictor.click(15, 15, positive=False).any()


def node_by_search(predictor, patch, against):
    """The rule of the docstring over all nodes, by their masks."""
    tree = predictor.state.tree
    cost = np.concatenate([np.zeros(tree.n_leaves), tree.cost])
    holding = [n for n in range(tree.n_nodes) if patch in tree.leaves(n)]
    holding.sort(key=tree.size)
    clear = [n for n in holding if not set(against) & set(tree.leaves(n).tolist())] or [patch]
    share = {n: tree.size(n) / tree.n_leaves for n in clear}
    fit = [n for n in clear if predictor.segmenter.min_share <= share[n] <= predictor.segmenter.max_share]
    if not fit:
        small = [n for n in clear if share[n] <= predictor.segmenter.max_share]
        return small[-1] if small else clear[0]
    ratio = {n: cost[tree.parent[n]] / max(cost[n], 1e-12) for n in fit}
    return max(fit, key=lambda n: (ratio[n], tree.size(n)))


@pytest.mark.parametrize("shares", [(0.02, 0.3), (0.3, 0.6), (0.9, 1.0), (0.0, 0.001)])
def test_any_clicks_agree_with_a_search_over_all_nodes(shares):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 28, 3), dtype=np.uint8)
    predictor = ClickPredictor(MergeTreeSegmenter(min_share=shares[0], max_share=shares[1]))
    for _ in range(20):
        predictor.set_image(image)
        clicks = [(int(rng.integers(20)), int(rng.integers(28)), bool(rng.random() < 0.5)) for _ in range(4)]
        for click in clicks:
            mask = predictor.click(*click)
        h, w = predictor.state.tree.grid
        patches = [((row * h // 20) * w + column * w // 28, positive) for row, column, positive in clicks]
        against = [patch for patch, positive in patches if not positive]
        expected = np.zeros(h * w, bool)
        for patch, positive in patches:
            if positive:
                expected[predictor.state.tree.leaves(node_by_search(predictor, patch, against))] = True
        rows, columns = np.arange(20) * h // 20, np.arange(28) * w // 28
        np.testing.assert_array_equal(mask, expected.reshape(h, w)[rows][:, columns])


def test_a_simulated_user_gets_there():
    mask = np.zeros((64, 64), bool)
    mask[8:24, 8:24] = mask[36:56, 36:56] = True
    sample = Sample(two_squares(), mask, None, "squares")
    session = simulate_session(MergeTreeSegmenter(), sample, EvaluationSettings())
    assert len(session.ious) == 2
    assert session.ious[-1] == 1


def test_nodes_at_go_from_the_patch_to_the_image():
    segmenter = MergeTreeSegmenter()
    state = segmenter.begin(two_squares())
    nodes = segmenter.nodes_at(state, Click(10, 10, True))
    sizes = state.tree.sizes[nodes]
    assert (sizes[0], nodes[-1]) == (1, state.tree.root)
    with pytest.raises(InputError, match="on the image"):
        segmenter.nodes_at(state, Click(64, 0, True))
    assert (np.diff(sizes) > 0).all()


def test_undo_redo_and_reset():
    predictor = ClickPredictor(MergeTreeSegmenter())
    predictor.set_image(two_squares())
    first = predictor.click(15, 15)
    second = predictor.click(45, 45)
    predictor.undo()
    np.testing.assert_array_equal(predictor.probability, first)
    assert len(predictor.clicks) == 1
    predictor.redo()
    np.testing.assert_array_equal(predictor.probability, second)
    np.testing.assert_array_equal(predictor.mask, second > 0.5)
    predictor.reset()
    assert not predictor.mask.any()
    with pytest.raises(InputError, match="undo"):
        predictor.undo()


def test_a_box_takes_the_parts_inside_it():
    answers = MergeTreeSegmenter()
    state = answers.begin(two_squares())
    for box, square in (((6, 5, 27, 26), (8, 24)), ((30, 33, 60, 59), (36, 56))):
        expected = np.zeros((64, 64), bool)
        expected[square[0] : square[1], square[0] : square[1]] = True
        found = answers.mask(answers.box(state, Box(*box)))
        assert (found & expected).sum() / (found | expected).sum() > 0.85
    one = answers.mask(answers.box(state, Box(10, 10, 10, 10)))  # a pixel: some node, as far as it is inside
    assert one.sum() == 1
    assert one[10, 10]


def test_bad_input():
    with pytest.raises(InputError, match="min_share"):
        MergeTreeSegmenter(min_share=0.5, max_share=0.5)
    predictor = ClickPredictor(MergeTreeSegmenter())
    with pytest.raises(InputError, match="set_image"):
        predictor.click(0, 0)
    predictor.set_image(two_squares())
    with pytest.raises(InputError):
        predictor.click(64, 0)
