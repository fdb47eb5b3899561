"""``mis report``: result files in the paper's tables, next to the published values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mis_lightning.commands.recipe_differences import differences
from mis_lightning.errors import InputError
from mis_lightning.files import written_whole
from mis_lightning.metrics.paper_tables import (
    PaperTable,
    Result,
    belongs,
    format_other,
    format_paper_table,
    paper_tables,
    read_results,
)


def main(args: Sequence[str]) -> int:
    """Run ``mis report RESULTS... [--out FILE]``.

    Raises:
        InputError: There are no results, or no such row.
    """
    tables = paper_tables()
    rows = "; ".join(f"{table.name}: {', '.join(row.name for row in table.rows)}" for table in tables)
    parser = argparse.ArgumentParser(
        prog="mis report",
        description="Collect results into the paper's tables. A result finds its rows by the config that "
        "`mis test` writes into it, whatever folder it is in. What was not run stays blank.",
        epilog=f"Rows: {rows}. Speeds (Tables I and IV): `mis bench proposals --json proposals.json`.",
    )
    parser.add_argument(
        "results",
        nargs="+",
        metavar="RESULTS",
        help="a results.json or proposals.json, a folder with some below it (or none: the published values "
        "alone), or TABLE/ROW=PATH to choose the row by hand",
    )
    parser.add_argument("--out", type=Path, help="write the Markdown here, too")
    given = parser.parse_args(args)
    fits = {(table.name, row.name): row.fit for table in tables for row in table.rows}
    found: dict[tuple[str, str], list[Result]] = {}
    other: list[Result] = []
    for entry in given.results:
        for chosen, result in _collect(entry, tables):
            places = [chosen] if chosen else _places(result, tables)
            for place in places:
                differs = differences(result, fits[place]) if fits[place] else []
                found.setdefault(place, []).append(replace(result, differs=differs))
            if not places and "speed" not in result.config:
                other.append(result)
    parts = [
        format_paper_table(table, {row.name: found.get((table.name, row.name), []) for row in table.rows})
        for table in tables
    ]
    text = "\n\n".join([*parts, *([format_other(other)] if other else [])])
    print(text)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(given.out) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return 0


def _collect(entry: str, tables: Sequence[PaperTable]) -> list[tuple[tuple[str, str] | None, Result]]:
    """The results of one argument, each with the row that the user chose, if any."""
    place, given, path = entry.partition("=")
    if not given or Path(entry).exists():
        return [(None, result) for result in read_results(_existing(entry))]
    table, _, row = place.partition("/")
    if not any(table == t.name and row == r.name for t in tables for r in t.rows):
        raise InputError(f"There is no row {place!r}; `mis report --help` lists them, e.g. main/mis.")
    return [((table, row), result) for result in read_results(_existing(path))]


def _existing(path: str) -> Path:
    if not Path(path).exists():
        raise InputError(f"Expected a results.json or a folder, but there is nothing at {path}.")
    return Path(path)


def _places(result: Result, tables: Sequence[PaperTable]) -> list[tuple[str, str]]:
    return [
        (table.name, row.name)
        for table in tables
        for row in table.rows
        if belongs(result.config, row.where) or (row.speed and belongs(result.config, row.speed))
    ]
