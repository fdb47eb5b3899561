"""`mis bench proposals` runs on two images and writes what it prints."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from mis_lightning.cli import main
from mis_lightning.commands.region_speed import WAYS


def test_every_way_is_timed(tmp_path, capsys):
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (96, 128, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    words = ["bench", "proposals", "--images", str(tmp_path), "--repeats", "1"]
    assert main([*words, "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "36.95" in printed
    record = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert set(record["images_per_second"]) == set(WAYS)
    assert all(rate > 0 for rates in record["images_per_second"].values() for rate in rates.values())
    assert main([*words, "--count", "0"]) == 2
    assert main([*words, "--vit", "--strides", "12"]) == 2
