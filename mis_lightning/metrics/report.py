"""Sessions of benchmarks -> the usual table, a JSON file with all details, and the curves as CSV.

``results.json`` holds every setting, the versions and the machine; ``curves.csv`` has one row per click, so
that plots and other thresholds need no second run; ``table.md`` is the table with confidence intervals.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.files import written_whole
from mis_lightning.metrics.curves import SessionRecord, curves_to_csv
from mis_lightning.metrics.functional import number_of_clicks, regressions
from mis_lightning.metrics.provenance import provenance
from mis_lightning.metrics.summary import IOU_CLICKS, THRESHOLDS, summarise

COLUMNS: Mapping[str, str] = {
    "n": "n",
    "NoC@80": "noc@80",
    "NoC@85": "noc@85",
    "NoC@90": "noc@90",
    "≥{max}@85": "failures@85",
    "≥{max}@90": "failures@90",
    "SPC": "spc",
    "IoU@1": "iou@1",
    "IoU@5": "iou@5",
    "IoU@10": "iou@10",
}
"""Heading -> name of the value. ``{max}`` is the budget of clicks; SPC is seconds per click."""

FEEL_COLUMNS: Mapping[str, str] = {"regressions": "regressions", "far": "far"}
"""More of them, of how clicks feel. ``regressions``: clicks after which the IoU fell, mean over the objects;
``far``: mean share of the pixels a click changed that lie farther from it than the object's own radius, over
all clicks but the first of each object."""

NOT_COMPARABLE = "not comparable with published figures"
"""Below a table, of rows with a star."""

RESAMPLES = 2000
"""Bootstrap resamples."""


@dataclasses.dataclass(frozen=True)
class BenchmarkSummary:
    """One row of the table.

    Attributes:
        benchmark: Its name.
        values: As :func:`~mis_lightning.metrics.summary.summarise` gives them, with ``spc`` (seconds per
            click, loading included), ``model_spc`` (the model alone), and those of :data:`FEEL_COLUMNS`.
        intervals: Bootstrap interval ``(low, high)`` of each mean among ``values``.
        max_clicks: The budget of clicks, and the score of a failure.
        comparable: Whether its figures may stand next to published ones; a table marks those that may not.
    """

    benchmark: str
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    max_clicks: int
    comparable: bool = True


def summarise_sessions(
    benchmark: str,
    sessions: Sequence[SessionRecord],
    generator: np.random.Generator,
    *,
    max_clicks: int = 20,
    resamples: int = RESAMPLES,
) -> BenchmarkSummary:
    """Put the sessions of one benchmark into one row.

    Args:
        benchmark: Its name.
        sessions: One for each object.
        generator: Draws the bootstrap resamples.
        max_clicks: The budget the sessions ran with.
        resamples: Bootstrap resamples.

    Raises:
        InputError: No sessions, or two objects of one name.
    """
    names = {session.name for session in sessions}
    if not sessions or len(names) < len(sessions):
        raise InputError(
            f"Expected sessions of distinct objects for {benchmark}, but got {len(sessions)} sessions "
            f"of {len(names)} objects."
        )
    curves = [session.ious for session in sessions]
    clicks = sum(len(curve) for curve in curves)
    values = summarise(curves, max_clicks)
    values["spc"] = sum(session.seconds for session in sessions) / clicks
    values["model_spc"] = sum(session.model_seconds for session in sessions) / clicks
    values["regressions"] = float(np.mean([regressions(curve) for curve in curves]))
    later = [session.far[1:] for session in sessions if session.far is not None]
    known = np.concatenate([share[~np.isnan(share)] for share in later]) if later else np.zeros(0)
    if known.size:
        values["far"] = float(known.mean(dtype=np.float64))
    samples = {
        f"noc@{100 * threshold:g}": [number_of_clicks(curve, threshold, max_clicks) for curve in curves]
        for threshold in THRESHOLDS
    }
    samples |= {f"iou@{k}": [curve[k - 1] for curve in curves] for k in IOU_CLICKS if f"iou@{k}" in values}
    intervals = bootstrap_intervals(
        {key: np.asarray(sample, dtype=np.float64) for key, sample in samples.items()}, generator, resamples
    )
    return BenchmarkSummary(benchmark, values, intervals, max_clicks)


def bootstrap_intervals(
    samples: Mapping[str, NDArray[np.float64]],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of means over the same objects.

    Args:
        samples: One value for each object, float64, ``(n,)`` each; ``nan`` is left out of a mean.
        generator: Draws the resamples; all measures see the same objects in a resample.
        resamples: How many.
        level: Probability mass inside, in ``(0, 1)``.

    Returns:
        ``(low, high)`` by name, ``nan`` where a measure has no value.

    Raises:
        InputError: Samples of different length, no resamples, or a level outside ``(0, 1)``.
    """
    lengths = {len(sample) for sample in samples.values()}
    if len(lengths) > 1 or resamples < 1 or not 0 < level < 1:
        raise InputError(
            "Expected samples of one length, `resamples` >= 1 and `level` in (0, 1), "
            f"but got lengths {sorted(lengths)}, {resamples} and {level}."
        )
    n = lengths.pop() if lengths else 0
    means = {key: np.full(resamples, np.nan) for key in samples}
    for row in range(resamples if n else 0):
        # How often each object was drawn: one small vector, whatever the number of measures.
        weights = np.bincount(generator.integers(n, size=n), minlength=n)
        for key, sample in samples.items():
            known = ~np.isnan(sample)
            total = weights[known].sum()
            means[key][row] = weights[known] @ sample[known] / total if total else np.nan
    tails = (50 * (1 - level), 50 * (1 + level))
    intervals = {}
    for key, drawn in means.items():
        low, high = (math.nan, math.nan) if np.isnan(drawn).all() else np.nanpercentile(drawn, tails)
        intervals[key] = (float(low), float(high))
    return intervals


