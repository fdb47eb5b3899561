"""All parts in one run: what they measured is gathered, and one that cannot run does not stop the others."""

from __future__ import annotations

import json

import pytest

from mis_lightning.bench import all as all_parts
from mis_lightning.bench.figure import Figure, to_json
from mis_lightning.commands import bench
from mis_lightning.errors import InputError


def test_every_part_is_listed():
    without_goals = {"proposals", "quality", "gpu", "alike", "campaign", "volume"}
    needs_a_rival = {"augment"}  # albumentations, which is no dependency
    assert {*all_parts.PARTS, *without_goals, *needs_a_rival, "all"} == set(bench.PARTS)


def test_parts_are_gathered_and_failures_are_told(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("MIS_DATA_DIR", raising=False)
    played = {
        "merging": [Figure("growth", 8.0, "x", 7.0), Figure("peer", 1.0, "ms")],
        "sampling": [Figure("load", 0.5, "ms", 1.0)],
    }

    def run_part(part, words):
        assert words == []
        return ({"figures": to_json(played[part])}, "") if part in played else (None, "no GrabCut")

    monkeypatch.setattr(all_parts, "run_part", run_part)
    only = ["--only", "merging", "sampling", "evaluate", "precompute"]
    assert all_parts.main([*only, "--json", str(tmp_path / "out.json")]) == 1
    printed = capsys.readouterr().out
    assert "goals: 1 of 2 reached" in printed
    assert "precompute: not run (no images: pass --images DIR" in printed
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [(goal["what"], goal["reached"]) for goal in content["goals"]] == [
        ("merging: growth", False),
        ("sampling: load", True),
    ]
    assert list(content["not_run"]) == ["evaluate", "precompute"]
    assert list(content["parts"]) == ["merging", "sampling"]


def test_a_part_runs_in_a_process_of_its_own():
    content, failure = all_parts.run_part("sampling", ["--side", "6", "--draws", "1", "--rounds", "1"])
    assert failure == ""
    assert content["settings"]["side"] == 6
    assert len(all_parts.figures_of(content)) == 7


def test_a_part_that_fails(capfd):
    content, failure = all_parts.run_part("memory", ["--images", "/nowhere", "--count", "0"])
    assert content is None
    assert "ended with status 2" in failure
    assert "at least 1" in capfd.readouterr().err


def test_goals_of_the_pipeline():
    (figure,) = all_parts.figures_of({"figures": {"CPU": {"ratio": 1.2}}})
    assert (figure.value, figure.reached) == (1.2, False)


def test_no_such_part():
    with pytest.raises(InputError, match="'nonsense'"):
        all_parts.main(["--only", "nonsense"])
