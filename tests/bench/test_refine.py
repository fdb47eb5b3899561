"""The bench of sharpening runs."""

from __future__ import annotations

import json

import pytest

from mis_lightning.bench.refine import main
from mis_lightning.errors import InputError


def test_it_prints_and_writes_its_figures(tmp_path, capsys):
    file = tmp_path / "out.json"
    assert main(["--side", "24", "--rounds", "1", "--json", str(file)]) == 0
    figures = json.loads(file.read_text(encoding="utf-8"))["figures"]
    assert len(figures) == len(capsys.readouterr().out.splitlines()) == 10
    assert [figure["goal"] for figure in figures] == [
        *(3.0, None, 30.0, None, None, None),
        *(200.0, None, None, None),
    ]
    assert all(figure["value"] > 0 for figure in figures)


def test_bad_options():
    with pytest.raises(InputError, match="--side of at least 8"):
        main(["--side", "4"])
