"""Rows of the paper's tables -> training runs and the commands of each; a run may serve several rows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mis_lightning.errors import InputError
from mis_lightning.metrics.paper_tables import PaperRow, PaperTable

MIS = (sys.executable, "-m", "mis_lightning")
OVERLAYS = {
    "natural": ("GrabCut", "Berkeley", "SBD"),
    "davis": ("DAVIS",),
    "medical": ("BraTS", "OAIZIB"),
}
"""Configs in ``configs/evaluation``, and the benchmarks of each."""


@dataclass(frozen=True)
class Run:
    """One training run and its tests.

    Attributes:
        name: ``TABLE/ROW`` of the first row it serves; also of its folder.
        rows: Of all rows it serves.
        row: The first of them.
        overlays: Names of the evaluations that their tables need.
    """

    name: str
    rows: tuple[str, ...]
    row: PaperRow
    overlays: tuple[str, ...]


def choose_rows(
    tables: Sequence[PaperTable], names: Sequence[str], rows: Sequence[str]
) -> list[tuple[PaperTable, PaperRow]]:
    """The rows of some tables, or some rows of them.

    Args:
        tables: All tables.
        names: Of tables; none: all.
        rows: ``TABLE/ROW``; none: all of the tables.

    Raises:
        InputError: There is no such table or row.
    """
    known = {table.name: table for table in tables}
    for name in names:
        if name not in known:
            raise InputError(f"Expected tables among {', '.join(known)}, but got {name!r}.")
    every = {f"{t.name}/{r.name}": (t, r) for t in tables for r in t.rows}
    for name in rows:
        if name not in every:
            raise InputError(f"There is no row {name!r}; rows: {', '.join(every)}.")
    return [
        (table, row)
        for name, (table, row) in every.items()
        if (not names or table.name in names) and (not rows or name in rows)
    ]


def runs_of(chosen: Iterable[tuple[PaperTable, PaperRow]]) -> list[Run]:
    """The runs behind rows; rows with the same options share one, tested on what any of them shows."""
    found: dict[tuple[str, ...], Run] = {}
    for table, row in chosen:
        if not row.fit:
            continue
        name, key = f"{table.name}/{row.name}", tuple(row.fit)
        before = found.get(key, Run(name, (), row, ()))
        shown = {benchmark for benchmark, _ in table.columns}
        needed = [o for o, sets in OVERLAYS.items() if o in before.overlays or shown & set(sets)]
        found[key] = Run(before.name, (*before.rows, name), before.row, tuple(needed))
    return list(found.values())


def commands(
    args: Sequence[str], folder: Path, evaluations: Sequence[Path], extra: Sequence[str]
) -> list[list[str]]:
    """The commands left to do for a run, in order; none if it is finished.

    Args:
        args: Of ``mis fit`` and ``mis test``.
        folder: Of the run.
        evaluations: Overlays that choose test benchmarks; none: those of the configs in ``args``.
        extra: Further options, after all others.
    """
    logger = "--trainer.logger.init_args."
    place = [f"--trainer.default_root_dir={folder}", f"{logger}save_dir={folder}"]
    last = folder / "checkpoints" / "last.ckpt"
    # A run that goes on gets a log of its own; an evaluation that was cut off is written anew.
    fit = [*MIS, "fit", *args, *place, f"{logger}name=log", *extra]
    if last.is_file():
        fit.append(f"--ckpt_path={last}")
    todo = []
    overlays: list[Path | None] = [*evaluations] or [None]
    for overlay in overlays:
        name = f"evaluation/{overlay.stem}" if overlay else "evaluation"
        if not (folder / name / "results.json").is_file():
            config = [f"--config={overlay}"] if overlay else []
            options = [*args, *config, *place, f"{logger}name={name}", f"{logger}version=", *extra]
            todo.append([*MIS, "test", *options, f"--ckpt_path={last}"])
    return [fit, *todo] if todo else []
