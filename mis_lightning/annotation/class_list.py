"""The classes of a project: a text file, one name a line, in the order of their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mis_lightning.annotation.log import check_name
from mis_lightning.errors import InputError
from mis_lightning.files import written_whole

FILE_NAME = "classes.txt"
"""Of the file in a folder of annotations."""


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the names of classes; empty lines do not count.

    Raises:
        InputError: The file cannot be read, a line is no name of 1 to 100 printable characters, or a name
            comes twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Expected the names of classes in {path}, one a line, but: {error}.") from error
    names: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            name = check_name(line, "class")
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        if name in names:
            raise InputError(f"{path}, line {number}: the class {name!r} appears twice.")
        names.append(name)
    return tuple(names)


def write_classes(path: Path, names: Iterable[str]) -> None:
    """Write the names of classes, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
