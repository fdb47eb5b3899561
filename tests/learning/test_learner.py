"""A learner gets better at what it is shown, never answers worse than it can tell, and repeats itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.learning.learner import Learner, LearningSettings
from mis_lightning.learning.lessons import Lesson
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Click

SMALL = LearningSettings(weights=True, size=(32, 32), batch=4, steps=1, rounds=0, photographs=0, rate=3e-3)
LOOK = FirstLook({"node": Weight(0.5, 0.2, 0.3)}, size=(32, 32), most=3)


def start(first_look: FirstLook | None = None) -> ClickModelSegmenter:
    torch.manual_seed(0)
    network = HybridClickViT((32, 32), (8, 8, 16), 16, 1, 2, 1, 4).eval()
    return ClickModelSegmenter(network, PredictionSettings(first_look=first_look, flip=False))


def disc(number: int) -> tuple[np.ndarray, np.ndarray, list[Click]]:
    """A bright disc in noise, somewhere; the click is in its middle."""
    generator = np.random.default_rng(number)
    row, col, radius = generator.integers(20, 44), generator.integers(20, 44), generator.integers(5, 9)
    rows, cols = np.mgrid[:64, :64]
    mask = np.hypot(rows - row, cols - col) < radius
    image = generator.integers(0, 60, (64, 64, 3)).astype(np.uint8)
    image[mask] += 150
    return image, mask, [Click(float(row), float(col), True)]


def iou_of(learner: Learner, number: int) -> float:
    image, mask, clicks = disc(number)
    (state,) = learner.segmenter.click([learner.segmenter.begin(image)], [clicks])
    answer = learner.segmenter.mask(state)
    return float((answer & mask).sum() / (answer | mask).sum())


def test_it_learns_what_it_is_shown() -> None:
    learner = Learner(start(), replace(SMALL, steps=6, batch=6))
    before = np.mean([iou_of(learner, number) for number in range(100, 106)])
    for number in range(6):
        learner.accept(*disc(number))
    assert learner.count == len(learner.gains) == 6
    assert learner.taken
    assert np.mean([iou_of(learner, number) for number in range(100, 106)]) > before + 0.2


def test_same_objects_same_weights_and_the_start_stays() -> None:
    learners = [Learner(start(LOOK), SMALL) for _ in range(2)]
    names = [learner.start.identity for learner in learners]
    for learner in learners:
        learner.gains = [0.5]  # so that what is learned is taken
        for number in range(2):
            learner.accept(*disc(number))
    a, b = (learner.segmenter for learner in learners)
    assert a.identity == b.identity != names[0]
    assert a.settings() == b.settings()
    fresh = start(LOOK)
    assert all(
        torch.equal(p, q)
        for p, q in zip(learners[0].start.model.parameters(), fresh.model.parameters(), strict=True)
    )
    other = Learner(start(LOOK), replace(SMALL, seed=1))
    other.gains = [0.5]
    for number in range(2):
        other.accept(*disc(number))
    assert other.segmenter.identity != a.identity


def test_weights_that_do_worse_are_not_taken() -> None:
    learner = Learner(start(), SMALL)
    for number in range(2):
        learner.accept(*disc(number))
    learner.gains = [0.1] * SMALL.checked
    learner.accept(*disc(2))
    assert learner.taken
    assert learner.segmenter.model is not learner.start.model
    learner.gains = [-1.0] * SMALL.checked
    learner.accept(*disc(3))
    assert not learner.taken
    assert learner.segmenter.model is learner.start.model


def test_a_share_of_what_is_learned_answers() -> None:
    moved = []
    for share in (1.0, 0.5):
        learner = Learner(start(), replace(SMALL, share=share))
        for number in range(2):
            learner.accept(*disc(number))
        learner.gains = [0.1] * SMALL.checked
        learner.accept(*disc(2))
        weights = zip(learner.segmenter.model.parameters(), learner.start.model.parameters(), strict=True)
        moved.append(torch.cat([(now - before).flatten() for now, before in weights]))
    whole, half = moved
    assert whole.abs().max() > 1e-3
    torch.testing.assert_close(half, 0.5 * whole, rtol=0, atol=1e-6)


def test_each_object_is_asked_about_before_it_is_learned() -> None:
    """With a rate of almost nothing, learned weights are those of the start: the gain is nothing."""
    learner = Learner(start(), replace(SMALL, rate=1e-12))
    for number in range(3):
        learner.accept(*disc(number))
    assert learner.gains == [0.0, 0.0, 0.0]


def test_looks_alone_leave_the_weights() -> None:
    learner = Learner(start(LOOK), replace(SMALL, weights=False))
    for number in range(2):
        learner.accept(*disc(number))
    look = learner.segmenter.prediction.first_look
    assert learner.segmenter.model is learner.start.model
    assert learner.gains == []
    assert look is not None
    assert look.sizes is not None
    assert look.sizes.middle == pytest.approx(
        np.median([np.log(disc(n)[1].sum()) for n in range(2)]), abs=0.01
    )
    assert look.cues != LOOK.cues


def test_what_objects_look_like_is_learned_and_goes_on_where_it_was() -> None:
    how = replace(SMALL, weights=False, looks=False)
    learner = Learner(start(), how)
    for number in range(4):
        learner.accept(*disc(number))
    known = learner.segmenter.prediction.appearance
    assert known is not None
    assert known.weight > 0.3  # bright discs on dark ground
    again = Learner(start(), how)
    again.restore(*learner.state(), learner.lessons)
    assert again.segmenter.settings() == learner.segmenter.settings()
    for one in (learner, again):
        one.accept(*disc(9))
    assert again.segmenter.settings() == learner.segmenter.settings()
    blind = Learner(start(), replace(how, appearance=False, looks=True))
    blind.accept(*disc(0))
    assert blind.segmenter.prediction.appearance is None


def test_what_was_learned_before_objects_had_an_appearance_can_be_used() -> None:
    learner = Learner(start(LOOK), replace(SMALL, weights=False))
    learner.accept(*disc(0))
    content, tensors = learner.state()
    del content["appearance"], tensors["shown"]
    again = Learner(start(LOOK), replace(SMALL, weights=False))
    again.restore(content, tensors, learner.lessons)
    assert again.segmenter.prediction.first_look == learner.segmenter.prediction.first_look
    assert again.segmenter.prediction.appearance is None
    again.accept(*disc(1))
    assert again.segmenter.prediction.appearance is not None


def test_looks_have_a_say_until_learned_weights_answer() -> None:
    learner = Learner(start(), SMALL)
    for gains, taken in (([-1.0], False), ([1.0] * SMALL.checked, True), ([-9.0] * SMALL.checked, False)):
        learner.gains = gains
        learner.accept(*disc(learner.count))
        assert (learner.segmenter.model is not learner.start.model) == taken
        assert (learner.segmenter.prediction.appearance is None) == taken


def test_an_object_that_is_seen_counts_before_weights_are_practised() -> None:
    learner = Learner(start(LOOK), SMALL)
    for number in range(3):
        learner.accept(*disc(number))
    learner.gains = [0.1] * SMALL.checked
    learner.accept(*disc(3))
    before = learner.segmenter
    learner.see(*disc(4))
    seen = learner.segmenter
    assert seen.model is before.model
    assert seen.prediction.first_look != before.prediction.first_look
    learner.practise()
    assert learner.segmenter.identity != seen.identity
    assert learner.segmenter.settings() == seen.settings()
    practised = learner.segmenter
    learner.practise()  # nothing new was seen
    assert learner.segmenter is practised


def test_memory_is_limited_and_pauses_are_asked_for() -> None:
    asked = []
    learner = Learner(start(), replace(SMALL, memory=2, steps=1), pause=lambda: asked.append(1))
    for number in range(3):
        learner.accept(*disc(number))
    assert len(learner.lessons) == 2
    assert np.array_equal(learner.lessons[-1].mask, Lesson.of(*disc(2)).mask)
    assert len(asked) >= 3 * (SMALL.rounds + 1)


def test_a_click_model_without_weights_cannot_learn() -> None:
    def model(image: torch.Tensor, prompt: object) -> torch.Tensor:
        return image[:, :1]

    with pytest.raises(InputError, match="Expected a network to learn with"):
        Learner(ClickModelSegmenter(model, PredictionSettings(size=(32, 32))))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="`rate` in \\(0, 1\\)"):
        LearningSettings(rate=0.0)
    with pytest.raises(InputError, match="`batch` above `photographs`"):
        LearningSettings(batch=2, photographs=2)
