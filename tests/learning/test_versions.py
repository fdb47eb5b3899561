"""What is learned of the settings is kept by itself, and read back onto those of the start."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mis_lightning.errors import InputError
from mis_lightning.features.pixel_cues import N_CUES
from mis_lightning.learning.versions import LearningSegmenter, learned_settings, with_learned_settings
from mis_lightning.segmenters.appearance_prior import AppearancePrior
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.closer_look import CloserLook
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.registry import open_segmenter

LOOK = FirstLook({"node": Weight(0.5, 0.2, 0.3)})
APPEARANCE = AppearancePrior(0.5, (1.0,) * N_CUES, (2.0,) * N_CUES, (0.1,) * N_CUES, -0.5, 0.25)


@pytest.mark.parametrize("look", [None, LOOK])
@pytest.mark.parametrize("appearance", [None, APPEARANCE])
def test_what_is_learned_comes_back(look: FirstLook | None, appearance: AppearancePrior | None) -> None:
    learned = PredictionSettings(threshold=0.3, first_look=look, appearance=appearance)
    kept = json.loads(json.dumps(learned_settings(learned)))
    back = with_learned_settings(PredictionSettings(threshold=0.3), kept)
    assert back == learned


def test_what_is_older_than_appearances_has_none() -> None:
    back = with_learned_settings(PredictionSettings(appearance=APPEARANCE), {"first_look": LOOK.to_json()})
    assert back == PredictionSettings(first_look=LOOK)


def test_damage_is_said() -> None:
    with pytest.raises(InputError, match="appearance"):
        with_learned_settings(PredictionSettings(), {"first_look": None, "appearance": {"scale": 1}})


def test_a_learner_is_itself_only_for_its_own_settings() -> None:
    """Settings that are off are left out of a log, so more entries than its own are other settings, too."""
    model, own = open_segmenter("mis-small").model, PredictionSettings(size=(160, 160))
    learner = LearningSegmenter(ClickModelSegmenter(model, own))
    assert learner.with_settings(own.to_json()) is learner
    assert learner.with_settings({**own.to_json(), "evaluated": "yesterday"}) is learner
    other = learner.with_settings(replace(own, closer_look=CloserLook()).to_json())
    assert other is not learner
    assert other.prediction.closer_look == CloserLook()
