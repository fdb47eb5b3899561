"""Table, JSON and CSV from sessions made by hand; bootstrap against a closed form."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.metrics.curves import read_curves
from mis_lightning.metrics.provenance import provenance
from mis_lightning.metrics.report import (
    FEEL_COLUMNS,
    bootstrap_intervals,
    format_table,
    summarise_sessions,
    write_report,
)
from mis_lightning.structures import Click


@dataclass(frozen=True)
class Record:
    name: str
    ious: np.ndarray
    clicks: tuple[Click, ...]
    seconds: float
    model_seconds: float
    far: np.ndarray | None = None


def record(name: str, *ious: float, seconds: float = 1.0) -> Record:
    clicks = tuple(Click(3 + k, 4, k % 2 == 0) for k in range(len(ious)))
    return Record(name, np.array(ious, dtype=np.float32), clicks, seconds, seconds / 2)


GRABCUT = [
    record("a", 0.53, 0.82, 0.875, 0.95, seconds=2.0),
    record("b", 0.95, seconds=0.5),
    record("c", *[0.75] * 20, seconds=5.0),
    record("d", *[0.25] * 19, 0.92, seconds=5.0),
]


def test_row_by_hand() -> None:
    row = summarise_sessions("GrabCut", GRABCUT, np.random.default_rng(0))
    assert row.values["n"] == 4
    assert row.values["noc@80"] == (2 + 1 + 20 + 20) / 4
    assert row.values["noc@85"] == (3 + 1 + 20 + 20) / 4
    assert row.values["noc@90"] == (4 + 1 + 20 + 20) / 4
    assert row.values["failures@85"] == row.values["failures@90"] == 2  # d succeeds at the last click
    assert row.values["spc"] == 12.5 / 45
    assert row.values["model_spc"] == 6.25 / 45
    assert row.values["iou@1"] == pytest.approx((0.53 + 0.95 + 0.75 + 0.25) / 4)
    assert "iou@5" not in row.values
    for key in ("noc@80", "noc@85", "noc@90", "iou@1"):
        low, high = row.intervals[key]
        assert low <= row.values[key] <= high


def test_how_the_clicks_feel_by_hand() -> None:
    nan = math.nan
    sessions = [
        Record(
            "a", np.float32([0.5, 0.75, 0.5]), GRABCUT[0].clicks[:3], 1.0, 1.0, np.float32([1, 0.25, nan])
        ),
        Record(
            "b", np.float32([0.5, 0.25, 0.125]), GRABCUT[0].clicks[:3], 1.0, 1.0, np.float32([nan, 0.5, 0.75])
        ),
    ]
    row = summarise_sessions("GrabCut", sessions, np.random.default_rng(0))
    assert row.values["regressions"] == 1.5
    assert row.values["far"] == 0.5  # the first clicks apart
    table = format_table([row], columns={"n": "n", **FEEL_COLUMNS})
    assert table.splitlines() == ["benchmark  n  regressions    far", "GrabCut    2         1.50  0.500"]
    assert "far" not in summarise_sessions("GrabCut", GRABCUT, np.random.default_rng(0)).values


def test_table() -> None:
    rows = [
        summarise_sessions("GrabCut", GRABCUT, np.random.default_rng(0)),
        summarise_sessions("DAVIS", [record("x", *[0.5] * 10)], np.random.default_rng(0)),
    ]
    assert format_table(rows).splitlines() == [
        "benchmark  n  NoC@80  NoC@85  NoC@90  ≥20@85  ≥20@90    SPC  IoU@1  IoU@5  IoU@10",
        "GrabCut    4   10.75   11.00   11.25       2       2  0.278  0.620      -       -",
        "DAVIS      1   20.00   20.00   20.00       1       1  0.100  0.500  0.500   0.500",
    ]
    markdown = format_table(rows, "markdown", with_intervals=True).splitlines()
    assert len(markdown) == 4
    assert len({len(line) for line in markdown}) == 1
    assert all(line.count("|") == 12 for line in markdown)
    low, high = rows[0].intervals["noc@90"]
    assert f"11.25 ({low:.2f}-{high:.2f})" in markdown[2]
    assert "20.00 (20.00-20.00)" in markdown[3]


def test_table_marks_what_is_not_comparable() -> None:
    own = replace(summarise_sessions("own", GRABCUT, np.random.default_rng(0)), comparable=False)
    rows = [summarise_sessions("GrabCut", GRABCUT, np.random.default_rng(0)), own]
    lines = format_table(rows).splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        *("benchmark", "GrabCut", "own *", ""),
        "* not comparable with published figures",
    ]
    markdown = format_table(rows, "markdown").splitlines()
    assert markdown[3].startswith(r"| own \*")
    assert markdown[4:] == ["", r"\* not comparable with published figures"]


def test_table_names_the_budget() -> None:
    row = summarise_sessions("GrabCut", GRABCUT, np.random.default_rng(0), max_clicks=5)
    assert "≥5@85" in format_table([row])
    assert row.values["noc@90"] == (4 + 1 + 5 + 5) / 4
    with pytest.raises(InputError, match="budget"):
        format_table([row, summarise_sessions("DAVIS", GRABCUT, np.random.default_rng(0))])


def test_bootstrap_is_seeded_and_close_to_the_normal_interval() -> None:
    sample = np.random.default_rng(1).normal(5.0, 2.0, 400)
    low, high = bootstrap_intervals({"x": sample}, np.random.default_rng(2))["x"]
    half = 1.96 * sample.std() / math.sqrt(400)
    assert low == pytest.approx(sample.mean() - half, abs=0.03)
    assert high == pytest.approx(sample.mean() + half, abs=0.03)
    assert bootstrap_intervals({"x": sample}, np.random.default_rng(2))["x"] == (low, high)
    assert bootstrap_intervals({"x": sample}, np.random.default_rng(3))["x"] != (low, high)
    narrow = bootstrap_intervals({"x": sample}, np.random.default_rng(2), level=0.5)["x"]
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_leaves_nan_out() -> None:
    known = np.array([1.0, 2.0, 3.0, np.nan])
    result = bootstrap_intervals({"some": known, "none": np.full(4, np.nan)}, np.random.default_rng(0))
    assert 1 <= result["some"][0] <= result["some"][1] <= 3
    assert np.isnan(result["none"]).all()
    assert np.isnan(bootstrap_intervals({"x": np.zeros(0)}, np.random.default_rng(0))["x"]).all()
    assert bootstrap_intervals({}, np.random.default_rng(0)) == {}


@pytest.mark.parametrize(
    "arguments", [{"resamples": 0}, {"level": 1.0}, {"samples": {"x": np.zeros(3), "y": np.zeros(4)}}]
)
def test_bootstrap_refuses(arguments) -> None:
    with pytest.raises(InputError, match="one length"):
        bootstrap_intervals(
            **{"samples": {"x": np.zeros(3)}, "generator": np.random.default_rng(0), **arguments}
        )


def test_written_files(tmp_path) -> None:
    @dataclass(frozen=True)
    class Settings:
        weights: Path
        size: tuple[int, int]
        zoom_in: Settings | None = None

    settings = {
        "evaluation": Settings(Path("weights.ckpt"), (448, 448)),
        "rate": np.float32(0.5),
        "nan": math.nan,
    }
    nan = Record('e, "quoted"', np.array([np.nan], np.float32), (Click(1.5, 2, True),), 1.0, 0.5)
    rows = write_report(tmp_path / "new", {"GrabCut": GRABCUT, "odd": [nan]}, settings)

    assert sorted(os.listdir(tmp_path / "new")) == ["curves.csv", "results.json", "table.md"]
    assert (tmp_path / "new/table.md").read_text(encoding="utf-8") == format_table(
        rows, "markdown", with_intervals=True
    ) + "\n"

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    record = json.loads((tmp_path / "new/results.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert record["settings"] == {
        "evaluation": {"weights": "weights.ckpt", "size": [448, 448], "zoom_in": None},
        "rate": 0.5,
        "nan": None,
    }
    assert record["benchmarks"]["GrabCut"]["values"] == dict(rows[0].values)
    assert record["benchmarks"]["odd"]["values"]["iou@1"] is None
    assert record["benchmarks"]["GrabCut"]["intervals"]["noc@90"] == list(rows[0].intervals["noc@90"])
    assert {"versions", "git", "machine", "bootstrap", "max_clicks"} <= record.keys()

    curves = read_curves(tmp_path / "new/curves.csv")
    assert list(curves) == ["GrabCut", "odd"]
    for one in GRABCUT:
        np.testing.assert_array_equal(curves["GrabCut"][one.name], one.ious)
        assert curves["GrabCut"][one.name].dtype == np.float32
    np.testing.assert_array_equal(curves["odd"]['e, "quoted"'], nan.ious)
    assert (tmp_path / "new/curves.csv").read_text(encoding="utf-8").splitlines()[
        1
    ] == "GrabCut,a,1,3,4,1,0.53"


def test_float32_survives_the_csv(tmp_path) -> None:
    ious = np.random.default_rng(0).random(20).astype(np.float32)
    write_report(tmp_path, {"b": [record("x", *ious)]}, {})
    np.testing.assert_array_equal(read_curves(tmp_path / "curves.csv")["b"]["x"], ious)


def test_a_failed_write_keeps_the_old_report(tmp_path, monkeypatch) -> None:
    write_report(tmp_path, {"GrabCut": GRABCUT}, {"run": 1})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*arguments) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, {"GrabCut": GRABCUT}, {"run": 2})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_sessions_must_be_distinct_and_some() -> None:
    for sessions in ([], [record("a", 0.5), record("a", 0.5)]):
        with pytest.raises(InputError, match="distinct objects"):
            summarise_sessions("GrabCut", sessions, np.random.default_rng(0))


@pytest.mark.parametrize(
    "text", ["", "x,y\n1,2\n", "benchmark,object,click,row,col,positive,iou\nb,o,2,0,0,1,0.5\n",
             "benchmark,object,click,row,col,positive,iou\nb,o,1,0,0,1,half\n",
             "benchmark,object,click,row,col,positive,iou\nb,o\n"]
)  # fmt: skip
def test_read_curves_refuses(tmp_path, text) -> None:
    path = tmp_path / "curves.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"curves\.csv"):
        read_curves(path)
    with pytest.raises(InputError, match="does not exist"):
        read_curves(tmp_path / "none.csv")


def test_provenance() -> None:
    found = provenance()
    assert {"python", "torch", "numpy"} <= found["versions"].keys()
    assert any(name.startswith("opencv") for name in found["versions"])
    assert found["machine"]["cpus"] >= 1
    assert found["git"] is None or len(found["git"]["commit"]) == 40
    json.dumps(found)
