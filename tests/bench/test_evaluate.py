"""The bench of evaluation runs, on few objects and clicks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from mis_lightning.bench import evaluate
from mis_lightning.errors import InputError
from mis_lightning.models.click_hybrid import HybridClickViT


def test_it_prints_and_writes_its_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MIS_DATA_DIR", raising=False)
    monkeypatch.setattr(evaluate, "PHOTOGRAPH", (60, 80))
    threads = torch.get_num_threads()
    sizes = ["--objects", "2", "--clicks", "2", "--batch", "2", "--side", "64", "--answer", "64"]
    file = tmp_path / "out.json"
    assert evaluate.main([*sizes, "--rounds", "1", "--threads", "1", "--json", str(file)]) == 0
    assert torch.get_num_threads() == threads
    content = json.loads(file.read_text(encoding="utf-8"))
    figures = {figure["what"].strip(): figure for figure in content["figures"]}
    assert "2 objects of bundled" in capsys.readouterr().out
    ratio = figures["an object, one by one"]["value"] / figures["an object, 2 together"]["value"]
    assert figures["2 together against one by one"]["value"] == pytest.approx(ratio)
    assert figures["objects with the same clicks either way"]["value"] == 1
    assert figures["largest difference of an IoU among them"]["value"] < 1e-3
    assert figures["a click but for the model, 80x60 pixels"]["goal"] == 10.0


def test_the_ways_to_choose_a_click_agree():
    first, second = (sample.mask for sample, _ in zip(evaluate.scenes(), range(2), strict=False))
    click = evaluate.next_click(first, second)
    for depth in (evaluate._opencv, evaluate._scipy):
        assert evaluate._deepest(depth, first, second) == (click.positive, click.row * 500 + click.col)


def test_the_small_preset_is_that_of_the_config():
    settings = yaml.safe_load(Path("configs/cpu.yaml").read_text(encoding="utf-8"))["model"]["model"]
    assert settings["class_path"] == f"{HybridClickViT.__module__}.HybridClickViT"
    assert settings["init_args"].pop("input_size") == [128, 128]
    assert settings["init_args"] == {**evaluate.SMALL, "dims": list(evaluate.SMALL["dims"])}


def test_bad_options():
    with pytest.raises(InputError, match="--clicks of at least 1"):
        evaluate.main(["--clicks", "0"])
