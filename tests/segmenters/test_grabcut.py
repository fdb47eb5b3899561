"""The GrabCut baseline on images it must solve, its determinism, and one real image where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.segmenters.grabcut import GrabCutSegmenter
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.structures import Sample


def scene() -> Sample:
    """A red disk on green, both noisy."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:60, :80]
    mask = (rows - 30) ** 2 + (cols - 35) ** 2 < 300
    image = np.where(mask[..., None], (200, 60, 40), (40, 160, 60)) + rng.integers(-20, 21, (60, 80, 3))
    return Sample(image.astype(np.uint8), mask, None, "disk")


def test_one_click_finds_a_disk_of_its_own_colour() -> None:
    session = simulate_session(GrabCutSegmenter(), scene(), EvaluationSettings())
    assert len(session.clicks) == 1
    assert session.ious[0] > 0.95


def test_clicks_are_certain_and_later_ones_cover_earlier_ones() -> None:
    predictor, sample = ClickPredictor(GrabCutSegmenter(click_radius=2)), scene()
    predictor.set_image(sample.image)
    first = predictor.click(30, 35)
    assert first.dtype == np.float32
    assert set(np.unique(first)) == {0, 1}
    without = predictor.click(30, 45, positive=False)
    assert without[30, 45] == without[28, 45] == 0
    assert without[30, 35] == 1
    assert predictor.click(30, 45)[30, 45] == 1
    assert predictor.click(5, 5)[3:8, 5].all()  # against the colours


def test_the_same_clicks_give_the_same_mask() -> None:
    sample, answers = scene(), []
    for _ in range(2):
        predictor = ClickPredictor(GrabCutSegmenter())
        predictor.set_image(sample.image)
        predictor.click(30, 35)
        answers.append(predictor.click(5, 70, positive=False))
    np.testing.assert_array_equal(*answers)


def test_setting_an_image_forgets_the_clicks() -> None:
    predictor, sample = ClickPredictor(GrabCutSegmenter()), scene()
    predictor.set_image(sample.image)
    expected = predictor.click(30, 35)
    predictor.click(5, 5)
    predictor.set_image(sample.image)
    np.testing.assert_array_equal(predictor.click(30, 35), expected)


def test_a_model_without_pixels_is_no_crash() -> None:
    predictor = ClickPredictor(GrabCutSegmenter())
    predictor.set_image(scene().image)
    assert not predictor.click(30, 35, positive=False).any()
    predictor.set_image(np.zeros((5, 5, 3), np.uint8))
    assert predictor.click(2, 2).all()  # the disk covers the image
    point = ClickPredictor(GrabCutSegmenter(click_radius=0, prior_radius=0.01))
    point.set_image(scene().image)
    assert point.click(30, 35).sum() == 1  # too few pixels for the five colours that OpenCV learns
    predictor.set_image(np.zeros((60, 60, 3), np.uint8))  # one colour: singular models
    assert predictor.click(30, 30).shape == (60, 60)


def test_refusals() -> None:
    predictor = ClickPredictor(GrabCutSegmenter())
    with pytest.raises(InputError, match="set_image"):
        predictor.click(1, 1)
    with pytest.raises(InputError, match="RGB image"):
        predictor.segmenter.begin(np.zeros((4, 4), np.uint8))
    predictor.set_image(scene().image)
    with pytest.raises(InputError, match="on the image"):
        predictor.click(float("nan"), 1)
    for bad in ({"click_radius": -1}, {"prior_radius": 0.0}, {"iterations": 0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            GrabCutSegmenter(**bad)


@pytest.mark.skipif("MIS_DATA_DIR" not in os.environ, reason="MIS_DATA_DIR (holds GrabCut/) is not set")
def test_on_a_real_image() -> None:
    folder = Path(os.environ["MIS_DATA_DIR"]) / "GrabCut"
    image = np.array(Image.open(folder / "data_GT/llama.bmp").convert("RGB"))
    labels = np.array(Image.open(folder / "boundary_GT/llama.bmp").convert("L"))
    sample = Sample(image, labels > 128, labels == 128, "llama")
    session = simulate_session(GrabCutSegmenter(), sample, EvaluationSettings(max_clicks=4, target_iou=None))
    assert session.ious[-1] > session.ious[0]
    assert session.ious[-1] > 0.7
