"""Sharpened answers of a click model: every click is obeyed, whatever the network says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.errors import InputError
from mis_lightning.segmenters.base import Box
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.zoom_in import ZoomIn
from mis_lightning.structures import Click, Prompt

SHARPENED = PredictionSettings(
    size=(48, 64), zoom_in=ZoomIn(min_size=16, grow_at_border=True), refinement=Refinement(max_side=64)
)


def picture(shape: tuple[int, int] = (80, 120), seed: int = 0) -> np.ndarray:
    """A few boxes with noise."""
    random = np.random.default_rng(seed)
    image = np.full((*shape, 3), 90, np.int64)
    for _ in range(4):
        top, left = random.integers(0, shape[0] - 10), random.integers(0, shape[1] - 10)
        height, width = random.integers(8, 50, 2)
        image[top : top + height, left : left + width] = random.integers(0, 256, 3)
    return np.clip(image + random.integers(-12, 13, image.shape), 0, 255).astype(np.uint8)


class Waves:
    """Answers with smooth noise that has nothing to do with the clicks, another at each call."""

    def __init__(self, seed: int = 0, level: float = 0.0) -> None:
        self.generator, self.level = torch.Generator().manual_seed(seed), level

    def __call__(self, image: Tensor, prompt: Prompt) -> Tensor:
        coarse = 3 * torch.randn(len(image), 1, 5, 6, generator=self.generator) + self.level
        return torch.nn.functional.interpolate(coarse, image.shape[-2:], mode="bilinear")


def obeyed(mask: np.ndarray, clicks: tuple[Click, ...]) -> bool:
    """Whether each clicked pixel has the label of the last click on it."""
    last = {(int(row), int(col)): positive for row, col, positive in clicks}
    return all(mask[pixel] == positive for pixel, positive in last.items())


@pytest.mark.parametrize("seed", range(12))
def test_a_click_is_always_obeyed(seed: int) -> None:
    random = np.random.default_rng(seed)
    image = picture((int(random.integers(20, 90)), int(random.integers(20, 140))), seed)
    model = Waves(seed, float(random.normal(0, 3)))
    refinement = Refinement(max_side=64, reach=2.0 * (seed % 2))
    settings = replace(SHARPENED, threshold=0.3 + 0.05 * (seed % 8), refinement=refinement)
    predictor = ClickPredictor(ClickModelSegmenter(model, settings))
    predictor.set_image(image)
    masks = [predictor.mask]
    for _ in range(15):
        row, col = random.uniform(0, image.shape[0]), random.uniform(0, image.shape[1])
        if random.random() < 0.3 and predictor.clicks:  # near an earlier one, perhaps against it
            row, col = (np.clip(v + random.integers(-1, 2), 0, s - 1) for v, s in
                        zip(predictor.clicks[-1][:2], image.shape[:2], strict=True))  # fmt: skip
        predictor.click(row, col, bool(random.random() < 0.5))
        assert obeyed(predictor.mask, predictor.clicks)
        np.testing.assert_array_equal(predictor.mask, predictor.probability > predictor.segmenter.threshold)
        masks.append(predictor.mask)
    for mask in masks[-2::-1]:
        predictor.undo()
        np.testing.assert_array_equal(predictor.mask, mask)
    for mask in masks[1:]:
        predictor.redo()
        np.testing.assert_array_equal(predictor.mask, mask)


@pytest.mark.parametrize("seed", range(6))
def test_positive_clicks_only_add_and_negative_ones_only_remove(seed: int) -> None:
    random = np.random.default_rng(seed)
    settings = replace(SHARPENED, refinement=Refinement(max_side=64, reach=2.0))
    predictor = ClickPredictor(ClickModelSegmenter(Waves(seed), settings))
    predictor.set_image(picture(seed=seed))
    predictor.click(40, 60)
    for _ in range(8):
        before, positive = predictor.mask, bool(random.random() < 0.5)
        predictor.click(float(random.integers(80)), float(random.integers(120)), positive)
        if before.any():
            assert not ((predictor.mask != before) & (predictor.mask != positive)).any()
    row, col = np.argwhere(predictor.mask)[0]
    before = predictor.mask
    predictor.click(float(row), float(col))
    np.testing.assert_array_equal(predictor.mask, before)  # there was nothing to correct


def test_a_mask_carried_to_another_image_may_change_everywhere() -> None:
    def nowhere(image: Tensor, prompt: Prompt) -> Tensor:
        return torch.full_like(prompt.previous_mask, -3)

    settings = PredictionSettings((48, 64), None, refinement=Refinement(max_side=64, reach=2.0))
    segmenter, mask = ClickModelSegmenter(nowhere, settings), np.zeros((80, 120), bool)
    mask[20:60, 30:90] = True
    first, middle = segmenter.begin(picture()), [Click(40, 60, True)]
    assert segmenter.mask(segmenter.carry(first, mask, middle)).sum() < 1000
    (state,) = segmenter.click([segmenter.place(first, mask)], [middle])
    np.testing.assert_array_equal(segmenter.mask(state), mask)
    (state,) = segmenter.click([segmenter.carry(first, mask, middle)], [[Click(41, 61, True)]])
    assert segmenter.mask(state)[40, 60]  # from then on it is a mask like any other


def test_a_replayed_log_obeys_too(tiny_click_vit) -> None:
    image, segmenter = picture(), ClickModelSegmenter(tiny_click_vit(), SHARPENED)
    session = AnnotationSession(image, segmenter)
    session.add_object()
    for click in ((20, 30, True), (21, 31, False), (60, 100, True)):
        session.click(*click)
    assert obeyed(session.mask(), session.objects[0].clicks)
    again = AnnotationSession.replay(
        json.loads(json.dumps(session.log())), image, ClickModelSegmenter(tiny_click_vit())
    )
    np.testing.assert_array_equal(again.mask(), session.mask())


def test_borders_are_those_of_the_image() -> None:
    """A blurred answer about a bright box becomes the box, to the pixel."""
    image, truth = np.full((96, 96, 3), 60, np.uint8), np.zeros((96, 96), bool)
    image[30:61, 25:70] = (200, 180, 90)
    truth[30:61, 25:70] = True
    image += np.random.default_rng(0).integers(0, 9, image.shape, dtype=np.uint8)

    def blurred(view: Tensor, prompt: Prompt) -> Tensor:
        rows, cols = torch.arange(24)[:, None] * 4.0, torch.arange(24) * 4.0
        distance = torch.maximum((rows - 45).abs() - 17, (cols - 47).abs() - 24)
        return (-distance / 4).expand(len(view), 1, 24, 24)

    how = PredictionSettings(size=(24, 24), flip=False)
    for settings, exact in ((how, False), (replace(how, refinement=Refinement()), True)):
        segmenter = ClickModelSegmenter(blurred, settings)
        (state,) = segmenter.click([segmenter.begin(image)], [[Click(45, 47, True)]])
        assert np.array_equal(segmenter.mask(state), truth) is exact


def test_the_published_settings_are_untouched(tiny_click_vit) -> None:
    image, clicks = picture(), [[Click(20, 30, True)], [Click(5, 5, False)]]
    plain = ClickModelSegmenter(tiny_click_vit())
    read = PredictionSettings.from_json(json.loads(json.dumps(SHARPENED.to_json())))
    assert read == SHARPENED
    published = ClickModelSegmenter(tiny_click_vit(), SHARPENED).with_settings(plain.settings())
    assert published.settings() == plain.settings()
    assert set(plain.settings()) == {"size", "zoom_in", "flip", "threshold"}  # as click logs have always had
    assert "grow_at_border" not in plain.settings()["zoom_in"]
    states = [segmenter.begin(image) for segmenter in (plain, published)]
    for click in clicks:
        states = [s.click([state], [click])[0] for s, state in zip((plain, published), states, strict=True)]
        assert torch.equal(states[0].probability, states[1].probability)
        assert states[0].tree is None


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_sharpened_mask_is_fed_back(share: float) -> None:
    seen = []

    class Asked(Waves):
        def __call__(self, image: Tensor, prompt: Prompt) -> Tensor:
            seen.append(prompt.previous_mask.clone())
            return super().__call__(image, prompt)

    how = replace(SHARPENED, zoom_in=None, flip=False, refinement=Refinement(max_side=64, feedback=share))
    segmenter = ClickModelSegmenter(Asked(level=0.5), how)
    (one,) = segmenter.click([segmenter.begin(picture())], [[Click(20, 30, True)]])
    segmenter.click([one], [[Click(60, 100, False)]])
    assert not seen[0].any()
    own = torch.nn.functional.interpolate(
        one.answer[None, None], (80, 120), mode="bilinear", align_corners=True
    )
    mixed = share * torch.from_numpy(segmenter.mask(one)) + (1 - share) * own[0, 0]
    expected = torch.nn.functional.interpolate(
        mixed[None, None].float(), (48, 64), mode="bilinear", align_corners=True
    )
    torch.testing.assert_close(seen[1], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("reach", [0.0, 2.0])
def test_labels_set_by_hand_are_obeyed_and_reach_as_far_as_the_leaves(reach: float) -> None:
    def nowhere(image: Tensor, prompt: Prompt) -> Tensor:
        return torch.full_like(prompt.previous_mask, -3)

    refinement = Refinement(max_side=32, reach=reach)
    segmenter = ClickModelSegmenter(nowhere, PredictionSettings((48, 64), None, refinement=refinement))
    nothing = np.zeros((80, 120), bool)
    inside, outside = nothing.copy(), nothing.copy()
    inside[50, 20:90], outside[20, 30:110] = True, True
    (state,) = segmenter.click([segmenter.begin(picture())], [[Click(20, 30, True)]])
    (state,) = segmenter.click([segmenter.hold(state, inside, outside)], [[Click(45, 70, True)]])
    mask = segmenter.mask(state)
    assert mask[inside].all()
    assert not mask[outside].any()
    assert mask.sum() > inside.sum() + (30 if reach else 150)  # a leaf has four rows
    assert segmenter.pack(state).held is None


def test_nothing_outside_a_box_belongs() -> None:
    image, box = picture(), Box(20, 30, 50, 80)
    segmenter = ClickModelSegmenter(Waves(level=2.0), SHARPENED)
    state = segmenter.box(segmenter.begin(image), box)
    assert segmenter.mask(state).any()
    assert not (segmenter.mask(state) & ~box.mask(image.shape[:2])).any()
    (state,) = segmenter.click([state], [[Click(70, 100, True)]])
    assert segmenter.mask(state)[70, 100]
    assert obeyed(segmenter.mask(state), state.clicks)


def test_the_tree_is_kept_while_the_roi_stays_and_packed_states_are_small() -> None:
    segmenter = ClickModelSegmenter(Waves(level=3.0), replace(SHARPENED, zoom_in=None))
    (one,) = segmenter.click([segmenter.begin(picture())], [[Click(20, 30, True)]])
    (two,) = segmenter.click([one], [[Click(5, 5, False)]])
    assert two.tree is one.tree
    small = segmenter.pack(two)
    assert small.tree is None
    assert small.probability is None
    np.testing.assert_array_equal(segmenter.mask(segmenter.unpack(small)), segmenter.mask(two))


def test_a_placed_mask_is_packed_too() -> None:
    segmenter = ClickModelSegmenter(Waves(), SHARPENED)
    first = segmenter.begin(picture((801, 1203)))
    mask = np.zeros((801, 1203), bool)
    mask[200:400, 300:900] = True
    kept = segmenter.pack(segmenter.place(first, mask, [Click(300, 500, True)]))
    assert kept.probability is None
    assert len(kept.packed) < 4000
    np.testing.assert_array_equal(segmenter.mask(segmenter.unpack(kept)), mask)
    soft = segmenter.place(first, mask * np.float32(0.7))
    assert segmenter.pack(soft).probability is soft.probability  # nothing could make it again


def test_the_looks_of_a_first_click_are_alternatives(tiny_click_vit) -> None:
    look = FirstLook({"node": Weight(0.5, 0.2, 1.0)}, least=8)
    segmenter = ClickModelSegmenter(tiny_click_vit(), replace(SHARPENED, size=(32, 48), first_look=look))
    (state,) = segmenter.click([segmenter.begin(picture())], [[Click(20, 30, True)]])
    found = segmenter.alternatives(state)
    assert 1 < len(found) <= 3
    np.testing.assert_array_equal(segmenter.mask(found[0][0]), segmenter.mask(state))
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert len({one.roi for one, _ in found}) == len(found)
    (later,) = segmenter.click([found[1][0]], [[Click(60, 100, False)]])
    assert segmenter.alternatives(later) == [(later, 1.0)]
    (negative,) = segmenter.click([segmenter.begin(picture())], [[Click(20, 30, False)]])
    assert negative.looks == ()

    predictor = ClickPredictor(segmenter)
    predictor.set_image(picture())
    masks, several, probabilities = predictor.predict([[30, 20]], [1], multimask_output=True)
    assert masks.shape == probabilities.shape == (len(found), 80, 120)
    np.testing.assert_allclose(several, scores, rtol=1e-6)
    for mask, (one, _) in zip(masks, found, strict=True):
        np.testing.assert_array_equal(mask, segmenter.mask(one))
    masks, several, _ = predictor.predict([[30, 20], [100, 60]], [1, 0], multimask_output=True)
    assert (len(masks), several.tolist()) == (1, [1.0])

    session = AnnotationSession(picture(), segmenter)
    session.add_object()
    session.click(20, 30)
    for step in range(1, len(found) + 1):
        session.next_look()
        np.testing.assert_array_equal(session.mask(), segmenter.mask(found[step % len(found)][0]))
    session.undo()
    np.testing.assert_array_equal(session.mask(), segmenter.mask(found[-1][0]))
    assert len(session.objects[0].clicks) == 1
    again = AnnotationSession.replay(json.loads(json.dumps(session.log())), picture(), segmenter)
    np.testing.assert_array_equal(again.mask(), session.mask())
    session.click(60, 100, False)
    with pytest.raises(InputError, match="only one answer"):
        session.next_look()


@pytest.mark.parametrize(
    "bad", [{"price": -1}, {"clip": 0}, {"sure": -1}, {"max_side": 1}, {"cost": 1}, {"price": "x"}, [1], "x"]
)
def test_settings_that_are_none(bad) -> None:
    with pytest.raises(InputError, match="refinement"):
        Refinement.from_json(bad)
