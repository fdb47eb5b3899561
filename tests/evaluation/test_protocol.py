"""The whole protocol against the second, slow implementation of slow_protocol.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_sessions
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.zoom_in import ZoomIn
from mis_lightning.structures import Prompt, Sample

_spec = importlib.util.spec_from_file_location("slow_protocol", Path(__file__).with_name("slow_protocol.py"))
slow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(slow)


class RandomModel(nn.Module):
    """Convolutions of random weights over image, previous mask and soft bumps at the clicks."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Conv2d(6, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 1, 5, padding=2))

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        rows = torch.arange(image.shape[-2])[:, None]
        cols = torch.arange(image.shape[-1])
        maps = []
        for half in prompt.points.chunk(2, dim=1):
            distance = (rows - half[..., 0, None, None]) ** 2 + (cols - half[..., 1, None, None]) ** 2
            maps.append((torch.exp(-distance / 60) * (half[..., 2, None, None] >= 0)).sum(1, keepdim=True))
        positive, negative = maps
        return (
            self.layers(torch.cat([image, prompt.previous_mask, *maps], 1).float())
            + 5 * positive
            - 5 * negative
            - 0.5
        )


def scene(seed: int) -> Sample:
    """An ellipse, brighter than its surroundings, with a band of ignored pixels around it."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(24, 44)), int(rng.integers(24, 44)))
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    centre, axes = rng.uniform(8, 22, 2), rng.uniform(4, 12, 2)
    distance = ((rows - centre[0]) / axes[0]) ** 2 + ((cols - centre[1]) / axes[1]) ** 2
    image = rng.integers(0, 120, (*shape, 3)) + 120 * (distance < 1)[..., None]
    ignore = (distance > 0.9) & (distance < 1.1) if seed % 2 else None
    return Sample(image.astype(np.uint8), distance < 1, ignore, f"scene {seed}")


@pytest.mark.parametrize("target", [0.8, None])
def test_same_clicks_and_ious_as_the_slow_implementation(target) -> None:
    least = 12  # small crops in small images, so that zooming in happens
    settings = EvaluationSettings(max_clicks=7, target_iou=target)
    prediction = PredictionSettings(size=(32, 40), zoom_in=ZoomIn(min_size=least), threshold=0.49)
    model = RandomModel(0).eval()
    samples = [scene(seed) for seed in range(5)]
    expected = [slow.reference_session(model, sample, settings, prediction, least) for sample in samples]
    for batch_size in (1, 4):
        sessions = list(
            simulate_sessions(ClickModelSegmenter(model, prediction), samples, settings, batch_size)
        )
        for session, (clicks, ious) in zip(sessions, expected, strict=True):
            assert list(session.clicks) == clicks
            np.testing.assert_allclose(session.ious, ious, atol=1e-5)
    assert target is None or len({len(clicks) for clicks, _ in expected}) > 1  # some stop early
