"""The bench of start-up runs."""

from __future__ import annotations

import json

import pytest

from mis_lightning.bench import startup
from mis_lightning.errors import InputError


def test_it_prints_and_writes_its_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(startup, "THEIRS", "import time; print(time.time())")  # scikit-learn takes its time
    file = tmp_path / "out.json"
    assert startup.main(["--rounds", "1", "--grid", "3", "4", "--json", str(file)]) == 0
    figures = {
        figure["what"].strip(): figure["value"]
        for figure in json.loads(file.read_text(encoding="utf-8"))["figures"]
    }
    assert (
        0
        < figures["python that does nothing"]
        < figures["from the start of a process to a merge tree of 3x4 patches"]
    )
    assert figures["mis --help"] > 0
    assert figures["the same with scikit-learn"] > 0


def test_bad_options():
    with pytest.raises(InputError, match="at least 1"):
        startup.main(["--rounds", "0"])
