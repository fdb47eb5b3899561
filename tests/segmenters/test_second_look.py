"""At a click on a gross error, all windows are asked again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.look_cues import Looks
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.second_look import choose_again, explained, is_gross
from mis_lightning.segmenters.zoom_in import full_roi
from mis_lightning.structures import Click, Prompt

SHAPE = (120, 150)
LOOK = FirstLook({"contrast": Weight(0, 1, 1)}, again=0.3)
WIDE = FirstLook({}, wide=1.0, again=0.3, explains=40.0)
"""Prefers the whole image, unless another answer explains a click better."""


def disk(row: float, col: float, radius: float, shape: tuple[int, int] = SHAPE) -> NDArray[np.bool_]:
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return np.asarray((rows - row) ** 2 + (cols - col) ** 2 <= radius**2)


def whole(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], list[object]]:
    return mask[None].astype(np.float32), [full_roi(mask.shape)]


@pytest.mark.parametrize("seed", range(20))
def test_explained_is_the_depth_of_the_click_in_its_error(seed: int) -> None:
    random = np.random.default_rng(seed)
    before, after = (
        disk(random.uniform(30, 90), random.uniform(40, 110), random.uniform(8, 40)) for _ in range(2)
    )
    row, col = int(random.integers(SHAPE[0])), int(random.integers(SHAPE[1]))
    for positive in (True, False):
        missed, wrong = (
            distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
            for error in (after & ~before, before & ~after)
        )
        expected = (missed if positive else wrong)[row, col] / max(missed.max(), wrong.max())
        got = explained(before, *whole(after), Click(row, col, positive))  # type: ignore[arg-type]
        np.testing.assert_allclose(got, [expected], atol=1e-5)


def test_the_click_of_the_simulated_user_is_explained_by_its_object_alone() -> None:
    before, truth, other = disk(60, 70, 40), disk(60, 60, 15), disk(60, 95, 15)
    click = next_click(truth, before)
    answers = np.stack([truth, other]).astype(np.float32)
    right, wrong = explained(before, answers, [full_roi(SHAPE)] * 2, click)
    assert right > 0.98
    assert wrong < right - 0.2
    assert explained(before, before[None].astype(np.float32), [full_roi(SHAPE)], click) == 0


def test_an_answer_in_a_window_is_the_same_object() -> None:
    before, truth = disk(60, 70, 40), disk(60, 60, 15)
    click = next_click(truth, before)
    roi = full_roi(SHAPE)._replace(row_min=40, row_max=80, col_min=40, col_max=90)
    part = truth[40:81, 40:91].astype(np.float32)
    np.testing.assert_allclose(
        explained(before, part[None], [roi], click),
        explained(before, *whole(truth), click),  # type: ignore[arg-type]
    )


def test_a_large_image_is_compared_on_a_coarse_grid() -> None:
    before, truth = disk(700, 700, 500, (1500, 1500)), disk(700, 600, 300, (1500, 1500))
    click = next_click(truth, before)
    assert explained(before, *whole(truth), click)[0] > 0.95  # type: ignore[arg-type]


def test_a_gross_error_is_deep_for_the_mask() -> None:
    mask = disk(60, 70, 20)
    assert is_gross(mask, Click(60, 70, False), 0.3)
    assert not is_gross(mask, Click(60, 86, False), 0.3)
    assert is_gross(mask, Click(60, 130, True), 0.3)
    assert not is_gross(mask, Click(60, 94, True), 0.3)
    assert not is_gross(mask, Click(60, 70, True), 0.3), "it has the label already"
    assert not is_gross(np.zeros(SHAPE, bool), Click(60, 70, True), 0.3)


def test_an_answer_that_does_not_obey_is_left_out() -> None:
    before = disk(60, 70, 40)
    clicks = [Click(60, 50, True), Click(60, 90, False)]
    answers = np.stack([disk(60, 70, 30), disk(60, 50, 15), before]).astype(np.float32)
    views = np.zeros((3, 3, *SHAPE), np.float32)
    looks = Looks([full_roi(SHAPE)] * 3, views, answers, SHAPE)
    assert choose_again(LOOK, looks, before, clicks) == 1
    looks = Looks([full_roi(SHAPE)] * 2, views[:2], answers[[0, 2]], SHAPE)
    assert choose_again(LOOK, looks, before, clicks) == 1, "the last"


class BySize(nn.Module):
    """Answers what is red where it sees it large; elsewhere everything, or the top after a negative click."""

    input_size = (48, 48)

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        red = (image[:, :1] - image[:, 1:2]) > 0.2
        top = torch.zeros_like(red)
        top[:, :, :8] = True
        negative = (prompt.points[:, prompt.points.shape[1] // 2 :, 2] >= 0).any(1)[:, None, None, None]
        large = (red.flatten(1).float().mean(1) > 0.15)[:, None, None, None]
        return torch.where(torch.where(large, red, top | ~negative), 4.0, -4.0)


def segmenter(look: FirstLook | None) -> ClickModelSegmenter:
    return ClickModelSegmenter(
        BySize(), PredictionSettings(first_look=look, refinement=Refinement(reach=2.0), flip=False)
    )


def red_disk() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    truth = disk(60, 60, 12)
    image = np.full((*SHAPE, 3), 90, np.uint8)
    image[truth] = (220, 40, 40)
    return image, truth


@pytest.mark.parametrize("again", [0.3, 0.0])
def test_a_deep_click_finds_the_scale_where_that_is_on(again: float) -> None:
    image, truth = red_disk()
    one = segmenter(replace(WIDE, again=again))
    clicks = [next_click(truth, np.zeros(SHAPE, bool))]
    (state,) = one.click([one.begin(image)], [clicks])
    assert one.mask(state).mean() > 0.9, "the first look prefers the whole image"
    clicks.append(next_click(truth, one.mask(state)))
    assert not clicks[1].positive
    (state,) = one.click([state], [clicks[1:]])
    found = one.mask(state)
    overlap = (found & truth).sum() / (found | truth).sum()
    assert bool(overlap > 0.9) == (again > 0)
    assert all(found[int(c.row), int(c.col)] == c.positive for c in clicks)


def test_a_mask_that_was_brought_is_not_given_up() -> None:
    image, truth = red_disk()
    one = segmenter(WIDE)
    brought = one.place(one.begin(image), np.ones(SHAPE, bool), [Click(60, 60, True)])
    (state,) = one.click([brought], [[next_click(truth, np.ones(SHAPE, bool))]])
    assert one.mask(state)[0, 0], "the disk alone is not taken"


def test_several_sessions_at_once_answer_as_one_by_one() -> None:
    image, truth = red_disk()
    one = segmenter(WIDE)
    first = next_click(truth, np.zeros(SHAPE, bool))
    states = one.click([one.begin(image)] * 2, [[first]] * 2)
    second = next_click(truth, one.mask(states[0]))
    together = one.click(states, [[second], [Click(0, 0, False)]])
    for state, click, expected in zip(states, (second, Click(0, 0, False)), together, strict=True):
        (alone,) = one.click([state], [[click]])
        assert (one.mask(alone) == one.mask(expected)).all()


def test_the_settings_are_kept() -> None:
    assert FirstLook.from_json(LOOK.to_json()) == LOOK
    assert FirstLook.from_json({"cues": {}}).again == 0
    with pytest.raises(ValueError, match="`again` of a first look"):
        FirstLook({}, again=-1)
