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

PUBLISHED = {  # README of lkhl/MIS; Table 2 of MFP: the only sources that were read
    ("main", "mis"): [(1.94, 2.32), (3.09, 4.58), (6.91, 9.51), (6.33, 8.44)],
    ("main", "supervised"): [(1.40, 1.54), (1.44, 2.46), (3.28, 5.24), (4.10, 5.48)],
}


def test_published_values_are_those_that_were_read_and_no_others() -> None:
    for table in paper_tables():
        for row in table.rows:
            values = [tuple(row.values[b].values()) for b in row.values]
            assert values == PUBLISHED.get((table.name, row.name), [])
            assert bool(row.source) == bool(row.values)  # each with its source
            for benchmark, measures in row.values.items():
                assert set(measures) <= set(table.columns[benchmark])


def test_rows_exclude_each_other_within_a_table() -> None:
    for table in paper_tables():
        keys = [json.dumps(row.where, sort_keys=True) for row in table.rows]
        assert len(set(keys)) == len(keys)
        assert all(row.where["trainer.max_epochs"] == 55 for row in table.rows)
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
    {"GrabCut": ["noc@85", "noc@90"], "BraTS": ["iou@5"]},
    [
        PaperRow("a", "first", {}, [], {"GrabCut": {"noc@85": 1.9, "noc@90": 2.3}}, "a page that was read"),
        PaperRow("b", "second", {}, [], {}, ""),
    ],
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
    assert "BraTS IoU@5" in text
    assert "Paper column of first: a page that was read." in text
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
    assert "\\* not the whole published set: not comparable." in text


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


def test_no_results(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no results\.json below"):
        read_results(tmp_path)
