"""The answer of a first look is corrected by its colours, where they tell the object apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.segmenters import colour_cut
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.colour_cut import ColourCut
from mis_lightning.segmenters.first_look import FirstLook
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.structures import Click, Prompt

SIDE = 64
MIDDLE = Click(32, 32, True)


def square(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def view(*red: NDArray[np.bool_]) -> Tensor:
    """Red squares on grey, with some noise."""
    image = np.full((SIDE, SIDE, 3), 0.4, np.float32)
    for one in red:
        image[one] = (0.85, 0.15, 0.15)
    noise = np.random.default_rng(0).normal(0, 0.02, image.shape)
    return torch.from_numpy((image + noise).astype(np.float32).clip(0, 1)).permute(2, 0, 1)


def answer(mask: NDArray[np.bool_]) -> Tensor:
    return torch.where(torch.from_numpy(mask), 1.0, -1.0)


TRUTH = square(16, 48, 16, 48)


def test_a_border_moves_to_where_colours_part() -> None:
    given = answer(square(18, 52, 16, 46))  # too low, and not wide enough
    mixed = ColourCut().mixed(view(TRUTH), given, [MIDDLE])
    np.testing.assert_array_equal((mixed > 0).numpy(), TRUTH)
    assert {*np.unique(mixed.numpy())} == {-2.5, -1.5, 1.5, 2.5}  # the mean of 1 or -1 and of 4 or -4


def test_the_share_and_how_sure_a_cut_is() -> None:
    mixed = ColourCut(share=0.25, sure=2.0).mixed(view(TRUTH), 10 * answer(TRUTH), [MIDDLE])
    torch.testing.assert_close(mixed, 2 * answer(TRUTH))
    little = ColourCut(share=0.25, sure=2.0).mixed(view(TRUTH), answer(TRUTH), [MIDDLE])
    torch.testing.assert_close(little, 1.25 * answer(TRUTH))


def test_an_answer_stays_where_the_cut_is_another_object() -> None:
    given = answer(square(24, 40, 24, 40))  # a quarter of what has this colour
    assert ColourCut().mixed(view(TRUTH), given, [MIDDLE]) is given
    assert ColourCut(agree=0.1).mixed(view(TRUTH), given, [MIDDLE]) is not given


def test_pieces_that_are_not_clicked_are_left_out() -> None:
    other = square(20, 30, 54, 62)
    given = answer(TRUTH | other)
    mixed = ColourCut().mixed(view(TRUTH, other), given, [MIDDLE])
    assert (mixed[20:30, 54:62] < 0).all()
    assert (ColourCut().mixed(view(TRUTH, other), given, [])[20:30, 54:62] > 0).all()


def test_a_negative_click_is_background() -> None:
    clicks = [MIDDLE, Click(20, 20, False), Click(-3, 70, True)]
    mixed = ColourCut(share=1.0).mixed(view(TRUTH), answer(TRUTH), clicks)
    assert mixed[20, 20] < 0 < mixed[32, 32]


@pytest.mark.parametrize("mask", [square(0, 0, 0, 0), square(0, SIDE, 0, SIDE), square(4, 6, 4, 6)])
def test_what_is_too_small_to_be_cut_stays(mask: NDArray[np.bool_]) -> None:
    given = answer(mask)
    assert ColourCut().mixed(view(TRUTH), given, []) is given


class Blurred:
    """Answers what is red, a little too wide."""

    input_size = (SIDE, SIDE)

    def __call__(self, image: Tensor, prompt: Prompt) -> Tensor:
        red = ((image[:, :1] - image[:, 1:2]) > 0.4).float()
        return torch.where(torch.nn.functional.max_pool2d(red, 7, 1, 3) > 0, 1.0, -1.0)


def image() -> NDArray[np.uint8]:
    return (255 * view(TRUTH).permute(1, 2, 0).numpy()).astype(np.uint8)


def segmenter(cut: ColourCut | None, refinement: Refinement | None) -> ClickModelSegmenter:
    look = FirstLook({}, wide=1.0, most=1)  # the whole image
    return ClickModelSegmenter(
        Blurred(), PredictionSettings(flip=False, first_look=look, refinement=refinement, colour_cut=cut)
    )


@pytest.mark.parametrize("refinement", [None, Refinement(price=0.1)])
def test_a_first_look_is_cut_and_later_clicks_are_not(
    refinement: Refinement | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = image()
    plain, cutting = segmenter(None, refinement), segmenter(ColourCut(), refinement)
    wide, first = (one.click([one.begin(seen)], [[MIDDLE]])[0] for one in (plain, cutting))
    assert plain.mask(wide).sum() > TRUTH.sum()
    np.testing.assert_array_equal(cutting.mask(first), TRUTH)
    monkeypatch.setattr(colour_cut, "graph_cut", None)
    later = cutting.click([first], [[Click(4, 4, False)]])[0]
    assert later.clicks[1] == Click(4, 4, False)


def test_settings_survive_a_file() -> None:
    cut = ColourCut(0.7, 0.4, 3.0)
    assert ColourCut.from_json(cut.to_json()) == cut
    assert ColourCut.from_json({}) == ColourCut()
    settings = PredictionSettings(colour_cut=cut)
    assert PredictionSettings.from_json(settings.to_json()) == settings
    assert "colour_cut" not in PredictionSettings().to_json()


@pytest.mark.parametrize(
    "content",
    [
        *([1], {"radius": 2}, {"agree": "1"}, {"share": True}, {"agree": 0}, {"agree": 1.1}),
        *({"share": 0}, {"share": 1.5}, {"sure": 0}, {"sure": math.inf}, {"agree": math.nan}),
    ],
)
def test_what_are_no_settings_is_refused(content: Any) -> None:
    with pytest.raises(InputError, match="colour cut"):
        ColourCut.from_json(content)
