"""Result files -> the paper's tables, what was published beside what was measured.

The tables, with a source for every published value, are in ``assets/paper_tables.json``. Results are the
``results.json`` of `mis test` and `mis compare`, and the ``proposals.json`` of `mis bench proposals`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mis_lightning.errors import InputError

NAMES = ("results.json", "proposals.json")
"""Of result files."""

_SHOWN = 6  # keys in a note

TABLES = Path(__file__).parents[1] / "assets" / "paper_tables.json"


@dataclass(frozen=True)
class PaperRow:
    """One row of a table.

    Attributes:
        name: Its short name within the table.
        label: What a reader sees.
        where: Values at dotted keys of a run's config that make its results belong here.
        speed: The same of the images a second that `mis bench proposals` measured; empty where none belong.
        fit: Options of ``mis fit`` that make such a run; empty where none does.
        values: Published values by benchmark and measure; only those with a source.
        source: Where they were read; empty without values.
    """

    name: str
    label: str
    where: Mapping[str, Any]
    speed: Mapping[str, Any]
    fit: Sequence[str]
    values: Mapping[str, Mapping[str, float]]
    source: str


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes:
        name: ``"main"`` or the paper's numeral.
        title: Its heading.
        columns: Benchmark and its measures, as :func:`~mis_lightning.metrics.summary.summarise` names them,
            of each column; or what was timed, and ``"images/s"``.
        rows: Its rows.
        notes: Printed below it.
    """

    name: str
    title: str
    columns: Sequence[tuple[str, Sequence[str]]]
    rows: Sequence[PaperRow]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Result:
    """What one ``results.json`` says.

    Attributes:
        path: The file.
        values: Measures by benchmark.
        comparable: By benchmark, whether the set was the published one, whole.
        config: The run's config, from the file or else the ``config.yaml`` beside it; empty without either.
        evaluation: How the network was asked; empty where the file does not say.
        differs: Dotted keys in which it is not as the recipe of its row says.
    """

    path: Path
    values: Mapping[str, Mapping[str, float | None]]
    comparable: Mapping[str, bool]
    config: Mapping[str, Any]
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    differs: Sequence[str] = ()


def paper_tables() -> list[PaperTable]:
    """Return the tables."""
    content = json.loads(TABLES.read_text(encoding="utf-8"))
    return [
        PaperTable(
            name=table["name"],
            title=table["title"],
            columns=[(benchmark, measures) for benchmark, measures in table["columns"]],
            rows=[
                PaperRow(
                    name=row["name"],
                    label=row["label"],
                    where={
                        **(content["recipe"] if row["fit"] else {}),
                        **table.get("where", {}),
                        **row["where"],
                    },
                    speed=row.get("speed", {}),
                    fit=row["fit"],
                    values=row.get("values", {}),
                    source=content["sources"][row["source"]] if "source" in row else "",
                )
                for row in table["rows"]
            ],
            notes=table.get("notes", []),
        )
        for table in content["tables"]
    ]


def read_results(path: Path) -> list[Result]:
    """Read a ``results.json`` or ``proposals.json``, or all of them below a folder, where there may be none.

    Raises:
        InputError: A file is not a result of this project.
    """
    files = sorted(found for name in NAMES for found in path.glob(f"**/{name}")) if path.is_dir() else [path]
    return [
        result for file in files for result in (_speeds(file) if file.name == NAMES[1] else [_read(file)])
    ]


def _speeds(path: Path) -> list[Result]:
    """Images a second as results of two kinds: the three methods, and the two ways to merge."""
    try:
        rates = json.loads(path.read_text(encoding="utf-8"))["images_per_second"]
        strides = sorted({int(stride) for rate in rates.values() for stride in rate})
        found = []
        for stride in strides:
            methods = {name: _numbers({"images/s": rates[name][str(stride)]}) for name in rates}
            found.append(_speed(path, stride, "proposals", methods))
            for ways, name in (("connected", "MIS"), ("any two", "MIS, any two")):
                found.append(_speed(path, stride, ways, {"merging": methods[name]}))
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"Expected what `mis bench proposals --json` writes, but {path} is not that "
            f"({type(error).__name__}: {error})."
        ) from error


def _speed(path: Path, stride: int, ways: str, values: Mapping[str, Mapping[str, float | None]]) -> Result:
    return Result(path, values, dict.fromkeys(values, True), {"speed": {"stride": stride, "ways": ways}})


