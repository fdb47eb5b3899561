"""The halves of the sets share no image, and the table says what the sessions did."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture
def folder(scripts, monkeypatch):
    monkeypatch.syspath_prepend(scripts / "refinement")


def test_no_image_is_in_both_halves(folder):
    sets = importlib.import_module("sets")
    halves = [
        {s.name.split("#")[0] for s in sets.samples("bundled", half)} for half in ("development", "report")
    ]
    assert len(halves[0]) == 4
    assert len(halves[1]) == 3
    assert not halves[0] & halves[1]
    with pytest.raises(ValueError, match="not in"):
        next(sets.samples("bundled", "test"))


def test_the_table_by_hand(folder):
    sessions = importlib.import_module("sessions")
    ious = [0.5, 0.4, *[0.86] * 17, 0.859]
    slow = {"name": "a", "ious": ious, "far": [None, 0.5, *[None] * 18], "ms": 50.0}
    fast = {"name": "a", "ious": [0.95] * 20, "far": [None, 0.25, *[None] * 18], "ms": 60.0}
    first, second = sessions.table({"plain": [slow, slow], "better": [fast, fast]}).splitlines()
    assert "NoC@80/85/90  3.00 /  3.00 / 20.00  never  2" in first
    assert "regressions 2.00 (above 0.002: 1.00)  far 0.500  ms 50" in first
    assert "regressions 0.00 (above 0.002: 0.00)  far 0.250  ms 60" in second
    assert "@85 -2.00 [-2.00, -2.00], @90 -19.00 [-19.00, -19.00]" in second
