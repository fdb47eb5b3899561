"""The ``metrics.csv`` of a training run, as Lightning's ``CSVLogger`` writes it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError

TrainingLog = dict[str, NDArray[np.float64]]
"""By the metric's name the steps and the values it was logged with, float64, ``(n, 2)``."""


def read_training_log(path: str | Path) -> TrainingLog:
    """Read a log.

    Args:
        path: A ``metrics.csv``, or a folder with one in it or in its youngest ``version_*``.

    Returns:
        Every column that holds a number, without those of the step itself; rows by step.

    Raises:
        InputError: There is no such file, or it is no log of steps.
    """
    path = Path(path)
    if path.is_dir():
        found = [*path.glob("metrics.csv"), *path.glob("version_*/metrics.csv")]
        if not found:
            raise InputError(f"Expected a metrics.csv in {path}, or in a version_* below it.")
        path = max(found, key=lambda file: file.stat().st_mtime)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        log: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            step = float(row["step"])
            for name, value in row.items():
                if value and name not in ("step", "epoch"):
                    log.setdefault(name, []).append((step, float(value)))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"Expected the metrics.csv of a training run at {path}, but: {error!r}.") from error
    return {name: np.array(sorted(values)) for name, values in log.items()}


def join_logs(logs: Sequence[TrainingLog]) -> TrainingLog:
    """Stages of one training as one log: the steps of each go on where those of the one before ended."""
    joined: dict[str, list[NDArray[np.float64]]] = {}
    start = 0.0
    for log in logs:
        for name, values in log.items():
            joined.setdefault(name, []).append(values + np.array([start, 0.0]))
        start += max((values[-1, 0] + 1 for values in log.values()), default=0.0)
    return {name: np.concatenate(parts) for name, parts in joined.items()}
