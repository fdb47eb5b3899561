"""Rules of the published code that no other file tests on their own (docs/parity.md lists all)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

import mis_lightning
from mis_lightning.evaluation.simulation import EvaluationSettings
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.zoom_in import ZoomIn, candidate_roi, full_roi
from mis_lightning.structures import Click


def test_the_published_settings_are_the_defaults() -> None:
    settings, prediction = EvaluationSettings(), PredictionSettings()
    assert (settings.max_clicks, settings.target_iou, settings.min_clicks) == (20, 0.9, 1)
    assert prediction.threshold == 0.5
    assert prediction.flip
    assert prediction.zoom_in == ZoomIn(expansion=1.4, min_size=200, recompute_iou=0.5, threshold=0.5)


def test_thresholds_are_two() -> None:
    """Where the mask is cut at 0.49, zoom-in still looks for probabilities above 0.5."""
    settings = PredictionSettings(threshold=0.49)
    assert settings.zoom_in is not None
    between = torch.full((300, 300), 0.495)
    assert candidate_roi(between, [], (300, 300), settings.zoom_in) == full_roi((300, 300))
    assert bool((between > settings.threshold).all())


class Remembers:
    """A click model that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, image, prompt):
        self.asked.append((image.clone(), prompt.points.clone()))
        logits = torch.full_like(prompt.previous_mask, -5.0)
        logits[..., :8] = 5.0
        return logits


def test_a_mirrored_click_goes_to_w_minus_c_minus_1() -> None:
    model, size = Remembers(), (16, 24)
    state = ClickModelSegmenter(model).begin(np.zeros((40, 60, 3), np.uint8))
    ClickModelSegmenter(model, PredictionSettings(size)).click(
        [state], [[Click(10, 50, True), Click(5, 0, False)]]
    )
    ((_, points),) = model.asked
    straight, mirrored = points  # positive row, negative row
    assert straight[:, :2].tolist() == [[16 * 10 / 40, 24 * 50 / 60], [16 * 5 / 40, 0]]
    assert mirrored[:, :2].tolist() == [[4, 24 - 20 - 1], [2, 24 - 0 - 1]]


def test_crops_are_stretched_to_the_network() -> None:
    """A wide crop and a high one both fill the square: the aspect ratio is not kept."""
    for shape in ((40, 200), (200, 40)):
        rows, cols = np.mgrid[: shape[0], : shape[1]]
        image = np.stack([rows, cols, rows * 0], axis=-1).astype(np.uint8)
        model = Remembers()
        state = ClickModelSegmenter(model).begin(image)
        ClickModelSegmenter(model, PredictionSettings((32, 32), flip=False)).click(
            [state], [[Click(5, 5, True)]]
        )
        seen = (model.asked[0][0][0] * 255).round()
        assert seen.shape == (3, 32, 32)
        assert [seen[0, -1, 0], seen[1, 0, -1]] == [
            shape[0] - 1,
            shape[1] - 1,
        ]  # corner to corner on both axes


def test_no_removed_names_of_numpy() -> None:
    for path in Path(mis_lightning.__file__).parent.rglob("*.py"):
        assert not re.search(r"\bnp\.(int|float|bool|object)\b(?!_)", path.read_text(encoding="utf-8")), path
