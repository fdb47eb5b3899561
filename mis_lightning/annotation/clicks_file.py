"""Images and the clicks to answer on them: what ``mis predict`` works on.

JSON, image path -> its clicks in order; ``object`` names the object that a click is for, and may be left out
where there is one; so may ``positive``, which is then true::

    {"cat.jpg": [{"row": 120, "col": 80, "positive": true, "object": "cat"}, {"row": 10, "col": 300}]}

or CSV with the same names in its first line, one click a line::

    image,row,col,positive,object
    cat.jpg,120,80,1,cat

Paths are absolute, or relative to the folder of images or, without one, to the file. Clicks on a volume,
a NIfTI file or a TIFF stack, name the ``slice``, too.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from mis_lightning.annotation.click_request import ClickRequest, ObjectRequest
from mis_lightning.data.training_images import image_key
from mis_lightning.errors import InputError
from mis_lightning.formats.overlap import Overlap
from mis_lightning.formats.slice_view import Axis
from mis_lightning.formats.volume_files import slice_key
from mis_lightning.images import Reading
from mis_lightning.structures import Click

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


class ClickRequests(Dataset[ClickRequest]):
    """The requests of a clicks file.

    Args:
        file: JSON or CSV.
        images: Folder that relative paths begin at; ``None``: the folder of the file.
        reading: How the pixels become bytes.
        axis: Across which volumes are cut.
        overlap: How overlaps of objects on one image are resolved.

    Raises:
        InputError: The file is missing or not of the format above, where the message names the image and the
            click.
    """

    def __init__(
        self,
        file: str | Path,
        images: str | Path | None = None,
        reading: Reading | None = None,
        axis: Axis = "axial",
        overlap: Overlap = "allow",
    ) -> None:
        file = Path(file)
        base = Path(images) if images is not None else file.parent
        if images is not None and not base.is_dir():
            raise InputError(f"Expected a folder of images, but there is none at {base}.")
        rows = _csv_rows(file) if file.suffix.lower() in (".csv", ".tsv") else _json_rows(file)
        found: dict[str, ClickRequest] = {}
        clicks: dict[str, dict[str | None, list[Click]]] = {}
        for place, name, entry in rows:
            click, kind, number = _click(entry, place) if entry is not None else (None, None, None)
            path = base / name
            key = image_key(path, base)
            key = key if number is None else slice_key(key, axis, number)
            if key not in found:
                found[key] = ClickRequest(path, key, reading or Reading(), number, axis, overlap)
            of_object = clicks.setdefault(key, {}).setdefault(kind, [])
            of_object += [click] if click is not None else []
        self.file, self.requests = file, list(found.values())
        for request in self.requests:
            asked = clicks[request.key].items()
            request.objects = tuple(ObjectRequest(kind, tuple(those)) for kind, those in asked)

    def check_images(self) -> None:
        """Check that at least one image exists; missing ones are reported as they are read.

        Raises:
            InputError: None is: the paths begin elsewhere.
        """
        if self.requests and not any(os.path.isfile(request.path) for request in self.requests):
            raise InputError(
                f"None of the {len(self.requests)} images of {self.file} exists; the first would be "
                f"{self.requests[0].path}. Paths are relative to the folder of the file, unless `--images` "
                "(`data.clicks_folder`) names another."
            )

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, index: int) -> ClickRequest:
        return self.requests[index]


def _json_rows(file: Path) -> Iterator[tuple[str, str, Any]]:
    """Location, image and entry of each click in a JSON file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Expected a JSON file of clicks at {file}, but: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(
            f"Expected {file} to map image paths to lists of clicks, but got a {type(content).__name__}."
        )
    for name, entries in content.items():
        if not isinstance(entries, list):
            raise InputError(f"{file}: expected a list of clicks for {name}, but got {entries!r}.")
        if not entries:
            yield "", name, None
        for entry in entries:
            yield f"{file}: {name}", name, entry


def _csv_rows(file: Path) -> Iterator[tuple[str, str, Any]]:
    """Location, image and entry of each line in a CSV file."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"Expected a CSV file of clicks at {file}, but: {error}.") from error
    head = text.split("\n", 1)[0]
    reader = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=head.count), skipinitialspace=True)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if not {"image", "row", "col"} <= set(names):
        raise InputError(
            f"Expected the columns image, row, col in the first line of {file}, but got {head!r}."
        )
    reader.fieldnames = names
    for line in reader:
        cells = {name: value.strip() for name, value in line.items() if isinstance(value, str)}
        entry = {name: value for name, value in cells.items() if value}
        if entry:
            image = entry.pop("image", None)
            if image is None:
                raise InputError(f"{file}, line {reader.line_num}: expected an image.")
            yield f"{file}, line {reader.line_num}", image, entry


def _click(entry: Any, place: str) -> tuple[Click, str | None, int | None]:
    """A click, the name of its object, and the slice."""
    try:
        positive = entry.get("positive", True)
        if isinstance(positive, str):
            words = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
            positive = (
                words[positive.lower()] if positive.lower() in words else float(positive)
            )  # 1.0: pandas
        if positive not in (True, False):
            raise ValueError(positive)
        name, number = entry.get("object"), entry.get("slice")
        click = Click(float(entry["row"]), float(entry["col"]), bool(positive))
        if not (isfinite(click.row) and isfinite(click.col)) or (number is not None and float(number) % 1):
            raise ValueError(entry)
        return click, None if name is None else str(name), None if number is None else int(float(number))
    except (AttributeError, TypeError, KeyError, ValueError, OverflowError) as error:
        raise InputError(
            f'{place}: expected each click as {{"row": …, "col": …, "positive": true or false}}, '
            f"but got {entry!r}."
        ) from error
