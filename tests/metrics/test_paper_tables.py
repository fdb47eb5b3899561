"""The paper's tables: sources of what is printed, and cells from results made by hand."""

from __future__ import annotations

import json

import pytest

from mis_lightning.errors import InputError
from mis_lightning.metrics.paper_tables import (
    TABLES,
    PaperRow,
    PaperTable,
    Result,
    belongs,
    format_paper_table,
    paper_tables,
    read_results,
)

NATURAL = ("GrabCut", "Berkeley", "SBD", "DAVIS")
GRID = [(1.94, 2.32), (3.09, 4.58), (6.91, 9.51), (6.33, 8.44)]
DSM = [(3.64, 4.64), (5.49, 7.75), (8.59, 11.57), (7.08, 10.11)]
NOC = {  # MIS, supplement; Table 2 of MFP; README of M2N2
    ("main", "dsm"): DSM,
    ("main", "mis"): GRID,
    ("main", "supervised"): [(1.40, 1.54), (1.44, 2.46), (3.28, 5.24), (4.10, 5.48)],
    ("main", "m2n2"): [(1.62, 1.90), (2.45, 3.88), (7.72, 10.94), (4.60, 6.72)],
    ("I", "full"): [(2.12, 2.52), (3.08, 4.69), (6.88, 9.46), (5.63, 7.56)],
    ("I", "grid"): GRID,
    ("II", "dino_s8"): GRID,
    ("II", "dino_s16"): [(2.00, 2.52), (3.17, 5.24), (7.02, 9.71), (6.51, 9.10)],
    ("II", "dino_b8"): [(2.14, 2.58), (3.52, 5.10), (7.05, 9.70), (6.52, 8.74)],
    ("II", "dino_b16"): [(2.02, 2.34), (3.01, 4.81), (6.88, 9.55), (6.27, 8.63)],
    ("II", "moco_s16"): [(1.88, 2.34), (3.01, 4.71), (6.96, 9.60), (6.09, 8.26)],
    ("II", "dinov2_s14"): [(2.00, 2.80), (3.61, 5.64), (6.73, 9.39), (6.76, 10.26)],
    ("V", "s8"): [(4.42, 5.16), (6.07, 7.87), (8.62, 11.66), (8.17, 10.35)],
    ("V", "s16"): DSM,
}
OTHER = {
    ("III", "supervised"): {"BraTS": [7.75, 9.63, 0.6308, 0.8479], "OAIZIB": [15.82, 18.29, 0.3178, 0.5792]},
    ("III", "mis"): {"BraTS": [6.55, 9.11, 0.7770, 0.8490], "OAIZIB": [15.90, 18.48, 0.4787, 0.6631]},
    ("IV", "8x"): {"TokenCut": [0.31], "DSM": [1.73], "MIS": [7.37]},
    ("IV", "16x"): {"TokenCut": [7.29], "DSM": [3.53], "MIS": [36.95]},
}


def test_published_values_are_those_that_were_read_and_no_others() -> None:
    rows = {(table.name, row.name): row for table in paper_tables() for row in table.rows}
    without = {("main", "tokencut"), ("main", "freemask")}
    assert set(rows) == {*NOC, *OTHER, *without}
    for key, row in rows.items():
        assert bool(row.source) == bool(row.values) == (key not in without)  # each with its source
        if key in NOC:
            found = [(row.values[name]["noc@85"], row.values[name]["noc@90"]) for name in NATURAL]
            assert found == NOC[key]
        for benchmark, values in OTHER.get(key, {}).items():
            assert list(row.values[benchmark].values()) == values
    assert [rows["I", name].values["merging"]["images/s"] for name in ("full", "grid")] == [1.10, 3.73]
    for name in ("mis", "supervised"):
        for benchmark in ("BraTS", "OAIZIB"):
            in_both = (
                rows["III", name].values[benchmark].items() & rows["main", name].values[benchmark].items()
            )
            assert dict(in_both) == rows["main", name].values[benchmark]


def test_every_published_value_has_a_column_and_every_column_a_value() -> None:
    for table in paper_tables():
        columns = {(benchmark, measure) for benchmark, measures in table.columns for measure in measures}
        values = {(b, m) for row in table.rows for b, measures in row.values.items() for m in measures}
        assert values == columns, table.name


def test_rows_exclude_each_other_within_a_table() -> None:
    for table in paper_tables():
        keys = [json.dumps(row.where, sort_keys=True) for row in table.rows]
        assert len(set(keys)) == len(keys)
        assert all(row.where["trainer.max_epochs"] == 55 for row in table.rows if row.fit)
    assert json.loads(TABLES.read_text(encoding="utf-8"))["about"]


@pytest.mark.parametrize(
    ("config", "where", "expected"),
    [
        ({"a": {"b": [1, 2]}}, {"a.b": [1, 2]}, True),
        ({"a": {"b": 1}, "c": 2}, {"a.b": 1, "c": 3}, False),
        ({"a": 5}, {"a.b": 1}, False),
        ({"a": {"b": None}}, {"a.b": 1}, False),
        ({}, {}, True),
    ],
)
def test_belongs(config, where, expected) -> None:
    assert belongs(config, where) is expected


TABLE = PaperTable(
    "T",
    "A table",
    [("GrabCut", ["noc@85", "noc@90"]), ("BraTS", ["iou@5"])],
    [
        PaperRow(
            "a", "first", {}, {}, [], {"GrabCut": {"noc@85": 1.9, "noc@90": 2.3}}, "a page that was read"
        ),
        PaperRow("b", "second", {}, {}, [], {}, ""),
    ],
    ["A remark."],
)


