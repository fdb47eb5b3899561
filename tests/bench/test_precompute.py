"""The bench of the pipeline runs, on few images, and writes what it prints."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mis_lightning.bench.precompute import PlayedAccelerator
from mis_lightning.cli import main


def test_every_arrangement_is_timed(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 48, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    options = ["--images", str(tmp_path / "images"), "--count", "2", "--repeats", "1", "--played", "0.01"]
    assert main(["bench", "precompute", *options, "--json", str(tmp_path / "out.json")]) == 0
    assert "2 images, 2 workers" in capsys.readouterr().out
    figures = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["figures"]
    assert list(figures) == ["colour and texture, CPU", "played accelerator, 10 ms"]
    for cost in figures.values():
        assert cost["bound"] == max(cost["find"] / 2, cost["extract"])
        assert cost["ratio"] == pytest.approx(cost["pipeline"] / cost["bound"])
    assert figures["played accelerator, 10 ms"]["extract"] > 0.02  # two images


def test_the_played_accelerator_gives_what_a_vit_gives():
    features, grid = PlayedAccelerator(0.0)(np.zeros((10, 10, 3), np.uint8))
    assert (features.shape, features.dtype, grid) == ((47 * 63, 384), np.float32, (47, 63))


def test_bad_options(tmp_path, capsys):
    assert main(["bench", "precompute", "--images", str(tmp_path), "--workers", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
