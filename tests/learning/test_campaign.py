"""A campaign goes on where it stopped, as if it had not, and learns from accepted masks alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings
from mis_lightning.learning.campaign import WAYS, read_campaign, work_through
from mis_lightning.learning.learner import Learner
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Click, Prompt, Sample

LOOK = FirstLook({"node": Weight(0.5, 0.2, 0.3)}, size=(32, 32), most=2)
LEARNING = replace(WAYS["learning"], size=(32, 32), steps=1, batch=2, rounds=0, photographs=0)


class Brightness(nn.Module):
    """Answers what is bright; what that means can be learned."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.4))

    def forward(self, image: torch.Tensor, prompt: Prompt) -> torch.Tensor:
        return 20 * (image.mean(dim=1, keepdim=True) - self.level)


def segmenter() -> ClickModelSegmenter:
    return ClickModelSegmenter(Brightness(), PredictionSettings((32, 32), first_look=LOOK, flip=False))


def samples(count: int, dark: int | None = None) -> list[Sample]:
    """Bright squares; that of the number ``dark`` is not bright, and is never found."""
    made = []
    for number in range(count):
        mask = np.zeros((64, 64), np.bool_)
        mask[10 + number : 40, 20:50] = True
        image = np.where(mask, 30 if number == dark else 220, 20).astype(np.uint8)
        made.append(Sample(np.repeat(image[:, :, None], 3, axis=2), mask, None, f"object {number}"))
    return made


def test_a_stopped_campaign_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = list(work_through(segmenter(), samples(4), LEARNING, tmp_path / "whole.jsonl"))
    first = work_through(segmenter(), samples(4), LEARNING, tmp_path / "parts.jsonl")
    begun = [next(first), next(first)]
    first.close()
    parts = list(work_through(segmenter(), samples(4), LEARNING, tmp_path / "parts.jsonl"))
    assert parts[:2] == begun
    assert [replace(one, seconds=0, learning_seconds=0) for one in parts] == [
        replace(one, seconds=0, learning_seconds=0) for one in whole
    ]
    assert read_campaign(tmp_path / "parts.jsonl") == parts
    assert [one.name for one in parts] == [f"object {number}" for number in range(4)]
    assert all(one.reached for one in parts)


def test_what_is_not_good_enough_is_not_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[tuple[int, list[Click]]] = []
    monkeypatch.setattr(
        Learner, "accept", lambda self, image, mask, clicks: learned.append((int(mask.sum()), clicks))
    )
    stop = EvaluationSettings(max_clicks=2, target_iou=0.85)
    done = list(work_through(segmenter(), samples(3, dark=1), LEARNING, tmp_path / "x.jsonl", stop))
    assert [one.reached for one in done] == [True, False, True]
    assert [one.clicks for one in done] == [1, 2, 1]
    assert len(learned) == 2
    assert learned[0][1] == [Click(*done[0].positions[0])]


def test_frozen_learns_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Learner, "__init__", lambda *_: pytest.fail("a learner was made"))
    done = list(work_through(segmenter(), samples(2), WAYS["frozen"], tmp_path / "x.jsonl"))
    assert [one.taken for one in done] == [False, False]


def test_lines_of_another_campaign_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    list(work_through(segmenter(), samples(1), WAYS["frozen"], file))
    other = [replace(samples(1)[0], name="another")]
    with pytest.raises(InputError, match="belongs to another campaign"):
        list(work_through(segmenter(), other, WAYS["frozen"], file))
    file.write_text("{}\n", encoding="utf-8")
    with pytest.raises(InputError, match="Expected lines of a campaign"):
        read_campaign(file)


def test_a_line_that_was_cut_off_is_worked_again(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    whole = list(work_through(segmenter(), samples(2), WAYS["frozen"], file))
    text = file.read_text(encoding="utf-8")
    file.write_text(text[:-20], encoding="utf-8")
    again = list(work_through(segmenter(), samples(2), WAYS["frozen"], file))
    assert [one.ious for one in again] == [one.ious for one in whole]
    assert len([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]) == 2
