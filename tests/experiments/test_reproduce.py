"""The page of commands is what the script prints, and every command parses to the row it stands for."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from mis_lightning.commands.region_speed import WAYS
from mis_lightning.metrics.paper_tables import belongs, paper_tables

ROOT = Path(__file__).parents[2]
TABLES = paper_tables()
ROWS = [(table, row) for table in TABLES for row in table.rows if row.fit]


@pytest.fixture
def reproduce(scripts):
    return importlib.import_module("reproduce")


def test_the_page_is_up_to_date(reproduce, capsys) -> None:
    assert reproduce.main([]) == 0
    page = capsys.readouterr().out
    assert (ROOT / "experiments" / "reproduce.md").read_text(encoding="utf-8") == page
    for table, row in ROWS:
        assert f"**`{table.name}/{row.name}`** {row.label}" in page
    for numeral in ("I", "II", "III", "IV", "V"):
        assert re.search(rf"^## Table {numeral}\b", page, re.MULTILINE)


def words_of(line: str) -> list[str]:
    return [word.replace("$SBD", "configs").replace("$MAE", "mae.pth") for word in shlex.split(line)]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{table.name}-{row.name}" for table, row in ROWS])
def test_commands_parse_to_their_row(reproduce, parse, capsys, table, row) -> None:
    assert reproduce.main([f"{table.name}/{row.name}"]) == 0
    fit, *evaluations = capsys.readouterr().out.splitlines()
    mis, verb, *options = words_of(fit)
    assert (mis, verb) == ("mis", "fit")
    config = parse(options)
    assert belongs(config, row.where)
    assert config["model"]["initial_weights"] == "mae.pth"
    folder = f"runs/paper/{table.name}/{row.name}"
    checkpoints = [c for c in config["trainer"]["callbacks"] if c["class_path"].endswith("ModelCheckpoint")]
    assert checkpoints[0]["init_args"]["dirpath"] == f"{folder}/checkpoints"
    assert checkpoints[0]["init_args"]["save_last"] is True
    lines = [words_of(line) for line in evaluations]
    assert all(line[:2] == ["mis", "test"] for line in lines)
    assert all(line[-1] == f"--ckpt_path={folder}/checkpoints/last.ckpt" for line in lines)
    overlays = [
        word.removeprefix("--config=evaluation/")
        for line in lines
        for word in line
        if word.startswith("--config=evaluation/")
    ]
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in table.columns if benchmark != "merging"))
    natural = ["natural", "davis"] if "GrabCut" in benchmarks else []
    assert overlays == [*natural, *(["medical"] if "BraTS" in benchmarks else [])]
    if (table.name, row.name) in (("main", "mis"), ("main", "supervised"), ("III", "mis")):
        check_evaluations([parse(line[2:-1]) for line in lines], folder, row.where, overlays, benchmarks)


def check_evaluations(configs, folder, where, overlays, columns) -> None:
    """The evaluations cover the table's benchmarks, and `mis report` will find their results."""
    found = []
    for config, name in zip(configs, overlays, strict=True):
        assert belongs(config, where)
        logger = config["trainer"]["logger"]["init_args"]
        assert (logger["save_dir"], logger["name"]) == (folder, f"evaluation/{name}")
        found += [entry["class_path"].rpartition(".")[2] for entry in config["data"]["test_benchmarks"]]
        (noc,) = [c for c in config["trainer"]["callbacks"] if c["class_path"].endswith("NoCEvaluation")]
        settings, prediction = noc["init_args"]["settings"], noc["init_args"]["prediction"]
        assert settings["target_iou"] is None
        assert prediction["threshold"] == 0.5
        assert prediction.get("size") == ([672, 672] if name == "davis" else None)  # None: the network's own
    assert found == columns


def test_speed_tables(reproduce, capsys) -> None:
    for table in ("I", "IV"):
        assert reproduce.main([table]) == 0
        assert capsys.readouterr().out.startswith("mis bench proposals --images ")
    assert {benchmark for t in TABLES if t.name == "IV" for benchmark, _ in t.columns} < set(WAYS)


def test_an_unknown_row_lists_those_there_are(reproduce, capsys) -> None:
    with pytest.raises(SystemExit):
        reproduce.main(["II/dino_g14"])
    assert "main/mis" in capsys.readouterr().err
