"""The comparison of merge trees runs, on small grids, and writes what it prints."""

from __future__ import annotations

import json
from functools import partial

import pytest

from mis_lightning.bench import merging
from mis_lightning.errors import InputError

small = partial(
    merging.run, grids=((3, 4),), sides=(4, 6), colour_grid=(3, 4), sampled_grid=(5, 5), channels=8
)


def test_main_prints_and_writes_each_comparison(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(merging, "run", small)
    monkeypatch.setattr(merging, "_sklearn", lambda features, grid: None)
    assert merging.main(["--rounds", "1", "--json", str(tmp_path / "merging.json")]) == 0
    rows = json.loads((tmp_path / "merging.json").read_text())
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + len(rows)
    for row, line in zip(rows, printed[1:], strict=True):
        assert line.startswith(row["task"])
        assert row["ms"] > 0
    assert printed[1].endswith("not installed")
    assert [row["ratio"] is None for row in rows] == [True, False, False, False, False]


def test_peers_are_called():
    rows = small(1)
    assert [row["against"] for row in rows[:2]] == ["sklearn", "scipy"]
    assert all(row["ratio"] == pytest.approx(row["against_ms"] / row["ms"]) for row in rows)


def test_no_round():
    with pytest.raises(InputError, match="at least 1 round, but got 0"):
        merging.run(0)
