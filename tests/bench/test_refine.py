"""The bench of sharpening runs, and what it times obeys clicks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mis_lightning.bench.merging import smooth_features
from mis_lightning.bench.refine import main, sharpen
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.structures import Click


def test_it_prints_and_writes_its_figures(tmp_path, capsys):
    file = tmp_path / "out.json"
    assert main(["--side", "24", "--rounds", "1", "--json", str(file)]) == 0
    figures = json.loads(file.read_text(encoding="utf-8"))["figures"]
    assert len(figures) == len(capsys.readouterr().out.splitlines()) == 6
    assert [figure["goal"] for figure in figures] == [3.0, None, 30.0, None, None, None]
    assert all(figure["value"] > 0 for figure in figures)


def test_what_is_timed_obeys_contradicting_clicks():
    tree = build_merge_tree(smooth_features((32, 32), 6), (32, 32))
    logits = np.random.default_rng(0).normal(0, 3, (20, 20)).astype(np.float32)
    clicks = [Click(3, 4, True), Click(3, 5, False), Click(20, 20, True), Click(20, 20, False)]
    mask = sharpen(tree, logits, clicks)
    assert [mask[3, 4], mask[3, 5], mask[20, 20]] == [True, False, False]


def test_bad_options():
    with pytest.raises(InputError, match="--side of at least 8"):
        main(["--side", "4"])
