"""The verb: each format is written where it was asked for, and a wrong word gets one message."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mis_lightning.cli import main
from mis_lightning.models.pretrained import load_pretrained, save_pretrained


@pytest.fixture
def folder(tiny_click_vit, tmp_path: Path) -> Path:
    return save_pretrained(tiny_click_vit(), tmp_path / "model")


def test_safetensors(folder: Path, tmp_path: Path) -> None:
    assert main(["export", str(folder), "--format", "safetensors", "--out", str(tmp_path / "copy")]) == 0
    one, other = load_pretrained(folder).state_dict(), load_pretrained(tmp_path / "copy").state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_torchscript(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "model.pt"
    assert main(["export", str(folder), "--format", "torchscript", "--out", str(out)]) == 0
    assert out.is_file()
    text = capsys.readouterr().out
    assert "image (B, 3, 32, 48)" in text
    assert "largest difference from PyTorch on random inputs: 0.0e+00" in text


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--format", "torchscript", "--opset", "18"], "--opset with --format onnx only"),
        (["--format", "onnx", "--opset", "5"], "`opset` from 18"),
        (["--format", "onnx"], "ends in .onnx"),
        (["--format", "pt2"], "ends in .pt2"),
    ],
)
def test_mistakes(folder: Path, tmp_path: Path, capsys, words, named) -> None:
    assert main(["export", str(folder), *words, "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mis export: ")
    assert named in err
    assert len(err.splitlines()) == 1


def test_no_such_model(tmp_path: Path, capsys) -> None:
    out = str(tmp_path / "model.onnx")
    assert main(["export", str(tmp_path / "nowhere"), "--format", "onnx", "--out", out]) == 2
    assert "nothing at" in capsys.readouterr().err
