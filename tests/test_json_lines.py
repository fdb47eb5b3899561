"""A file of JSON lines goes on after its last whole line."""

from __future__ import annotations

from pathlib import Path

from mis_lightning.json_lines import append_line, read_lines


def test_a_missing_file_has_no_lines_and_is_begun(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "x.jsonl"
    assert read_lines(file) == []
    assert not file.parent.exists()
    append_line(file, {"a": 1})
    append_line(file, [2])
    assert read_lines(file) == ['{"a": 1}\n', "[2]\n"]


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": 1}\n{"a": 2', encoding="utf-8")
    assert read_lines(file) == ['{"a": 1}\n']
    append_line(file, {"a": 3})
    assert file.read_text(encoding="utf-8") == '{"a": 1}\n{"a": 3}\n'
