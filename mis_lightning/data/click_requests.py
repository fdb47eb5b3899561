"""Images and the clicks to answer on them: what ``mis predict`` works on.

The file is JSON: image path, relative to the file or absolute -> its clicks in order::

    {"cat.jpg": [{"row": 120, "col": 80, "positive": true}, {"row": 10, "col": 300, "positive": false}]}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import Dataset

from mis_lightning.errors import InputError
from mis_lightning.structures import Click


class ClickRequest(NamedTuple):
    """One image file and the clicks to answer on it."""

    path: Path
    clicks: tuple[Click, ...]


class ClickRequests(Dataset[ClickRequest]):
    """The requests of a clicks file.

    Raises:
        InputError: The file is missing or not of the format above; the message names the image and the click.
    """

    def __init__(self, file: str | Path) -> None:
        file = Path(file)
        try:
            content = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"Expected a JSON file of clicks at {file}, but: {error}.") from error
        if not isinstance(content, dict):
            raise InputError(
                f"Expected {file} to map image paths to lists of clicks, but got a {type(content).__name__}."
            )
        self.requests = [
            ClickRequest(file.parent / name, _clicks(entries, file, name))
            for name, entries in content.items()
        ]

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, index: int) -> ClickRequest:
        return self.requests[index]


def _clicks(entries: Any, file: Path, name: str) -> tuple[Click, ...]:
    if not isinstance(entries, list):
        raise InputError(f"{file}: expected a list of clicks for {name}, but got {entries!r}.")
    return tuple(_click(entry, file, name) for entry in entries)


def _click(entry: Any, file: Path, name: str) -> Click:
    try:
        return Click(float(entry["row"]), float(entry["col"]), bool(entry["positive"]))
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(
            f'{file}: expected each click of {name} as {{"row": …, "col": …, "positive": …}}, '
            f"but got {entry!r}."
        ) from error
