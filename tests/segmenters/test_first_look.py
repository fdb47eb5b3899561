"""Where to look at the first click, and which answer to take."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mis_lightning.clicks.encoding import pack_points
from mis_lightning.errors import InputError
from mis_lightning.metrics.functional import iou
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.models.shipped import shipped_folder
from mis_lightning.segmenters.first_look import FirstLook, ScoredLook, Weight
from mis_lightning.segmenters.look_cues import CUES, Looks, measure_looks, overlaps
from mis_lightning.segmenters.size_prior import SizePrior
from mis_lightning.segmenters.zoom_in import ROI, crop, paste, to_crop
from mis_lightning.structures import Click, Prompt

PLAIN = FirstLook({"node": Weight(0, 1, 1), "cut": Weight(0, 1, -1)})
SIZE = (96, 96)


def shipped() -> FirstLook:
    folder = shipped_folder("mis-small")
    assert folder is not None
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return FirstLook.from_json(config["recommended"]["first_look"])


def field_with(objects: list[tuple[int, int, int]], size: int = 512) -> NDArray[np.uint8]:
    """A grainy green field with red disks, ``(row, col, radius)``."""
    grain = np.random.default_rng(0).normal(0, 6, (size, size, 3))
    rows, cols = np.mgrid[:size, :size]
    image = np.tile(np.array([70.0, 130, 70]), (size, size, 1))
    for row, col, radius in objects:
        image[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = (190, 60, 60)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def looks_of(
    image: NDArray[np.uint8], rois: list[ROI], answer: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> Looks:
    """What a colour rule answers."""
    planes = torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))
    views = np.stack([crop(planes, roi, SIZE).numpy() for roi in rois])
    return Looks(rois, views, np.stack([answer(view) for view in views]), image.shape[:2])


def redness(view: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sure that what is red belongs."""
    return np.where(view[0] - view[1] > 0.1, 0.95, 0.05).astype(np.float32)


def test_looks_lie_in_the_image_and_hold_the_click() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        shape = (int(generator.integers(1, 3000)), int(generator.integers(1, 3000)))
        click = Click(generator.uniform(0, shape[0]), generator.uniform(0, shape[1]), True)
        rois = PLAIN.rois(shape, click)
        assert rois[0] == (0, shape[0] - 1, 0, shape[1] - 1)
        assert 1 <= len(rois) <= PLAIN.most
        sides = [max(roi.height, roi.width) for roi in rois]
        assert sides == sorted(sides, reverse=True)
        assert len(set(sides)) == len(sides)
        assert sides[-1] >= min(PLAIN.least, *sides)
        for roi in rois:
            assert 0 <= roi.row_min <= int(click.row) <= roi.row_max < shape[0]
            assert 0 <= roi.col_min <= int(click.col) <= roi.col_max < shape[1]


def test_the_closest_look_is_the_least_where_the_image_is_large() -> None:
    sides = [roi.width for roi in PLAIN.rois((4000, 4000), Click(2000, 2000, True))]
    assert len(sides) == PLAIN.most
    assert sides[-1] == PLAIN.least
    ratios = np.array(sides[:-1]) / sides[1:]
    assert np.allclose(ratios, ratios[0], rtol=0.02)
    assert ratios[0] >= PLAIN.step


@pytest.mark.parametrize(("radius", "scales"), [(10, (2, 9)), (160, (1.2, 2.0))])
def test_a_planted_object_is_seen_at_its_own_scale(radius: int, scales: tuple[float, float]) -> None:
    """The shipped model: the window taken fits the object, and its answer is right."""
    others = [(60, 60, 10), (60, 450, 10), (450, 60, 10)] if radius < 100 else []
    image, click, shape = field_with([(256, 256, radius), *others]), Click(256, 256, True), (512, 512)
    model, look = load_pretrained("mis-small").eval(), shipped()
    rois, size = look.rois(shape, click), look.size or model.input_size
    planes = torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))
    with torch.inference_mode():
        views = torch.stack([crop(planes, roi, size) for roi in rois])
        points = pack_points([[to_crop(click, roi, size)] for roi in rois])
        answers = model(views, Prompt(points, torch.zeros(len(rois), 1, *size)))[:, 0].sigmoid()
    best = look.choose(Looks(rois, views.numpy(), answers.numpy(), shape), click)[0]
    assert scales[0] <= rois[best.roi].width / (2 * radius) <= scales[1]
    truth = np.hypot(*(np.mgrid[:512, :512] - 256)) <= radius
    assert iou((paste(answers[best.roi], rois[best.roi], shape) > 0.5).numpy(), truth) > 0.8


def test_choosing_is_deterministic_and_orders_by_score() -> None:
    image, click = field_with([(256, 256, 40)]), Click(256, 256, True)
    look = shipped()
    rois = look.rois((512, 512), click)
    first, second = (look.choose(looks_of(image, rois, redness), click) for _ in range(2))
    assert first == second
    assert [one.score for one in first] == sorted((one.score for one in first), reverse=True)
    assert sorted(one.roi for one in first) == list(range(len(rois)))


