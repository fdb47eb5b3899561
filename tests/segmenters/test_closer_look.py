"""Where a click corrects a small part of a mask, the model is asked once more in a window around it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.features.pixel_cues import N_CUES
from mis_lightning.segmenters.appearance_prior import AppearancePrior
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.click_state import ClickState
from mis_lightning.segmenters.closer_look import CloserLook
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.zoom_in import ROI, ZoomIn
from mis_lightning.structures import Click, Prompt

SHAPE = (300, 320)


def object_with_a_gap() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A red disk with a gap of 8 pixels, a third of what the model tells apart in the whole image."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    truth = np.asarray((rows - 150) ** 2 + (cols - 160) ** 2 <= 100**2)
    truth[142:150, 180:] = False
    image = np.full((*SHAPE, 3), 90, np.uint8)
    image[truth] = (220, 40, 40)
    return image, truth


class Coarse:
    """Answers what is red in blocks of its input, and keeps what it was asked."""

    input_size = (48, 48)
    takes_granularity = True

    def __init__(self) -> None:
        self.asked: list[tuple[int, Tensor | None]] = []

    def __call__(self, image: Tensor, prompt: Prompt) -> Tensor:
        self.asked.append((len(image), prompt.granularity))
        red = ((image[:, :1] - image[:, 1:2]) > 0.2).float()
        blocks = torch.nn.functional.avg_pool2d(red, 4)
        return torch.where(torch.nn.functional.interpolate(blocks, size=48) > 0.5, 3.0, -3.0)


def segmenter(look: CloserLook | None, **changes: Any) -> ClickModelSegmenter:
    settings = PredictionSettings(
        zoom_in=ZoomIn(min_size=32), refinement=Refinement(price=0.1, reach=2.0), closer_look=look, flip=False
    )
    return ClickModelSegmenter(Coarse(), replace(settings, **changes))


def first(one: ClickModelSegmenter) -> ClickState:
    (state,) = one.click([one.begin(object_with_a_gap()[0])], [[Click(150, 110, True)]])
    one.model.asked.clear()  # type: ignore[attr-defined]
    return state


def asked(one: ClickModelSegmenter) -> list[int]:
    return [count for count, _ in one.model.asked]  # type: ignore[attr-defined]


GAP = Click(146, 228, False)


def test_a_closer_look_sees_what_the_crop_does_not() -> None:
    _, truth = object_with_a_gap()
    look = CloserLook(depths=2.5, least=0.1, share=1)
    plain, closer = segmenter(None), segmenter(look)
    (without,), (within,) = (one.click([first(one)], [[GAP]]) for one in (plain, closer))
    assert (asked(plain), asked(closer)) == ([1], [1, 1])
    window = look.window(plain.mask(first(plain)), GAP, within.roi)  # type: ignore[arg-type]
    assert window is not None
    wrong = {
        name: (one.mask(state) != truth)[window.window].sum()
        for name, one, state in (("without", plain, without), ("within", closer, within))
    }
    assert wrong["within"] < 0.6 * wrong["without"]
    outside = np.ones(SHAPE, bool)
    outside[window.window] = False
    np.testing.assert_array_equal(closer.mask(within)[outside], plain.mask(without)[outside])
    assert within.roi == without.roi, "the crop stays that of the object"
    torch.testing.assert_close(within.answer, without.answer)


def test_the_answers_in_the_window_are_mixed() -> None:
    """In log-odds, of which this model says 3 or -3: the answer with the larger share decides."""
    masks = {}
    for share in (0.01, 0.45, 0.55, 1.0):
        one = segmenter(CloserLook(depths=2.5, least=0.1, share=share), refinement=Refinement(0.0, reach=2.0))
        masks[share] = one.mask(one.click([first(one)], [[GAP]])[0])
    plain = segmenter(None, refinement=Refinement(0.0, reach=2.0))
    without = plain.mask(plain.click([first(plain)], [[GAP]])[0])
    for share in (0.01, 0.45):
        assert (masks[share] != without).sum() < 30  # the leaves around the click are others
    assert (masks[0.55] != without).sum() > 100
    assert (masks[0.55] != masks[1.0]).mean() < 0.001


def test_neither_answer_is_surer_than_the_other_can_be() -> None:
    """The crop keeps probabilities, which say no more than 1e-4; so does the closer answer."""
    state = ClickState(
        torch.zeros(3, 40, 40, dtype=torch.uint8),
        roi=ROI(0, 39, 0, 39),
        answer=torch.full((8, 8), -20.0).sigmoid(),
    )
    window, closer = ROI(10, 19, 10, 19), torch.full((8, 8), 30.0)
    torch.testing.assert_close(
        CloserLook().mixed(state, window, closer), torch.zeros(8, 8), atol=0.01, rtol=0
    )
    assert (CloserLook(share=0.4).mixed(state, window, closer) < -1).all()
    state = replace(state, answer=torch.linspace(0.1, 0.9, 40).expand(40, 40).contiguous())
    mixed = CloserLook(share=0.25).mixed(state, ROI(0, 39, 10, 29), torch.full((40, 20), 2.0))
    expected = 0.75 * torch.logit(torch.linspace(0.1, 0.9, 40))[10:30] + 0.25 * 2
    torch.testing.assert_close(mixed, expected.expand(40, 20))


def test_looks_have_a_say_where_they_have_one_in_the_crop() -> None:
    """The window holds no positive click, which would say that another kind of object is wanted."""
    against = AppearancePrior(
        scale=1.0,
        middle=(0.0,) * N_CUES,
        spread=(1.0,) * N_CUES,
        factors=(0.0,) * N_CUES,
        bias=-4.0,
        weight=1.0,
    )
    masks = []
    for appearance in (None, against):
        one = segmenter(CloserLook(depths=2.5, least=0.1), appearance=appearance)
        (state,) = one.click([first(one)], [[GAP]])
        assert asked(one) == [1, 1]
        masks.append(one.mask(state))
    np.testing.assert_array_equal(*masks)


def test_a_packed_state_goes_on_as_it_would() -> None:
    one = segmenter(CloserLook(depths=2.5, least=0.1))
    whole = first(one)
    again = one.unpack(one.pack(whole))
    for click in (GAP, Click(60, 160, False), Click(145, 250, False)):
        (whole,), (again,) = (
            one.click([whole], [[click]]),
            one.click([one.unpack(one.pack(again))], [[click]]),
        )
        np.testing.assert_array_equal(one.mask(whole), one.mask(again))


def test_pixels_held_by_hand_keep_their_labels() -> None:
    one = segmenter(CloserLook(depths=2.5, least=0.1))
    inside = np.zeros(SHAPE, bool)
    inside[140:150, 232:240] = True
    (state,) = one.click([one.hold(first(one), inside, np.zeros(SHAPE, bool))], [[GAP]])
    assert asked(one) == [1, 1]
    assert one.mask(state)[inside].all()


def test_clicks_inside_and_outside_the_window_are_obeyed() -> None:
    one = segmenter(CloserLook())
    state, clicks = first(one), [GAP, Click(146, 230, True), Click(60, 60, True), Click(147, 227, False)]
    for click in clicks:
        (state,) = one.click([state], [[click]])
        mask = one.mask(state)
        given = {(int(c.row), int(c.col)): c.positive for c in state.clicks}
        assert {place: bool(mask[place]) for place in given} == given


def test_a_batch_is_asked_at_once_and_answers_as_one_by_one() -> None:
    one = segmenter(CloserLook())
    states = [first(one), first(one), first(one)]
    clicks = [[GAP], [Click(150, 160, False)], [Click(53, 160, False)]]  # the second is deep
    alone = [one.click([state], [new])[0] for state, new in zip(states, clicks, strict=True)]
    one.model.asked.clear()  # type: ignore[attr-defined]
    together = one.click(states, clicks)
    assert asked(one) == [3, 2]
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.mask(a), one.mask(b))


@pytest.mark.parametrize("how", ["deep", "two clicks", "no reach", "no sharpening", "a guess", "no mask"])
def test_there_is_none_where_a_click_changes_everything(how: str) -> None:
    changes: dict[str, Any] = {}
    if how == "no reach":
        changes = {"refinement": Refinement()}
    elif how == "no sharpening":
        changes = {"refinement": None}
    one = segmenter(CloserLook(), **changes)
    state, new = first(one), [GAP]
    if how == "deep":
        new = [Click(150, 160, False)]
    elif how == "two clicks":
        new = [GAP, Click(144, 232, False)]
    elif how == "a guess":
        state = one.carry(state, object_with_a_gap()[1])
        new = [Click(150, 105, False)]
    elif how == "no mask":
        state, new = one.begin(object_with_a_gap()[0]), [Click(150, 110, True)]
    one.click([state], [new])
    assert asked(one) == [1]


def test_the_size_that_is_told_is_that_of_whole_objects() -> None:
    one = segmenter(CloserLook())
    state = one.with_granularity(first(one), 0.5)
    one.model.asked.clear()  # type: ignore[attr-defined]
    (state,) = one.click([state], [[GAP]])
    told = [granularity is not None for _, granularity in one.model.asked]  # type: ignore[attr-defined]
    assert told == [True, False]
    assert state.granularity == 0.5


@pytest.mark.parametrize("seed", range(30))
def test_the_window_is_as_wide_as_the_click_is_deep(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = np.zeros((90, 120), bool)
    top, left = random.integers(0, 40, 2)
    mask[top : top + random.integers(5, 50), left : left + random.integers(5, 70)] = True
    row, col = int(random.integers(90)), int(random.integers(120))
    click = Click(row, col, not mask[row, col])
    look = CloserLook(float(random.uniform(2.1, 8)), float(random.uniform(0.05, 0.3)), min_side=10)
    roi = ROI(int(random.integers(30)), int(random.integers(60, 90)), int(random.integers(30)), 119)
    depth = distance_transform_edt(mask if mask[row, col] else ~mask)[row, col]
    longer = max(roi.height, roi.width)
    side = max(look.depths * depth, look.least * longer, 10)
    window = look.window(mask, click, roi)
    if side > 0.7 * longer or not roi.holds(click):
        assert window is None
        return
    assert window is not None
    assert window.holds(click)
    for low, high, at, edges in ((*window[:2], row, roi[:2]), (*window[2:], col, roi[2:])):
        assert low == edges[0] or math.isclose(at - low, side / 2, abs_tol=0.51)
        assert high == edges[1] or math.isclose(high - at, side / 2, abs_tol=0.51)
        assert edges[0] <= low <= high <= edges[1]


def test_there_is_no_window_around_a_click_that_changes_nothing() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    assert CloserLook().window(mask, Click(7, 7, True), ROI(0, 19, 0, 19)) is None
    assert CloserLook(min_side=4).window(mask, Click(6, 6, False), ROI(0, 19, 0, 19)) is not None


def test_there_is_no_window_in_an_empty_mask() -> None:
    assert CloserLook().window(np.zeros((20, 20), bool), Click(5, 5, True), ROI(0, 19, 0, 19)) is None


def test_settings_survive_a_file() -> None:
    look = CloserLook(5.0, 0.2, 0.6, 0.7, 30, 100)
    assert CloserLook.from_json(look.to_json()) == look
    assert CloserLook.from_json({}) == CloserLook()
    settings = PredictionSettings(closer_look=look)
    assert PredictionSettings.from_json(settings.to_json()) == settings
    assert "closer_look" not in PredictionSettings().to_json()


@pytest.mark.parametrize(
    "content",
    [
        *([1], "wide", {"side": 3}, {"depths": "6"}, {"depths": True}, {"min_side": 24.0}),
        *({"min_side": 1}, {"max_side": 1}, {"depths": 0}, {"depths": math.inf}, {"least": 0}),
        *({"least": 0.8}, {"most": math.nan}, {"most": 1.1}, {"share": 0}, {"share": 1.5}),
        *({"depths": 2}, {"depths": 10**400}, {"min_side": 10**400}, {"max_side": 2000}),
    ],
)
def test_what_are_no_settings_is_refused(content: Any) -> None:
    with pytest.raises(InputError, match="closer look"):
        CloserLook.from_json(content)
