"""``mis report`` on result files made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mis_lightning.cli import main
from mis_lightning.metrics.paper_tables import paper_tables


def where(name: str) -> dict:
    table, row = name.split("/")
    return next(r.where for t in paper_tables() if t.name == table for r in t.rows if r.name == row)


def nested(flat: dict) -> dict:
    config: dict = {}
    for key, value in flat.items():
        *above, last = key.split(".")
        place = config
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return config


def write(folder: Path, values: dict, config: dict | None = None, comparable: bool = True) -> None:
    folder.mkdir(parents=True)
    content = {
        "settings": {"comparable": dict.fromkeys(values, comparable)},
        "benchmarks": {name: {"values": measures} for name, measures in values.items()},
    }
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    if config is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def row(text: str, heading: str, label: str) -> list[str]:
    table = text.split(f"### {heading}")[1].split("###")[0]
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {label} ")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_results_find_their_rows(tmp_path, capsys) -> None:
    natural = {"GrabCut": {"noc@85": 2.1, "noc@90": 2.5}, "SBD": {"noc@85": 7.0, "noc@90": 9.6}}
    write(tmp_path / "x" / "natural", natural, nested(where("main/mis")))
    write(tmp_path / "x" / "medical", {"BraTS": {"iou@5": 0.5, "iou@10": 0.625}}, nested(where("main/mis")))
    write(tmp_path / "y", {"GrabCut": {"noc@85": 4, "noc@90": 5}}, nested(where("V/s16")), comparable=False)
    write(tmp_path / "z", {"GrabCut": {"noc@85": 12.96, "noc@90": 16.12, "iou@5": 0.7}})
    out = tmp_path / "new" / "tables.md"
    assert main(["report", str(tmp_path), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert out.read_text(encoding="utf-8") == text
    main_table = "Main comparison"
    assert row(text, main_table, "MIS (merge trees)") == [
        "2.10 / 2.50", "1.94 / 2.32", "", "3.09 / 4.58", "7.00 / 9.60", "6.91 / 9.51", "", "6.33 / 8.44",
        "50.00 / 62.50", "77.70 / 84.90", "", "47.87 / 66.31",
    ]  # fmt: skip
    assert row(text, main_table, "TokenCut") == [""] * 12
    # One run serves the rows of several tables.
    assert row(text, "Table I:", "only neighbours merge")[2:4] == ["2.10 / 2.50", "1.94 / 2.32"]
    assert row(text, "Table II:", "DINO ViT-S/8")[:2] == ["2.10 / 2.50", "1.94 / 2.32"]
    assert row(text, "Table III:", "MIS (merge trees)")[2:4] == ["50.00 / 62.50", "77.70 / 84.90"]
    assert row(text, "Table I:", "any two regions merge")[2::2] == [""] * 4
    assert row(text, "Table V:", "DSM, DINO ViT-S/16")[0] == "4.00 / 5.00\\*"
    assert row(text, main_table, "DSM, 5 regions, ViT-S/16")[0] == "4.00 / 5.00\\*"
    other = text.split("### Other results")[1]
    assert str(tmp_path / "z") in other
    assert "12.96 / 16.12" in other
    assert "70.00 /" in other
    assert "lkhl/MIS" in text


def test_runs_that_are_not_the_recipe_are_marked(tmp_path, capsys) -> None:
    config = nested({**where("main/mis"), "model.loss.init_args.smoothness_weight": 0.0})
    write(tmp_path / "x", {"GrabCut": {"noc@85": 2.1, "noc@90": 2.5}}, config)
    assert main(["report", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert row(text, "Main comparison", "MIS (merge trees)")[0] == "2.10 / 2.50†"
    assert "† MIS (merge trees): not the recipe in model.loss.smoothness_weight." in text


def test_rows_may_be_chosen_by_hand_and_seeds_are_averaged(tmp_path, capsys) -> None:
    for seed, noc in enumerate((2.0, 3.0)):
        write(tmp_path / f"{seed}", {"GrabCut": {"noc@85": noc, "noc@90": noc + 1}})
    choice = [f"II/moco_s16={tmp_path / str(seed)}" for seed in range(2)]
    assert main(["report", *choice]) == 0
    text = capsys.readouterr().out
    assert row(text, "Table II:", "MoCo v3 ViT-S/16")[0] == "2.50 ± 0.71 / 3.50 ± 0.71 (n=2)"
    assert "Other results" not in text


def test_a_comparison_has_its_row_by_the_identity_of_what_answered(tmp_path, capsys) -> None:
    folder = tmp_path / "attention-chain"
    write(folder, {"GrabCut": {"noc@85": 3, "noc@90": 4}})
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    content["settings"]["identity"] = "attention-chain"
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert row(text, "Main comparison", "M2N2's idea (no training)")[:2] == ["3.00 / 4.00", "1.62 / 1.90"]
    assert "where ours is of a ViT" in text
    assert "Other results" not in text


def test_an_empty_folder_shows_what_was_published(tmp_path, capsys) -> None:
    assert main(["report", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for table in paper_tables():
        assert f"### {table.title}" in text
        for one in table.rows:
            ours = row(text, table.title.split(" (")[0].split(";")[0], one.label)[::2]
            assert ours == [""] * len(table.columns)
    assert text.count("1.94 / 2.32") == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "nothing at nowhere"),
        (["main/mis=nowhere"], "nothing at nowhere"),
        (["main/nobody=."], "no row 'main/nobody'"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, args, message) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_one_malformed_file_stops_the_report(tmp_path, capsys) -> None:
    write(tmp_path / "good", {"GrabCut": {"noc@85": 2}})
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "results.json").write_text(
        '{"benchmarks": {"GrabCut": {"values": {"noc@85": "two"}}}}', encoding="utf-8"
    )
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "t.md")]) == 2
    assert str(tmp_path / "bad" / "results.json") in capsys.readouterr().err
    assert not (tmp_path / "t.md").exists()
