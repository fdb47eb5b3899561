"""The predictor as a user meets it: any image in, clicks, undo and redo, and errors that say what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mis_lightning.errors import InputError
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.click_state import ClickState
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.structures import Click

SIZE = (48, 64)


def asking(model, **settings) -> ClickPredictor:
    return ClickPredictor(ClickModelSegmenter(model, PredictionSettings(**settings)))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (260, 300, 3), dtype=np.uint8)


@pytest.fixture
def net(disk_net):
    return disk_net(SIZE)


@pytest.fixture
def predictor(image, net) -> ClickPredictor:
    predictor = asking(net)
    predictor.set_image(image)
    return predictor


def test_input_size_is_the_models(predictor, net) -> None:
    assert predictor.segmenter.prediction.size == SIZE
    assert asking(net, size=(32, 32)).segmenter.prediction.size == (32, 32)
    everything = asking(lambda image, prompt: prompt.previous_mask)
    assert everything.segmenter.prediction.size == (448, 448)


def test_before_the_first_click(predictor) -> None:
    assert predictor.clicks == ()
    assert predictor.probability.shape == (260, 300)
    assert not predictor.probability.any()
    assert not predictor.mask.any()


def test_clicks_give_probabilities(predictor, image) -> None:
    result = predictor.click(100, 120)
    assert result.shape == (260, 300)
    assert result.dtype == np.float32
    assert 0 <= result.min() < result.max() <= 1
    np.testing.assert_array_equal(result, predictor.probability)
    np.testing.assert_array_equal(predictor.mask, result > 0.5)
    predictor.click(10, 20, positive=False)
    assert predictor.clicks == (Click(100, 120, True), Click(10, 20, False))

    # The same two steps without a history.
    segmenter = ClickModelSegmenter(predictor.segmenter.model, PredictionSettings(SIZE))
    state = segmenter.begin(image)
    for click in predictor.clicks:
        state = ClickState(state.image, state.clicks, state.probability, state.roi)
        (state,) = segmenter.click([state], [[click]])
    np.testing.assert_array_equal(predictor.probability, state.probability.numpy())


def test_threshold(image, net) -> None:
    predictor = asking(net, threshold=0.3)
    predictor.set_image(image)
    result = predictor.click(100, 120)
    np.testing.assert_array_equal(predictor.mask, result > np.float32(0.3))


def test_undo_and_redo_are_exact_and_cost_no_forward_pass(predictor) -> None:
    rng = np.random.default_rng(1)
    seen = [predictor.probability]
    for k in range(5):
        seen.append(predictor.click(int(rng.integers(260)), int(rng.integers(300)), k != 2))
    clicks, calls = predictor.clicks, predictor.segmenter.model.calls
    for k in (4, 3, 2, 1, 0):
        predictor.undo()
        np.testing.assert_array_equal(predictor.probability, seen[k])
        assert predictor.clicks == clicks[:k]
    for k in (1, 2, 3, 4, 5):
        predictor.redo()
        np.testing.assert_array_equal(predictor.probability, seen[k])
        assert predictor.clicks == clicks[:k]
    assert predictor.segmenter.model.calls == calls


def test_a_click_after_undo_continues_from_there(predictor, image) -> None:
    predictor.click(100, 120)
    predictor.click(200, 30)
    predictor.undo()
    second = predictor.click(50, 60, positive=False)
    with pytest.raises(InputError, match="redo"):
        predictor.redo()
    fresh = asking(predictor.segmenter.model)
    fresh.set_image(image)
    fresh.click(100, 120)
    np.testing.assert_array_equal(fresh.click(50, 60, positive=False), second)


def test_reset_and_new_image_forget(predictor, image) -> None:
    first = predictor.click(100, 120)
    predictor.click(50, 60, positive=False)
    predictor.reset()
    assert predictor.clicks == ()
    with pytest.raises(InputError, match="undo"):
        predictor.undo()
    with pytest.raises(InputError, match="redo"):
        predictor.redo()
    np.testing.assert_array_equal(predictor.click(100, 120), first)
    predictor.set_image(image[:100, :90])
    assert predictor.clicks == ()
    assert predictor.click(5, 5).shape == (100, 90)


def test_results_are_the_users_to_change(predictor) -> None:
    result = predictor.click(100, 120)
    kept = result.copy()
    result[:] = 0
    predictor.probability[:] = 0
    np.testing.assert_array_equal(predictor.probability, kept)


def test_predict_is_one_step_with_all_clicks(predictor) -> None:
    mask, probability = predictor.predict([[120, 100]], [1])  # (x, y)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, probability > 0.5)
    assert predictor.clicks == ()
    np.testing.assert_array_equal(probability, predictor.click(100, 120))


def test_predict_with_the_previous_mask_continues(predictor) -> None:
    first = predictor.click(100, 120)
    _, probability = predictor.predict(np.array([[120, 100], [20, 10]]), np.array([1, 0]), mask_input=first)
    state = ClickState(predictor.state.image, predictor.clicks, torch.from_numpy(first))
    (expected,) = predictor.segmenter.click([state], [[Click(10, 20, False)]])
    np.testing.assert_array_equal(probability, expected.probability.numpy())
    predictor.predict([[120, 100]], [True], mask_input=first > 0.5)


def test_a_box_is_the_previous_mask_and_its_middle_a_click(predictor) -> None:
    mask, probability = predictor.predict(box=np.array([[30.7, 20, 109.2, 300 - 41]]))  # (x0, y0, x1, y1)
    inside = np.zeros((260, 300), np.float32)
    inside[20:260, 30:110] = 1
    expected = predictor.predict([[(30.7 + 109.2) / 2, (20 + 259) / 2]], [1], mask_input=inside)
    np.testing.assert_array_equal(probability, expected[1])
    np.testing.assert_array_equal(mask, expected[0])
    assert predictor.clicks == ()

    # a positive point takes the place of the middle, a negative one does not
    expected = predictor.predict([[40, 50]], [1], mask_input=inside)
    given = predictor.predict([[40, 50]], [1], box=[30, 20, 109, 259])
    np.testing.assert_array_equal(given[1], expected[1])
    expected = predictor.predict([[69.5, 139.5], [40, 50]], [1, 0], mask_input=inside)
    given = predictor.predict([[40, 50]], [0], box=[30, 20, 109, 259])
    np.testing.assert_array_equal(given[1], expected[1])

    # with a previous mask, what is outside the box is left out
    previous = np.random.default_rng(3).random((260, 300), dtype=np.float32)
    expected = predictor.predict([[40, 50]], [1], mask_input=previous * inside)
    given = predictor.predict([[40, 50]], [1], box=[30, 20, 109, 259], mask_input=previous)
    np.testing.assert_array_equal(given[1], expected[1])


def test_a_box_may_end_at_the_edge_of_the_image_as_other_programs_write_it(predictor) -> None:
    given = predictor.predict(box=[0, 0, 300, 260])
    expected = predictor.predict([[149.5, 129.5]], [1], mask_input=np.ones((260, 300)))
    np.testing.assert_array_equal(given[1], expected[1])


@pytest.mark.parametrize(
    ("box", "named"),
    [
        ([0, 0, 10], "x0, y0, x1, y1"),
        ([20, 0, 10, 10], "left <= right"),
        ([0, 0, 301, 10], "right <= 300"),
        ([0, 0, float("nan"), 10], "nan"),
        ([-1, 0, 10, 10], "left -1"),
        (["a", 0, 10, 10], "numbers in `box`"),
    ],
)
def test_boxes_off_the_image_are_refused(predictor, box, named) -> None:
    with pytest.raises(InputError, match=named):
        predictor.predict(box=box)
    with pytest.raises(InputError, match="without a box"):
        predictor.predict()


def test_a_packed_state_comes_back_to_the_bit(predictor) -> None:
    predictor.click(100, 120)
    predictor.click(10, 20, positive=False)
    state = predictor.state
    small = predictor.segmenter.pack(state)
    assert small.probability is None
    assert small.view is None
    assert torch.equal(predictor.segmenter.unpack(small).probability, state.probability)
    given = ClickState(state.image, (), state.probability)  # not answered: nothing to make it from again
    assert predictor.segmenter.pack(given).probability is given.probability


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([120, 100], [1]), r"\(N, 2\)"),
        (([[120, 100]], [1, 0]), r"\(N,\)"),
        ((np.zeros((0, 2)), []), "N >= 1"),
        (([[120, 100]], [2]), "point_labels"),
        (([["a", "b"]], [1]), "numbers in `point_coords`"),
        (([[120, 100]], [1], None, "a"), "numbers in `mask_input`"),
        (([[100, 280]], [1]), "on the image"),  # y beyond the 260 rows
        (([[120, 100]], [1], None, np.zeros((300, 260))), "mask_input"),
        (([[120, 100]], [1], None, np.full((260, 300), 255)), "mask_input"),
        (([[120, 100]], [1], None, np.full((260, 300), np.nan)), "mask_input"),
    ],
)
def test_predict_refuses(predictor, arguments, named) -> None:
    with pytest.raises(InputError, match=named):
        predictor.predict(*arguments)


@pytest.mark.parametrize(
    ("row", "col"),
    [
        (float("nan"), 1),
        (1, float("nan")),
        (float("inf"), 1),
        (-0.1, 1),
        (260, 1),
        (1, 300),
        (1, -1),
        ("a", 1),
        (None, 1),
    ],
)
def test_clicks_off_the_image_change_nothing(predictor, row, col) -> None:
    predictor.click(100, 120)
    before = predictor.probability
    with pytest.raises(InputError, match=r"row in \[0, 260\) and col in \[0, 300\)"):
        predictor.click(row, col)
    assert len(predictor.clicks) == 1
    np.testing.assert_array_equal(predictor.probability, before)


def test_the_last_fractional_pixel_is_on_the_image(predictor) -> None:
    predictor.click(259.9, 299.9)
    predictor.click(0, 0, positive=False)


def test_a_failing_model_leaves_the_history_untouched(predictor) -> None:
    predictor.click(100, 120)
    before = predictor.probability
    working, predictor.segmenter.model = predictor.segmenter.model, lambda image, prompt: 1 / 0
    with pytest.raises(ZeroDivisionError):
        predictor.click(5, 5)
    predictor.segmenter.model = working
    assert len(predictor.clicks) == 1
    np.testing.assert_array_equal(predictor.probability, before)


@pytest.mark.parametrize(
    "use",
    [
        lambda predictor: predictor.click(1, 1),
        lambda predictor: predictor.predict([[1, 1]], [1]),
        lambda predictor: predictor.undo(),
        lambda predictor: predictor.redo(),
        lambda predictor: predictor.reset(),
        lambda predictor: predictor.probability,
        lambda predictor: predictor.mask,
        lambda predictor: predictor.clicks,
    ],
)
def test_without_an_image_the_remedy_is_named(use, net) -> None:
    with pytest.raises(InputError, match="set_image"):
        use(asking(net))


def test_image_kinds(predictor, image, tmp_path) -> None:
    expected = predictor.click(100, 120)
    path = tmp_path / "image.png"
    Image.fromarray(image).save(path)
    for kind in (path, str(path), Image.fromarray(image), np.asfortranarray(image)):
        predictor.set_image(kind)
        np.testing.assert_array_equal(predictor.click(100, 120), expected)

    grey = image[..., 0]
    predictor.set_image(np.repeat(grey[..., None], 3, axis=2))
    expected = predictor.click(100, 120)
    rgba = np.dstack([grey, grey, grey, np.full_like(grey, 9)])
    for kind in (
        grey,
        Image.fromarray(grey),
        rgba,
        Image.fromarray(rgba),
        Image.fromarray(grey).convert("P"),
    ):
        predictor.set_image(kind)
        np.testing.assert_array_equal(predictor.click(100, 120), expected)

    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    predictor.set_image(deep)
    predictor.click(100, 120)


def test_a_bad_image_keeps_the_old_one(predictor, tmp_path) -> None:
    predictor.click(100, 120)
    for bad in (tmp_path / "none.png", np.zeros((3, 3, 3, 3))):
        with pytest.raises(InputError):
            predictor.set_image(bad)
    assert len(predictor.clicks) == 1


def test_the_model_returns_to_training_mode(predictor) -> None:
    predictor.segmenter.model.train()
    predictor.click(100, 120)
    assert predictor.segmenter.model.training


def test_device_moves_the_module(net) -> None:
    predictor = ClickPredictor(ClickModelSegmenter(net, device="cpu"))
    assert predictor.segmenter.device == torch.device("cpu")
    assert predictor.segmenter.model.convolution.weight.device == torch.device("cpu")
