"""Names of segmenters: each opens what it says, and a wrong one says what is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.errors import InputError
from mis_lightning.models.pretrained import load_pretrained, save_pretrained
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.segmenters.registry import label_of, open_segmenter
from mis_lightning.structures import Click


@dataclass(frozen=True)
class State:
    image: np.ndarray
    clicks: tuple[Click, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]


class Everything(Segmenter[State]):
    """A segmenter of somebody's own, with no more than it needs."""

    def begin(self, image: np.ndarray) -> State:
        return State(image)

    def click(self, states: Sequence[State], clicks: Sequence[Sequence[Click]]) -> list[State]:
        pairs = zip(states, clicks, strict=True)
        return [replace(state, clicks=(*state.clicks, *new)) for state, new in pairs]

    def probability(self, state: State) -> np.ndarray:
        return np.full(state.shape, bool(state.clicks), np.float32)


class Unfinished:
    pass


def test_segmenters_without_training() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[5:15, 5:20] = 200
    for name in ("merge-tree", "cv2.grabCut", "cv2.grabCut-plain"):
        segmenter = open_segmenter(name, threshold=0.3)
        (state,) = segmenter.click([segmenter.begin(image)], [[Click(10, 10, True)]])
        assert segmenter.mask(state)[10, 10]
        assert segmenter.threshold == 0.3
        assert label_of(name) == name
    assert label_of("runs/cpu/checkpoints/last.ckpt") == "cpu/last"
    assert label_of("exports/own:published") == "own:published"
    with pytest.raises(InputError, match="no settings of a click model for merge-tree"):
        open_segmenter("merge-tree", flip=False)


def test_a_class_of_ones_own() -> None:
    segmenter = open_segmenter(f"{__name__}.Everything")
    assert segmenter.identity == f"{__name__}.Everything"
    session = AnnotationSession(np.zeros((4, 5, 3), np.uint8), segmenter)
    session.add_object()
    session.click(1, 1)
    assert session.mask().all()
    session.undo()
    assert not session.mask().any()
    with pytest.raises(InputError, match="cannot start from a box"):
        session.box(0, 0, 2, 2)
    with pytest.raises(InputError, match="cannot start from a mask"):
        session.load_mask(np.ones((4, 5), bool))
    again = AnnotationSession.replay(session.log(), session.image, open_segmenter(f"{__name__}.Everything"))
    assert not again.mask().any()
    with pytest.raises(InputError, match="subclass of"):
        open_segmenter(f"{__name__}.Unfinished")
    with pytest.raises(InputError, match="cannot be imported"):
        open_segmenter(f"{__name__}.Missing")


def test_a_model_is_asked_as_it_recommends_or_as_published(tiny_click_vit, tmp_path) -> None:
    model = tiny_click_vit()
    model.recommended = PredictionSettings(flip=False, threshold=0.4).to_json()
    folder = save_pretrained(model, tmp_path / "model")
    assert load_pretrained(folder).recommended == model.recommended
    recommended, published = open_segmenter(folder), open_segmenter(f"{folder}:published")
    assert isinstance(recommended, ClickModelSegmenter)
    assert isinstance(published, ClickModelSegmenter)
    assert recommended.prediction == PredictionSettings((32, 48), flip=False, threshold=0.4)
    assert published.prediction == PredictionSettings((32, 48))
    assert recommended.identity == published.identity
    own = open_segmenter(folder, flip=True, threshold=0.2)
    assert (own.prediction.flip, own.threshold) == (True, 0.2)
    assert label_of(f"{folder}:published") == "model:published"
    with pytest.raises(InputError, match=r"settings of size.*\['speed'\]"):
        open_segmenter(folder, speed=1)
    with pytest.raises(InputError, match="threshold"):
        open_segmenter(folder, threshold=1.5)


def test_the_shipped_model_needs_no_name() -> None:
    predictor = ClickPredictor.from_pretrained()
    assert predictor.segmenter.identity == open_segmenter("mis-small").identity


def test_a_wrong_name_says_what_is_near() -> None:
    with pytest.raises(InputError, match="Did you mean mis-small"):
        open_segmenter("mis-smal")
    with pytest.raises(InputError, match=r"Did you mean cv2\.grabCut"):
        open_segmenter("cv2.grabcut")
