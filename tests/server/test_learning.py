"""Learning over the server: what counts as finished, the switch, the exported model, another tab."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from mis_lightning.clicks.encoding import encode_points
from mis_lightning.learning import workbench
from mis_lightning.learning.learner import Learner
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Prompt

LOOK = FirstLook({"node": Weight(0.5, 0.2, 0.3)}, size=(32, 32), most=2)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks alone are learned, at once, without the patience that a user's machine needs."""
    monkeypatch.setattr(workbench, "_LOWEST", 0)
    monkeypatch.setattr(Learner, "_practise", lambda self, lesson: None)
    monkeypatch.setattr(Learner, "_gain", lambda self, lesson: 0.0)


def small() -> ClickModelSegmenter:
    torch.manual_seed(0)
    network = HybridClickViT((32, 32), (4, 4, 8), 8, 1, 2, 1, 2).eval()
    return ClickModelSegmenter(network, PredictionSettings(first_look=LOOK, flip=False))


class Discs(nn.Module):
    """Answers a disc around each click that adds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, image: torch.Tensor, prompt: Prompt) -> torch.Tensor:
        size = (image.shape[-2], image.shape[-1])
        return 10 * encode_points(prompt.points, size, 3.0)[:, :1] - 5 + self.weight


def discs() -> ClickModelSegmenter:
    return ClickModelSegmenter(Discs(), PredictionSettings((32, 32), first_look=LOOK, flip=False))


def learned(page) -> dict:
    """How far learning is, once nothing waits."""
    for _ in range(600):
        state = page.client.get("/api/learning").json()
        if not state["waiting"]:
            return state
        time.sleep(0.05)
    raise AssertionError("learning did not end")


def mask_something(page) -> None:
    """Make the active object one that has pixels, and clicks."""
    page.do("level", row=20, col=20, level=5)
    page.do("click", row=20, col=21, positive=True)


def test_objects_are_learned_when_the_user_turns_to_another_and_when_they_save(make_app, open_page) -> None:
    app = make_app(segmenter=discs(), learn=True)
    page = open_page(app)
    page.open()
    page.do("click", row=15, col=20, positive=True)
    assert learned(page)["objects"] == 0  # it is not finished
    page.do("objects", name=None)
    assert learned(page)["objects"] == 1
    page.do("click", row=45, col=60, positive=True)
    page.do("click", row=45, col=65, positive=True)
    page.do("save")
    state = learned(page)
    assert (state["objects"], state["clicks"], state["problem"]) == (2, [1, 2], "")
    page.do("save")
    assert learned(page)["objects"] == 2
    assert learned(open_page(app)) == state


def test_switch_reset_and_export(make_app, open_page, tmp_path: Path) -> None:
    page = open_page(make_app(segmenter=small()))
    page.open()
    assert page.client.get("/api/learning").json()["on"] is False
    refused = page.client.get("/api/learning/model")
    assert refused.status_code == 422
    assert "Nothing learned yet" in refused.json()["detail"]
    assert page.client.put("/api/learning", json={"on": True}).json()["on"] is True
    mask_something(page)
    page.do("save")
    assert learned(page)["objects"] == 1
    archive = zipfile.ZipFile(io.BytesIO(page.client.get("/api/learning/model").content))
    archive.extractall(tmp_path / "model")
    opened = open_segmenter(tmp_path / "model" / "learned")
    assert isinstance(opened, ClickModelSegmenter)
    assert opened.prediction.first_look is not None
    assert opened.prediction.first_look.sizes is not None
    again = open_page(make_app(segmenter=small()))  # another server of the same folder
    assert learned(again)["objects"] == 1
    assert learned(again)["on"] is True
    assert page.client.delete("/api/learning").json()["objects"] == 0
    assert page.client.put("/api/learning", json={"on": 1}).status_code == 422


def test_what_has_no_weights_does_not_learn(page) -> None:
    assert page.client.get("/api/learning").json()["can"] is False
    refused = page.client.put("/api/learning", json={"on": True})
    assert refused.status_code == 404
    assert "cannot learn" in refused.json()["detail"]
