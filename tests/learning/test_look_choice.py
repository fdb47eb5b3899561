"""The first look learns from accepted objects which window to trust."""

from __future__ import annotations

import numpy as np
import torch

from mis_lightning.learning.look_choice import LookChoice
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Click, Prompt

LOOK = FirstLook({"centred": Weight(0.5, 0.2, 0.0)}, wide=2.0, size=(32, 32), most=3, known_area=0.0)
SETTINGS = PredictionSettings(size=(32, 32), first_look=LOOK, flip=False)
CLICK = Click(64, 64, True)


def half_of_the_window(image: torch.Tensor, prompt: Prompt) -> torch.Tensor:
    """Answers the middle of whatever it is shown."""
    logits = torch.full_like(prompt.previous_mask, -5.0)
    logits[:, :, 8:24, 8:24] = 5.0
    return logits


def test_windows_whose_answers_fit_are_preferred_after_some_objects() -> None:
    image, mask = np.zeros((128, 128, 3), np.uint8), np.zeros((128, 128), np.bool_)
    mask[56:72, 56:72] = True  # half of the closest window, of 32 pixels
    segmenter = ClickModelSegmenter(half_of_the_window, SETTINGS)
    choice = LookChoice(LOOK)

    def chosen() -> int:
        asked = ClickModelSegmenter(
            half_of_the_window, PredictionSettings((32, 32), None, False, first_look=choice.first_look)
        )
        (state,) = asked.click([asked.begin(image)], [[CLICK]])
        assert state.roi is not None
        return state.roi.height

    assert chosen() == 128  # "wide" counts most at the start
    for _ in range(12):
        choice.accept(segmenter, image, mask, CLICK)
    assert choice.first_look.wide < LOOK.wide
    assert chosen() == 32


def test_without_a_first_click_the_size_is_learned_alone() -> None:
    image, mask = np.zeros((128, 128, 3), np.uint8), np.zeros((128, 128), np.bool_)
    mask[:10, :10] = True
    choice = LookChoice(LOOK)
    choice.accept(ClickModelSegmenter(half_of_the_window, SETTINGS), image, mask, None)
    look = choice.first_look
    assert look.sizes is not None
    assert look.sizes.middle == round(np.log(100), 2)
    assert (look.cues, look.wide) == (LOOK.cues, LOOK.wide)


def test_sizes_are_left_out_and_a_strong_prior_changes_little() -> None:
    image, mask = np.zeros((128, 128, 3), np.uint8), np.zeros((128, 128), np.bool_)
    mask[56:72, 56:72] = True
    segmenter = ClickModelSegmenter(half_of_the_window, SETTINGS)
    choices = [LookChoice(LOOK, prior, with_sizes=False) for prior in (10.0, 1000.0)]
    for choice in choices:
        choice.accept(segmenter, image, mask, CLICK)
        assert choice.first_look.sizes is None
    weak, strong = (LOOK.wide - choice.first_look.wide for choice in choices)
    assert weak > 10 * strong > 0
