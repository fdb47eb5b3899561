"""Figures: verdicts, and the way to JSON and back."""

from __future__ import annotations

import json

import pytest

from mis_lightning.bench.figure import Figure, from_json, report, system, table, to_json


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (Figure("a", 2.0, "s", 2.0), True),
        (Figure("a", 2.1, "s", 2.0), False),
        (Figure("a", 2.1, "x", 2.0, at_least=True), True),
        (Figure("a", 1.9, "x", 2.0, at_least=True), False),
        (Figure("a", 1.9, "x"), None),
    ],
)
def test_verdict(figure, reached):
    assert figure.reached is reached
    assert ("MISSED" in table([figure])) == (reached is False)
    assert table([figure]).endswith("reached") == (reached is True)


def test_report_writes_what_it_prints(tmp_path, capsys):
    figures = [Figure("one", 0.12345, "ms", 1.0), Figure("two", 3.0, "x", 4.0, at_least=True)]
    report(figures, {"rounds": 3, "json": tmp_path}, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert content["settings"] == {"rounds": 3}
    assert content["system"]["cores"] == system()["cores"] > 0
    assert from_json(content["figures"]) == figures
    assert [entry["reached"] for entry in to_json(figures)] == [True, False]
    assert capsys.readouterr().out.splitlines() == table(figures).splitlines()
