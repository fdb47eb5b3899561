"""What a click model is told of the size of an object, in each view; and the answers to it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.models.click_hybrid import HybridClickViT, granularity_of
from mis_lightning.models.pretrained import load_pretrained, save_pretrained
from mis_lightning.segmenters.base import Box
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.granularity import (
    check_granularity,
    granularity_of_area,
    wanted_area,
)
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.segmenters.told_views import in_views
from mis_lightning.segmenters.zoom_in import ROI
from mis_lightning.structures import Click
from tests.segmenters.sized_model import LOOK, NOISE, SETTINGS, SHAPE, SizedModel, sized

MIDDLE = Click(120, 160, True)


def told(wanted: float, roi: ROI) -> float:
    return float(granularity_of(torch.tensor(min(1.0, wanted / (roi.height * roi.width)))))


def asked(one: ClickModelSegmenter) -> list[torch.Tensor | None]:
    assert isinstance(one.model, SizedModel)
    return one.model.told


def area(one: ClickModelSegmenter, state) -> int:
    return int(one.mask(state).sum())


@pytest.mark.parametrize("granularity", [0.0, 0.25, 0.5, 1.0])
def test_the_scale_means_the_same_in_every_image(granularity: float) -> None:
    for shape in ((100, 100), (30, 700)):
        share = wanted_area(granularity, shape) / math.prod(shape)
        assert share == pytest.approx(10 ** (4 * (granularity - 1)))
        assert granularity_of_area(wanted_area(granularity, shape), shape) == pytest.approx(granularity)
    assert granularity_of_area(0, (10, 10)) == 0
    assert granularity_of_area(1, (1000, 1000)) == 0


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan, True, "0.5", None])
def test_other_values_are_refused(bad: object) -> None:
    with pytest.raises(InputError, match=r"`granularity` in \[0, 1\].*leave it out"):
        check_granularity(bad)
    if bad is not None:
        one = sized()
        with pytest.raises(InputError, match="but got"):
            one.with_granularity(one.begin(NOISE), bad)  # type: ignore[arg-type]


def test_every_window_of_a_first_look_is_told_its_own_share() -> None:
    one = sized()
    begun = one.with_granularity(one.begin(NOISE), 0.6)
    assert asked(one) == []
    (state,) = one.click([begun], [[MIDDLE]])
    (seen,) = asked(one)
    rois = LOOK.rois(SHAPE, MIDDLE)
    assert len(rois) > 3
    expected = [told(wanted_area(0.6, SHAPE), roi) for roi in rois]
    assert len(set(expected)) > 3
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    assert area(one, state) == pytest.approx(wanted_area(0.6, SHAPE), rel=0.2)


def test_later_crops_and_their_mirror_images_are_told_it_too() -> None:
    one = sized()
    (state,) = one.click([one.with_granularity(one.begin(NOISE), 0.6)], [[MIDDLE]])
    (state,) = one.click([state], [[Click(20, 20, True)]])
    (state,) = one.click([state], [[Click(20, 24, True)]])
    assert state.granularity == 0.6
    assert state.roi is not None
    seen = asked(one)[-1]
    assert seen is not None
    np.testing.assert_allclose(seen, [told(wanted_area(0.6, SHAPE), state.roi)] * 2, atol=1e-6)


def test_a_second_look_is_told_it_too() -> None:
    one = sized()
    (state,) = one.click([one.with_granularity(one.begin(NOISE), 0.8)], [[MIDDLE]])
    one.click([state], [[Click(124, 164, False)]])
    seen = [len(part) for part in asked(one)[1:] if part is not None]
    assert seen == [2, len(LOOK.rois(SHAPE, MIDDLE))]


def test_a_box_is_told_it_too() -> None:
    for settings in (SETTINGS, replace(SETTINGS, refinement=None, first_look=None)):
        one = sized(settings)
        state = one.box(one.with_granularity(one.begin(NOISE), 0.7), Box(60, 80, 180, 240))
        assert state.granularity == 0.7
        assert state.roi is not None
        seen = asked(one)[0]
        assert seen is not None
        np.testing.assert_allclose(seen, [told(wanted_area(0.7, SHAPE), state.roi)] * 2, atol=1e-6)


def test_states_with_and_without_a_size_are_asked_together() -> None:
    one = sized(replace(SETTINGS, first_look=None))
    begun = one.begin(NOISE)
    small = one.with_granularity(one.begin(NOISE[:100, :100]), 0.5)
    states = one.click([begun, small, begun], [[MIDDLE], [Click(50, 50, True)], [MIDDLE]])
    (seen,) = asked(one)
    assert seen is not None
    assert seen.isnan().tolist() == [True, False, True] * 2
    assert float(seen[1]) == pytest.approx(told(100, ROI(0, 99, 0, 99)), abs=1e-6)
    alone = one.click([begun], [[MIDDLE]])[0]
    np.testing.assert_array_equal(one.mask(states[0]), one.mask(alone))


def test_without_a_size_a_network_is_asked_as_ever() -> None:
    one = sized()
    begun = one.begin(NOISE)
    assert one.with_granularity(begun, None) == begun
    (state,) = one.click([begun], [[MIDDLE]])
    (state,) = one.click([state], [[Click(124, 164, False)]])
    one.box(begun, Box(60, 80, 180, 240))
    assert len(asked(one)) > 3
    assert all(part is None for part in asked(one))
    assert in_views([begun], [ROI(0, 9, 0, 9)], torch.device("cpu")) is None


def test_after_one_click_it_looks_first_again() -> None:
    one = sized()
    begun = one.begin(NOISE)
    (state,) = one.click([begun], [[MIDDLE]])
    for granularity in (0.9, 0.4, 0.6):
        state = one.with_granularity(state, granularity)
        (fresh,) = one.click([one.with_granularity(begun, granularity)], [[MIDDLE]])
        np.testing.assert_array_equal(one.mask(state), one.mask(fresh))
        assert [look.roi for look in state.looks] == [look.roi for look in fresh.looks]
    before = len(asked(one))
    assert one.with_granularity(state, 0.6) == state
    assert len(asked(one)) == before
    back = one.with_granularity(state, None)
    np.testing.assert_array_equal(one.mask(back), one.mask(one.click([begun], [[MIDDLE]])[0]))


@pytest.mark.parametrize("granularity", [0.5, 0.7, 0.9])
def test_later_all_of_the_mask_may_change(granularity: float) -> None:
    """A smaller and a much larger object than the crop of before; no click keeps the rest of the mask."""
    one = sized()
    (state,) = one.click([one.with_granularity(one.begin(NOISE), 0.65)], [[MIDDLE]])
    (state,) = one.click([state], [[Click(122, 162, True)]])
    again = one.with_granularity(state, granularity)
    assert area(one, again) == pytest.approx(wanted_area(granularity, SHAPE), rel=0.25)
    assert again.clicks == state.clicks
    packed = one.unpack(one.pack(again))
    assert packed.granularity == granularity
    (later,) = one.click([packed], [[Click(121, 161, True)]])
    assert later.granularity == granularity
    assert area(one, later) == pytest.approx(wanted_area(granularity, SHAPE), rel=0.25)


def test_the_size_speaks_in_the_choice_of_the_look() -> None:
    """Of answers that do not listen the one that fits is taken."""

    class Deaf(SizedModel):
        def __call__(self, image, prompt):
            return super().__call__(image, prompt._replace(granularity=None))

    one = ClickModelSegmenter(Deaf(share=0.3), SETTINGS)
    begun = one.begin(NOISE)
    sizes = {}
    for granularity in (0.55, 0.7, 0.85):
        (state,) = one.click([one.with_granularity(begun, granularity)], [[MIDDLE]])
        sizes[granularity] = area(one, state) / wanted_area(granularity, SHAPE)
    assert all(0.5 < ratio < 2 for ratio in sizes.values()), sizes


def test_models_without_it_say_so(tiny_click_vit) -> None:
    for one in (ClickModelSegmenter(tiny_click_vit()), MergeTreeSegmenter()):
        begun = one.begin(NOISE[:40, :40])
        assert not one.takes_granularity
        assert one.with_granularity(begun, None) is not None
        with pytest.raises(
            InputError, match=r"does not take the size.*leave it out, or use a model"
        ) as raised:
            one.with_granularity(begun, 0.5)
        assert one.identity in str(raised.value)
    predictor = ClickPredictor(ClickModelSegmenter(tiny_click_vit()))
    predictor.set_image(NOISE)
    with pytest.raises(InputError, match="ClickViT-"):
        predictor.predict([[160, 120]], [1], granularity=0.5)


def test_predict_with_a_size() -> None:
    predictor = ClickPredictor(sized())
    predictor.set_image(NOISE)
    for granularity in (0.5, 0.75):
        wanted = wanted_area(granularity, SHAPE)
        mask, probability = predictor.predict([[160, 120]], [1], granularity=granularity)
        assert mask.sum() == pytest.approx(wanted, rel=0.2)
        np.testing.assert_array_equal(mask, probability > 0.5)
        found = predictor.predict([[160, 120]], [1], multimask_output=True, granularity=granularity)
        np.testing.assert_array_equal(found.masks[0], mask)
        inside, _ = predictor.predict(box=[100, 60, 220, 180], granularity=granularity)
        assert inside.any()
    assert predictor.clicks == ()
    free, _ = predictor.predict([[160, 120]], [1])
    predictor.click(120, 160)
    np.testing.assert_array_equal(predictor.mask, free)


def test_a_model_folder_keeps_it(tmp_path: Path) -> None:
    small = {"dims": (6, 8, 10), "dim": 12, "depth": 1, "heads": 2, "histograms": 2, "codes": 4}
    for granularity in (True, False):
        made = HybridClickViT((32, 48), **small, granularity=granularity)
        folder = tmp_path / str(granularity)
        save_pretrained(made, folder)
        assert (
            json.loads((folder / "config.json").read_text(encoding="utf-8")).get("granularity", False)
            == granularity
        )
        loaded = load_pretrained(folder)
        assert loaded.takes_granularity == made.takes_granularity == granularity
        assert ClickModelSegmenter(loaded).takes_granularity == granularity
