"""The comparison of merge trees runs, on small grids, and writes what it prints."""

from __future__ import annotations

import json
from functools import partial

import pytest

from mis_lightning.bench import merging
from mis_lightning.errors import InputError

small = partial(merging.run, grids=((3, 4), (4, 5)), side=4, colour_grid=(3, 4), channels=8)


def test_main_prints_and_writes_each_comparison(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(merging, "run", small)
    monkeypatch.setattr(merging, "_sklearn", lambda features, grid: None)  # as if it were not installed
    assert merging.main(["--rounds", "1", "--json", str(tmp_path / "merging.json")]) == 0
    figures = json.loads((tmp_path / "merging.json").read_text(encoding="utf-8"))["figures"]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in printed if line[0] != " "] == [
        figure["what"] for figure in figures if figure["what"][0] != " "
    ]
    assert not any("scikit-learn" in line for line in printed)
    assert all(figure["value"] > 0 for figure in figures)


def test_peers_are_called_and_growth_is_a_ratio():
    figures = {figure.what: figure.value for figure in small(1)}
    ours, theirs = figures["grid, 4x5 patches, 8 channels"], figures["  scikit-learn"]
    assert figures["  times as fast as scikit-learn"] == pytest.approx(theirs / ours)
    assert figures["  times as fast as SciPy"] > 0
    growth = figures["grid, 8x8 patches, 8 channels"] / figures["grid, 4x4 patches, 8 channels"]
    assert figures["  growth with four times the patches"] == pytest.approx(growth)


def test_no_round():
    with pytest.raises(InputError, match="at least 1 round, but got 0"):
        merging.run(0)
