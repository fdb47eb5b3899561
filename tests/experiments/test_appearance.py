"""The measurement of looks: each object is asked before it is learned, and fails count one click more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Prompt, Sample

FOLDER = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("refinement", "appearance"):
        monkeypatch.syspath_prepend(str(FOLDER / name))
    for name in ("measure", "sets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import measure

    return measure


def undecided(image: torch.Tensor, prompt: Prompt) -> torch.Tensor:
    return torch.full_like(prompt.previous_mask, 0.1)


def disc(number: int) -> Sample:
    """A red disc in grey noise, somewhere."""
    generator = np.random.default_rng(number)
    row, col = generator.integers(25, 55, 2)
    rows, cols = np.mgrid[:80, :80]
    mask = np.hypot(rows - row, cols - col) < 16
    image = np.repeat(generator.integers(80, 120, (80, 80, 1)), 3, axis=2).astype(np.uint8)
    image[mask, 0] += 100
    return Sample(image, mask, None, f"disc {number}")


def test_what_is_learned_helps_the_objects_after_it(measure: Any) -> None:
    segmenter = ClickModelSegmenter(undecided, PredictionSettings((80, 80), None, False))
    pairs = list(measure.asked_twice(segmenter, [disc(number) for number in range(4)]))
    for without, _ in pairs:
        assert without[:3] == [11, 11, 11]  # it says everything belongs
    assert pairs[0][0] == pairs[0][1]
    assert pairs[-1][1][2] == 1
    assert pairs[-1][1][3] > 0.9


def test_interval(measure: Any) -> None:
    assert measure.interval(np.full(5, -0.25)) == "-0.25 [-0.25, -0.25]"
