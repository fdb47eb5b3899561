"""Files of JSON, one value a line, that a long run adds to and goes on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mis_lightning.files import written_whole


def read_lines(file: Path) -> list[str]:
    """The lines of a file; none where it is missing.

    A last line that a killed process left unfinished is dropped from the file too.
    """
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines = lines[:-1]
        with written_whole(file) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
    return lines


def append_line(file: Path, value: Any) -> None:
    """Add a value to a file, begun where it is missing, and its folder with it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(value) + "\n")
