"""What pixels look like is added to the network's log-odds, in the right place and within its limits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.features.pixel_cues import N_CUES, pixel_cues
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.segmenters import click_model
from mis_lightning.segmenters.appearance_prior import AGAINST, FOR, MAX_SIDE, AppearancePrior
from mis_lightning.segmenters.base import Box
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.zoom_in import ROI, crop
from mis_lightning.structures import Click, Prompt

ZEROS, ONES = (0.0,) * N_CUES, (1.0,) * N_CUES
BRIGHT = AppearancePrior(1.0, ZEROS, ONES, (0.5, *ZEROS[1:]), bias=-0.5, weight=0.5)  # L in 0..100
"""Light pixels belong, dark ones do not: half of 0.5 * min(L, 8) - 0.5, clipped."""


def scene() -> np.ndarray:
    image = np.zeros((90, 120, 3), np.uint8)
    image[30:60, 40:80] = 255
    return image


def planes(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


def test_log_odds_lie_where_the_pixels_are() -> None:
    roi = ROI(20, 69, 30, 89)
    odds = BRIGHT.log_odds(planes(scene()), roi, [], (50, 60)).numpy()
    belongs = scene()[roi.window][..., 0] > 0
    np.testing.assert_allclose(odds[belongs], 0.5 * FOR)
    np.testing.assert_allclose(odds[~belongs], 0.5 * -0.5)
    other = (21, 33)
    expected = crop(torch.from_numpy(np.where(scene()[None, ..., 0] > 0, 0.5, -0.25)).float(), roi, other)[0]
    np.testing.assert_allclose(BRIGHT.log_odds(planes(scene()), roi, [], other), expected, atol=1e-5)


def test_a_smaller_description_says_the_same_but_at_borders() -> None:
    roi, half = ROI(20, 69, 30, 89), replace(BRIGHT, scale=0.5)
    full, small = (one.log_odds(planes(scene()), roi, [], (50, 60)).numpy() for one in (BRIGHT, half))
    assert (np.abs(full - small) > 0.05).mean() < 0.1


def test_limits() -> None:
    loud = replace(BRIGHT, factors=(50.0, *ZEROS[1:]), bias=-100.0, weight=1.0)
    odds = loud.log_odds(planes(scene()), ROI(0, 89, 0, 119), [], (90, 120)).numpy()
    assert set(np.unique(odds)) == {np.float32(AGAINST), np.float32(FOR)}


def test_no_weight_and_too_wide_a_view_say_nothing() -> None:
    wide = planes(np.full((40, MAX_SIDE + 1, 3), 255, np.uint8))
    everything = ROI(0, 39, 0, MAX_SIDE)
    assert not BRIGHT.log_odds(wide, everything, [], (8, 8)).any()
    assert BRIGHT.log_odds(wide, everything._replace(col_max=MAX_SIDE - 1), [], (8, 8)).all()
    assert replace(BRIGHT, scale=0.5).log_odds(wide, everything, [], (8, 8)).all()
    assert not replace(BRIGHT, weight=0.0).log_odds(planes(scene()), ROI(0, 9, 0, 9), [], (8, 8)).any()


def test_looks_that_contradict_what_is_pointed_at_have_no_say() -> None:
    roi, light, dark = ROI(20, 69, 30, 89), (45.0, 60.0), (25.0, 35.0)

    def said(*clicks: tuple[float, float, bool], scale: float = 1.0) -> bool:
        prior = replace(BRIGHT, scale=scale)
        return bool(prior.log_odds(planes(scene()), roi, [Click(*one) for one in clicks], (8, 8)).any())

    for scale in (1.0, 0.5):
        assert said((*light, True), scale=scale)
        assert not said((*dark, True), scale=scale)
        assert said((*light, False), scale=scale)  # a neighbour that looks like the object
        assert said((*light, True), (*dark, True), scale=scale)  # 1.5 and -0.5 or more: on average it does
        assert said((5.0, 5.0, True), scale=scale)  # outside the ROI


def undecided(image: Tensor, prompt: Prompt) -> Tensor:
    """A network that leans towards the object everywhere, a little."""
    return torch.full_like(prompt.previous_mask, 0.1)


@pytest.mark.parametrize("asked", ["click", "box"])
@pytest.mark.parametrize("refinement", [None, Refinement()])
def test_an_undecided_network_answers_by_looks(asked: str, refinement: Refinement | None) -> None:
    loud = replace(BRIGHT, factors=(5.0, *ZEROS[1:]), bias=-10.0, weight=1.0)  # of -4 or 1
    settings = PredictionSettings((90, 120), flip=False, refinement=refinement, appearance=loud)
    segmenter = ClickModelSegmenter(undecided, settings)
    state = segmenter.begin(scene())
    if asked == "click":
        (state,) = segmenter.click([state], [[Click(45, 60, True)]])
    else:
        state = segmenter.box(state, Box(10, 20, 79, 99))
    np.testing.assert_array_equal(segmenter.mask(state), scene()[..., 0] > 0)
    blind = ClickModelSegmenter(undecided, replace(settings, appearance=None))
    (state,) = blind.click([blind.begin(scene())], [[Click(45, 60, True)]])
    assert blind.mask(state).all()


def test_what_a_box_asks_has_the_looks_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click_model, "segment_box", lambda ask, roi, drawn, how: ask(drawn * 1.0, []) > 0)
    settings = PredictionSettings((90, 120), flip=False, refinement=Refinement(), appearance=BRIGHT)
    segmenter = ClickModelSegmenter(undecided, settings)  # it sees the whole image, pixel by pixel
    mask = segmenter.mask(segmenter.box(segmenter.begin(scene()), Box(10, 20, 79, 99)))
    np.testing.assert_array_equal(mask, scene()[..., 0] > 0)


def test_other_answers_to_a_first_click_have_the_looks_in_them_whoever_is_asked() -> None:
    torch.manual_seed(0)
    look = FirstLook({"node": Weight(0.5, 0.2, 0.3)}, size=(64, 64), least=40, most=4)
    settings = PredictionSettings((64, 64), flip=False, first_look=look, refinement=Refinement(feedback=1))
    start = ClickModelSegmenter(HybridClickViT((64, 64), (8, 8, 16), 16, 1, 2, 1, 4).eval(), settings)
    learned = ClickModelSegmenter(start.model, replace(settings, appearance=replace(BRIGHT, weight=1.0)))
    (state,) = learned.click([learned.begin(scene())], [[Click(45, 60, True)]])
    (blind,) = start.click([start.begin(scene())], [[Click(45, 60, True)]])
    assert (learned.mask(state) != start.mask(blind)).any()
    for segmenter in (learned, start):  # a page asks for them when something else may have been learned
        first, _ = segmenter.alternatives(state)[0]
        np.testing.assert_array_equal(segmenter.mask(first), learned.mask(state))


def test_settings_survive_json() -> None:
    settings = PredictionSettings(appearance=BRIGHT)
    assert PredictionSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert "appearance" not in PredictionSettings().to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0},
        {"scale": 2},
        {"weight": 1.5},
        {"bias": float("nan")},
        {"spread": [0.0] * N_CUES},
        {"factors": [1.0] * (N_CUES - 1)},
        {"middle": "high"},
    ],
)
def test_what_is_no_appearance_is_said(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="appearance"):
        AppearancePrior.from_json({**BRIGHT.to_json(), **change})
    with pytest.raises(InputError, match="appearance"):
        PredictionSettings.from_json({"appearance": [1, 2]})


def test_odds_are_those_of_the_cues() -> None:
    cues = pixel_cues(scene())
    np.testing.assert_allclose(BRIGHT.odds(cues), 0.5 * np.minimum(cues[..., 0], 8) - 0.5, rtol=1e-5)