def result(whole: bool = True, **values: float | None) -> Result:
    measures = {name.replace("_", "@"): value for name, value in values.items()}
    return Result(TABLES, {"GrabCut": measures}, {"GrabCut": whole}, {})


def cells(text: str, label: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {label} ")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_what_was_not_run_is_blank() -> None:
    text = format_paper_table(TABLE, {})
    assert cells(text, "first") == ["", "1.90 / 2.30", "", ""]
    assert cells(text, "second") == ["", "", "", ""]
    assert "| GrabCut NoC@85/90 | Paper" in text
    assert "BraTS IoU@5, %" in text
    assert "Paper columns of first: a page that was read." in text
    assert text.endswith("\n\nA remark.")
    assert "not comparable" not in text


def test_cells() -> None:
    text = format_paper_table(TABLE, {"a": [result(noc_85=2, noc_90=3.456)]})
    assert cells(text, "first") == ["2.00 / 3.46", "1.90 / 2.30", "", ""]
    seeds = [result(noc_85=2, noc_90=3), result(noc_85=4, noc_90=None)]
    text = format_paper_table(TABLE, {"b": seeds})
    assert cells(text, "second")[0] == "3.00 ± 1.41 / 3.00 (n=2)"
    text = format_paper_table(TABLE, {"a": [result(noc_85=2)], "b": [result(False, noc_85=2, noc_90=3)]})
    assert cells(text, "first")[0] == "2.00 /"
    assert cells(text, "second")[0] == "2.00 / 3.00\\*"
    assert "\\* not the complete published set, or not at the published input size: not comparable." in text


GOOD = {"settings": {"comparable": {"GrabCut": True}}, "benchmarks": {"GrabCut": {"values": {"noc@85": 2}}}}


def write(folder, content, config: str | None = None):
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    path = folder / "results.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if config is not None:
        (folder / "config.yaml").write_text(config, encoding="utf-8")
    return path


def test_results_are_read_with_the_config_beside_them(tmp_path) -> None:
    write(tmp_path / "b", GOOD, "data: {decay: 0.9}")
    write(tmp_path / "a" / "deep", GOOD)
    first, second = read_results(tmp_path)
    assert (first.config, second.config) == ({}, {"data": {"decay": 0.9}})
    assert first.values == {"GrabCut": {"noc@85": 2}}
    assert first.comparable == {"GrabCut": True}
    assert read_results(tmp_path / "b" / "results.json") == [second]
    inside = {**GOOD, "settings": {**GOOD["settings"], "config": {"data": {"decay": 0.5}}}}
    path = write(tmp_path / "c", inside, "data: {decay: 0.9}")
    assert read_results(path)[0].config == {
        "data": {"decay": 0.5}
    }  # a file that was copied away keeps its own


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        b"\xff\xfe\x00",
        {},
        {"benchmarks": {}},
        {"benchmarks": [], "settings": {}},
        {**GOOD, "settings": []},
        {**GOOD, "settings": {"comparable": 3}},
        {**GOOD, "benchmarks": {"GrabCut": {}}},
        {**GOOD, "benchmarks": {"GrabCut": {"values": "many"}}},
        {**GOOD, "benchmarks": {"GrabCut": {"values": {"noc@85": "2"}}}},
        {**GOOD, "benchmarks": {"GrabCut": {"values": {"noc@85": True}}}},
        {**GOOD, "benchmarks": {"GrabCut": {"values": {"noc@85": [1]}}}},
    ],
)
def test_malformed_results_are_named(tmp_path, content) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=r"results\.json") as error:
        read_results(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("config", ["a: [", "- 1\n- 2", "just words", "a: !!python/object:os.system x"])
def test_malformed_configs_are_named(tmp_path, config) -> None:
    write(tmp_path, GOOD, config)
    with pytest.raises(InputError, match=r"config\.yaml|results\.json"):
        read_results(tmp_path)


def test_a_folder_may_hold_none(tmp_path) -> None:
    assert read_results(tmp_path) == []


def test_speeds_are_results_of_two_kinds(tmp_path) -> None:
    names = ("MIS", "MIS, any two", "TokenCut", "DSM")
    rates = {name: {"8": float(number), "16": 10.0 * number} for number, name in enumerate(names, 1)}
    path = tmp_path / "proposals.json"
    path.write_text(json.dumps({"images_per_second": rates}), encoding="utf-8")
    results = read_results(tmp_path)
    found = {(table.name, row.name): [r for r in results if row.speed and belongs(r.config, row.speed)]
             for table in paper_tables() for row in table.rows}  # fmt: skip
    text = {
        table.name: format_paper_table(table, {row.name: found[table.name, row.name] for row in table.rows})
        for table in paper_tables()
    }
    assert cells(text["I"], "any two regions merge")[:2] == ["2.00", "1.10"]
    assert cells(text["I"], "only neighbours merge")[:2] == ["1.00", "3.73"]
    assert cells(text["IV"], "16× down-sampled features") == [
        "30.00",
        "7.29",
        "40.00",
        "3.53",
        "10.00",
        "36.95",
    ]
    for content in ("{}", '{"images_per_second": {"MIS": {"8": "fast"}}}', '{"images_per_second": 3}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=r"proposals\.json is not that"):
            read_results(path)
