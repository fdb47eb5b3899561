"""IoU curves and clicks of many objects <-> one CSV, a row per click."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.structures import Click

HEADER = ("benchmark", "object", "click", "row", "col", "positive", "iou")
"""Columns: click counts from 1, row and col in pixels, positive is 1 or 0, iou may be ``nan``."""


class SessionRecord(Protocol):
    """What reports read of a session (:class:`mis_lightning.evaluation.simulation.SimulatedSession` fits)."""

    @property
    def name(self) -> str:
        """Of the object, unique in its benchmark."""

    @property
    def ious(self) -> NDArray[np.float32]:
        """IoU after each click, ``(k,)``."""

    @property
    def clicks(self) -> Sequence[Click]:
        """The ``k`` clicks."""

    @property
    def seconds(self) -> float:
        """Wall time of the object."""

    @property
    def model_seconds(self) -> float:
        """The model's part of it."""

    @property
    def far(self) -> NDArray[np.float32] | None:
        """Share of the pixels each click changed that lie far from it, ``(k,)``, if it was measured."""


def curves_to_csv(results: Mapping[str, Sequence[SessionRecord]]) -> str:
    """Sessions by benchmark as CSV text; IoUs keep all their float32 digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for benchmark, sessions in results.items():
        for session in sessions:
            for number, (click, iou) in enumerate(zip(session.clicks, session.ious, strict=True), start=1):
                place = (f"{click.row:g}", f"{click.col:g}", int(click.positive))
                writer.writerow((benchmark, session.name, number, *place, str(np.float32(iou))))
    return text.getvalue()


def read_curves(path: str | Path) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Read a ``curves.csv`` back.

    Returns:
        IoU after each click, float32, ``(k,)``, by benchmark and object, in the order of the file.

    Raises:
        InputError: The file is missing or not such a table.
    """
    curves: dict[str, dict[str, list[float]]] = {}
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file, strict=True)
            if tuple(lines.fieldnames or ()) != HEADER:
                raise ValueError(f"the first line is {lines.fieldnames}")
            for line in lines:
                curve = curves.setdefault(line["benchmark"], {}).setdefault(line["object"], [])
                curve.append(float(line["iou"]))
                if int(line["click"]) != len(curve):
                    raise ValueError(f"click {line['click']} of {line['object']} follows {len(curve) - 1}")
    except FileNotFoundError:
        raise InputError(f"Expected a table of curves, but {path} does not exist.") from None
    except (TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"Expected a table of curves with the columns {', '.join(HEADER)} in {path}, "
            f"but it does not fit: {error}. Write it again with `write_report`."
        ) from None
    return {
        benchmark: {name: np.array(curve, dtype=np.float32) for name, curve in objects.items()}
        for benchmark, objects in curves.items()
    }