def _read(path: Path) -> Result:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = {name: _numbers(entry["values"]) for name, entry in content["benchmarks"].items()}
        comparable = dict(content["settings"].get("comparable", {}))
        beside = path.with_name("config.yaml")
        config = content["settings"].get("config")
        if not config and beside.is_file():
            config = yaml.safe_load(beside.read_text(encoding="utf-8"))
        if not config and "identity" in content["settings"]:  # of `mis compare`: no training, no config
            config = {"segmenter": content["settings"]["identity"]}
        asked = dict(content["settings"].get("evaluation") or {})
        return Result(path, values, comparable, dict(config or {}), asked)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} or the config.yaml beside it cannot be read: {error}") from error
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"Expected a results.json of `mis test` or `mis compare`, but {path} is not one "
            f"({type(error).__name__}: {error})."
        ) from error


def _numbers(values: Mapping[str, Any]) -> dict[str, float | None]:
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"{name} is {value!r}, not a number")
    return dict(values)


def belongs(config: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """Whether a config has these values at these dotted keys.

    >>> belongs({"data": {"decay": 0.9}}, {"data.decay": 0.9}), belongs({}, {"data.decay": 0.9})
    (True, False)
    """
    for key, wanted in where.items():
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value != wanted:
            return False
    return True


def format_paper_table(table: PaperTable, found: Mapping[str, Sequence[Result]]) -> str:
    """The table in Markdown: for each benchmark what was measured, and a Paper column beside it.

    Args:
        table: The table.
        found: Results by row name. Several of one row and benchmark (seeds) become mean ± standard deviation.

    Returns:
        The table with its heading and the sources of what was published; what was not run and what has no
        published value is blank. ``*`` marks results on sets that are not the published ones, ``†`` those of
        runs that differ from the recipe; the notes say in what.
    """
    lines = [[""]]
    for benchmark, columns in table.columns:
        lines[0] += [f"{benchmark} {_heading(columns)}", "Paper"]
    for row in table.rows:
        line = [row.label]
        for benchmark, columns in table.columns:
            published = row.values.get(benchmark, {})
            line.append(_measured(found.get(row.name, ()), benchmark, columns))
            line.append(" / ".join(_number(published[c], c) for c in columns if c in published))
        lines.append(line)
    sources: dict[str, list[str]] = {}
    for row in table.rows:
        if row.source:
            sources.setdefault(row.source, []).append(row.label)
    notes = [
        f"Paper columns{'' if len(labels) == len(table.rows) else ' of ' + '; '.join(labels)}: {source}."
        for source, labels in sources.items()
    ]
    notes += table.notes
    if any("*" in cell for line in lines for cell in line):
        notes.append(
            "\\* not the complete published set, or not at the published input size: not comparable."
        )
    for row in table.rows:
        differs = list(dict.fromkeys(key for result in found.get(row.name, ()) for key in result.differs))
        if differs:
            more = f" and {len(differs) - _SHOWN} more" if len(differs) > _SHOWN else ""
            notes.append(f"† {row.label}: not the recipe in {', '.join(differs[:_SHOWN])}{more}.")
    return "\n".join([f"### {table.title}", "", _markdown(lines), *(f"\n{note}" for note in notes)])


def format_other(results: Sequence[Result]) -> str:
    """The results that belong to no row of the paper, in Markdown; a blank where a measure is missing."""
    pairs = (("noc@85", "noc@90"), ("iou@5", "iou@10"))
    lines = [["", "benchmark", *(_heading(pair) for pair in pairs)]]
    for result in results:
        for benchmark in result.values:
            cells = [_measured([result], benchmark, pair) for pair in pairs]
            lines.append([str(result.path.parent), benchmark, *cells])
    return f"### Other results\n\n{_markdown(lines)}"


def _heading(columns: Sequence[str]) -> str:
    """``("noc@85", "noc@90")`` -> ``NoC@85/90``."""
    if columns[0] == "images/s":
        return columns[0]
    kind, unit = ("NoC", "") if columns[0].startswith("noc") else ("IoU", ", %")
    return f"{kind}@{'/'.join(column.partition('@')[2] for column in columns)}{unit}"


def _number(value: float, column: str) -> str:
    """IoUs in percent, as the paper prints them; two digits of everything."""
    return f"{100 * value if column.startswith('iou') else value:.2f}"


def _measured(results: Sequence[Result], benchmark: str, columns: Sequence[str]) -> str:
    results = [result for result in results if benchmark in result.values]
    cells = []
    for column in columns:
        values = [v for result in results if (v := result.values[benchmark].get(column)) is not None]
        cell = _number(statistics.fmean(values), column) if values else ""
        cells.append(cell + (f" ± {_number(statistics.stdev(values), column)}" if len(values) > 1 else ""))
    if not any(cells):
        return ""
    whole = all(result.comparable.get(benchmark, False) for result in results)
    seeds = f" (n={len(results)})" if len(results) > 1 else ""
    marks = ("" if whole else "\\*") + ("†" if any(result.differs for result in results) else "")
    return " / ".join(cells) + seeds + marks


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rows = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    return "\n".join([rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]])