def format_table(
    rows: Sequence[BenchmarkSummary],
    style: str = "text",
    *,
    with_intervals: bool = False,
    columns: Mapping[str, str] = COLUMNS,
) -> str:
    """The table in the usual columns; rows that are not comparable have a star, and a line below says so.

    Args:
        rows: One for each benchmark, of one budget of clicks.
        style: ``"text"`` (aligned) or ``"markdown"``.
        with_intervals: Add the 95 % interval to each mean, ``4.12 (3.51-4.80)``.
        columns: Heading -> name of the value.

    Raises:
        InputError: Another style, or rows of different budgets.

    >>> row = BenchmarkSummary("GrabCut", {"n": 50, "noc@90": 2.5, "failures@90": 0}, {}, 20)
    >>> print(format_table([row]))
    benchmark   n  NoC@80  NoC@85  NoC@90  ≥20@85  ≥20@90  SPC  IoU@1  IoU@5  IoU@10
    GrabCut    50       -       -    2.50       -       0    -      -      -       -
    """
    budgets = {row.max_clicks for row in rows}
    if style not in ("text", "markdown") or len(budgets) > 1:
        raise InputError(
            "Expected `style` text or markdown and rows of one budget of clicks, "
            f"but got {style!r} and budgets {sorted(budgets)}."
        )
    budget = budgets.pop() if budgets else 20
    cells = [["benchmark", *(heading.format(max=budget) for heading in columns)]]
    star = {True: "", False: " *" if style == "text" else r" \*"}
    cells += [
        [
            row.benchmark + star[row.comparable],
            *(_cell(row, key, with_intervals) for key in columns.values()),
        ]
        for row in rows
    ]
    note = "" if all(row.comparable for row in rows) else f"\n\n{star[False].strip()} {NOT_COMPARABLE}"
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    padded = [
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        for line in cells
    ]
    if style == "text":
        return "\n".join("  ".join(line).rstrip() for line in padded) + note
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]]) + note


def _cell(row: BenchmarkSummary, key: str, with_intervals: bool) -> str:
    value = row.values.get(key)
    if value is None or math.isnan(value):
        return "-"
    kind = key.split("@")[0]
    digits = {"noc": 2, "spc": 3, "iou": 3, "regressions": 2, "far": 3}.get(kind, 0)
    text = f"{value:.{digits}f}"
    if with_intervals and key in row.intervals:
        low, high = row.intervals[key]
        text += f" ({low:.{digits}f}-{high:.{digits}f})"
    return text


def write_report(
    folder: str | Path,
    results: Mapping[str, Sequence[SessionRecord]],
    settings: Mapping[str, Any],
    *,
    max_clicks: int = 20,
    seed: int = 0,
) -> list[BenchmarkSummary]:
    """Write ``results.json``, ``table.md`` and ``curves.csv``, each atomically.

    Args:
        folder: Made where missing; earlier files of these names are replaced.
        results: Sessions by benchmark.
        settings: Everything the figures depend on (model, weights, thresholds, data); dataclasses and
            paths are understood. ``comparable``, by benchmark, says which rows get no star.
        max_clicks: The budget the sessions ran with.
        seed: Of the bootstrap.

    Returns:
        The rows of the table.
    """
    generator = np.random.default_rng(seed)
    comparable = settings.get("comparable", {})
    rows = [
        dataclasses.replace(
            summarise_sessions(benchmark, sessions, generator, max_clicks=max_clicks),
            comparable=comparable.get(benchmark, True),
        )
        for benchmark, sessions in results.items()
    ]
    record = {
        "format": 1,
        "settings": settings,
        "bootstrap": {"seed": seed, "resamples": RESAMPLES, "level": 0.95},
        "max_clicks": max_clicks,
        "benchmarks": {row.benchmark: {"values": row.values, "intervals": row.intervals} for row in rows},
        **provenance(),
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain(record), indent=2, allow_nan=False, ensure_ascii=False)
    _write(folder / "results.json", text + "\n")
    _write(folder / "table.md", format_table(rows, "markdown", with_intervals=True) + "\n")
    _write(folder / "curves.csv", curves_to_csv(results))
    return rows


def _plain(value: Any) -> Any:
    """Into what JSON knows: ``nan`` becomes null, everything unknown its text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _write(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