def test_an_empty_answer_comes_last() -> None:
    rois = [ROI(0, 99, 0, 99), ROI(20, 79, 20, 79)]
    answers = np.zeros((2, *SIZE), np.float32)
    answers[1, 40:50, 40:50] = 0.6
    views = np.full((2, 3, *SIZE), 0.5, np.float32)
    looks = PLAIN.choose(Looks(rois, views, answers, (100, 100)), Click(50, 50, True))
    assert looks[0].roi == 1
    assert looks[1] == ScoredLook(0, 0.0)
    nothing = PLAIN.choose(Looks(rois, views, 0 * answers, (100, 100)), Click(50, 50, True))
    assert nothing == [ScoredLook(0, 0.0), ScoredLook(1, 0.0)]


def test_accepted_objects_say_how_large_this_one_is() -> None:
    rois = [ROI(0, 99, 0, 99), ROI(25, 74, 25, 74)]
    answers = np.full((2, *SIZE), 0.1, np.float32)
    answers[:, 24:72, 24:72] = 0.9  # a quarter of either window: 2500 and 625 pixels
    views = np.full((2, 3, *SIZE), 0.5, np.float32)
    for area, expected in ((2500, 0), (625, 1)):
        look = replace(PLAIN, known_area=1.0, sizes=SizePrior(float(np.log(area)), 0.3))
        assert FirstLook.from_json(json.loads(json.dumps(look.to_json()))) == look
        looks = look.choose(Looks(rois, views, answers, (100, 100)), Click(50, 50, True))
        assert looks[0].roi == expected


def test_alternatives_differ_and_begin_with_the_best() -> None:
    rois = [ROI(0, 99, 0, 99)] * 4
    answers = np.full((4, *SIZE), 0.1, np.float32)
    answers[0, :60], answers[1, :61], answers[2, :20], answers[3, 40:] = 0.9, 0.9, 0.9, 0.9
    views = np.zeros((4, 3, *SIZE), np.float32)
    ranked = [ScoredLook(index, 0.9 - 0.1 * index) for index in range(4)]
    different = PLAIN.alternatives(ranked, Looks(rois, views, answers, (100, 100)))
    assert [look.roi for look in different] == [0, 2, 3]
    alike = PLAIN.alternatives(ranked[:2], Looks(rois[:2], views[:2], answers[:2], (100, 100)))
    assert [look.roi for look in alike] == [0, 1]  # no others there are


def test_overlaps_compare_answers_in_the_image() -> None:
    rois = [ROI(0, 191, 0, 191), ROI(48, 143, 48, 143)]
    answers = np.zeros((2, 96, 96), np.bool_)
    answers[0, 36:60, 36:60] = True  # rows and columns 72 to 119 of the image
    answers[1, 24:72, 24:72] = True  # the same pixels
    assert overlaps(answers, rois)[0, 1] == 1
    answers[1, 48:72] = False
    assert overlaps(answers, rois)[0, 1] == pytest.approx(0.5)


def test_cues_mean_what_they_say() -> None:
    image = field_with([(50, 50, 20)], 100)
    rois = [ROI(0, 99, 0, 99), ROI(40, 99, 40, 99)]
    whole, cut = (
        {**dict(zip(CUES, row, strict=True))}
        for row in measure_looks(looks_of(image, rois, redness), Click(50, 50, True))
    )
    assert whole["cut"] == 0
    assert whole["node"] > 0.9
    assert whole["centred"] > 0.9
    assert whole["contrast"] > 2
    assert cut["cut"] > 0.2
    assert cut["centred"] < 0.8
    assert whole["agrees"] == cut["agrees"] == pytest.approx(0.65, abs=0.03)


def test_weights_survive_json() -> None:
    look = FirstLook({"node": Weight(0.5, 0.25, 1.5)}, bias=-1, wide=0.5, size=(128, 128))
    assert FirstLook.from_json(json.loads(json.dumps(look.to_json()))) == look


@pytest.mark.parametrize(
    "content",
    [
        "null",
        "[]",
        "{}",
        '{"cues": {"beauty": [0, 1, 1]}}',
        '{"cues": {"node": [0, 0, 1]}}',
        '{"cues": {"node": [0, 1]}}',
        '{"cues": {"node": [0, 1, NaN]}}',
        '{"cues": {}, "least": 0}',
        '{"cues": {}, "size": [0, 128]}',
        '{"cues": {}, "colour": 3}',
    ],
)
def test_broken_weights_are_refused_in_one_message(content: str) -> None:
    with pytest.raises(InputError, match=r"weights of a first look in config\.json.*fit\.py"):
        FirstLook.from_json(json.loads(content), "config.json")
