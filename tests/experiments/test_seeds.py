"""Mean and spread of a sweep's seeds."""

from __future__ import annotations

import importlib
import json

import pytest


@pytest.fixture
def seeds(scripts):
    return importlib.import_module("seeds")


def write(folder, name, noc):
    values = {"noc@85": noc, "noc@90": 2 * noc, "iou@1": 0.5, "iou@5": noc / 20, "iou@10": 0.9}
    path = folder / name / "evaluation" / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"benchmarks": {"GrabCut": {"values": values}}}), encoding="utf-8")


def test_mean_and_range_best_first(seeds, tmp_path, capsys):
    for seed, noc in enumerate((9.0, 7.0, 8.0)):
        write(tmp_path, f"{seed},nodes_alone", noc)
    write(tmp_path, "0,shipped", 5.5)
    (tmp_path / "1,shipped").mkdir()  # not finished
    assert seeds.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| GrabCut | seeds | NoC@85 | NoC@90 | IoU@1 | IoU@5 | IoU@10 |"
    assert lines[2] == "| shipped | 1 | 5.50 | 11.00 | 0.500 | 0.275 | 0.900 |"
    nodes = "| nodes alone | 3 | 8.00 (7.00 to 9.00) | 16.00 (14.00 to 18.00) | 0.500 (0.500 to 0.500) |"
    assert lines[3] == f"{nodes} 0.400 (0.350 to 0.450) | 0.900 (0.900 to 0.900) |"


def test_nothing_finished_is_said(seeds, tmp_path, capsys):
    assert seeds.main([str(tmp_path)]) == 1
    assert "No point" in capsys.readouterr().out
