"""DAVIS is shown to networks of 448 pixels at 672. Rule: docs/protocol.md#zoom-in."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mis_lightning.commands import compare
from mis_lightning.data.benchmarks import DAVIS, GrabCut
from mis_lightning.evaluation import simulation
from mis_lightning.evaluation.published_size import at_published_size
from mis_lightning.models.pretrained import save_pretrained
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.grabcut import GrabCutSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.refinement import Refinement

LARGE = (672, 672)


@pytest.fixture
def davis(tmp_path) -> DAVIS:
    """One frame in the layout of the archive."""
    for folder, content in (("img", np.zeros((20, 30, 3))), ("gt", np.full((20, 30, 3), 255))):
        (tmp_path / "DAVIS" / folder).mkdir(parents=True)
        Image.fromarray(content.astype(np.uint8)).save(tmp_path / "DAVIS" / folder / "000.png")
    return DAVIS(tmp_path / "DAVIS", allow_incomplete=True)


def test_davis_alone_and_networks_of_448_alone(davis, tiny_click_vit) -> None:
    network = ClickModelSegmenter(tiny_click_vit(input_size=(448, 448)))
    asked = at_published_size(network, davis)
    assert isinstance(asked, ClickModelSegmenter)
    assert asked.prediction == PredictionSettings(size=LARGE)
    assert at_published_size(asked, davis) is asked
    others = [
        ClickModelSegmenter(tiny_click_vit(input_size=(32, 32))),
        ClickModelSegmenter(network.model, PredictionSettings(refinement=Refinement())),  # its own way
        GrabCutSegmenter(),
    ]
    assert all(at_published_size(one, davis) is one for one in others)
    assert GrabCut.published_size is None


def test_compare_asks_so(davis, tiny_click_vit, tmp_path, monkeypatch) -> None:
    save_pretrained(tiny_click_vit(input_size=(448, 448)), tmp_path / "model")
    few = simulation.EvaluationSettings(max_clicks=1, target_iou=None)
    monkeypatch.setattr(compare, "EvaluationSettings", lambda **_: few)
    words = ["--benchmark", "DAVIS", "--root", str(davis.folder), "--incomplete"]
    assert compare.main([str(tmp_path / "model"), *words, "--folder", str(tmp_path / "out")]) == 0
    (file,) = (tmp_path / "out").rglob("results.json")
    settings = json.loads(file.read_text(encoding="utf-8"))["settings"]
    assert settings["evaluation"]["size"] == list(LARGE)
