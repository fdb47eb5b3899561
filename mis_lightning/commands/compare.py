"""``mis compare``: compare segmenters with the same simulated user in one table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mis_lightning.commands import options
from mis_lightning.console import counted, told
from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.data.labelled_folder import LabelledFolder
from mis_lightning.errors import InputError, of_system
from mis_lightning.evaluation.published_size import at_published_size
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_sessions
from mis_lightning.files import try_writing
from mis_lightning.metrics.report import COLUMNS, FEEL_COLUMNS, format_table, write_report
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.pretrained import describe
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.registry import label_of, open_segmenter


def main(args: Sequence[str]) -> int:
    """Run ``mis compare NAME... [--benchmark NAME --root DIR | --images DIR --masks PATH]``.

    Raises:
        InputError: There is no such model, or the images of the benchmark are not there.
    """
    given = options.compare().parse_args(args)
    benchmark = _benchmark(given)
    entries = [_label(entry) for entry in given.what]
    if len({label for label, _ in entries}) < len(entries):
        raise InputError(
            "Expected distinct names in the table, but got "
            f"{', '.join(label for label, _ in entries)}; LABEL=NAME renames one."
        )
    segmenters = [
        (label, name, at_published_size(open_segmenter(name), benchmark)) for label, name in entries
    ]
    folder = given.folder if given.folder is not None else Path("runs/compare") / benchmark.name
    _check_writable(folder)
    evaluation, rows = EvaluationSettings(target_iou=None), []
    for label, name, segmenter in segmenters:
        samples = (benchmark[index] for index in range(len(benchmark)))
        sessions = simulate_sessions(segmenter, samples, evaluation, given.batch_size)
        done = list(told(sessions, len(benchmark), label, "object"))
        settings = {
            "segmenter": name,
            "identity": segmenter.identity,
            "evaluation": {**segmenter.settings(), **asdict(evaluation), "threshold": segmenter.threshold},
            "comparable": {benchmark.name: benchmark.comparable},
            "data": {benchmark.name: benchmark.provenance()},
        }
        if isinstance(segmenter, ClickModelSegmenter) and isinstance(segmenter.model, ClickNetwork):
            settings["model"] = describe(segmenter.model)
        (row,) = write_report(folder / label, {benchmark.name: done}, settings)
        rows.append(replace(row, benchmark=label))
    table = format_table(rows, columns={**COLUMNS, **FEEL_COLUMNS})
    print(f"{_heading(benchmark)}, reports in {folder}\n{table}")
    return 0


def open_benchmark(name: str, root: Path | None, *, allow_incomplete: bool = False) -> Benchmark:
    """Open a benchmark by its name.

    Args:
        name: ``bundled``, or a published one.
        root: Its folder.
        allow_incomplete: Work with what is there of a published one.

    Raises:
        InputError: It needs a folder and got none, or the folder does not hold it.
    """
    if name == "bundled":
        return BundledBenchmark()
    if root is None:
        raise InputError(
            f"Expected the folder of {name} as --root, but got none; `mis prepare {name}` prepares it."
        )
    return BENCHMARKS[name](root, allow_incomplete=allow_incomplete)


def _check_writable(folder: Path) -> None:
    """Find out before hours of clicks whether the reports can be kept.

    Raises:
        InputError: They cannot.
    """
    try:
        try_writing(folder)
    except OSError as error:
        raise InputError(f"The reports cannot be saved in {folder}: {of_system(error)}") from error


def _benchmark(given: argparse.Namespace) -> Benchmark:
    """The user's own images, or a benchmark."""
    own = ("images", "masks", "objects_per_image", "limit", "min_area", "seed", "window", "channels", "axis")
    named = [name for name in (*own, "ignore_label") if getattr(given, name) is not None]
    published = [name for name in ("benchmark", "root", "incomplete") if getattr(given, name)]
    if named and published:
        raise InputError(
            "Expected either --images and --masks, for images of your own, or --benchmark with --root, but "
            f"got {_option(named[0])} and {_option(published[0])}."
        )
    if not named:
        return open_benchmark(given.benchmark or "bundled", given.root, allow_incomplete=given.incomplete)
    if given.images is None or given.masks is None:
        raise InputError(f"Expected both --images and --masks, but got {_option(named[0])} alone.")
    drawn = {name: getattr(given, name) for name in named if name not in ("window", "channels")}
    return LabelledFolder(**drawn, reading=options.reading(given))


def _heading(benchmark: Benchmark) -> str:
    """What the table is of; what of it another report must share to be of the same objects."""
    if isinstance(benchmark, LabelledFolder):
        return f"{benchmark.name}, your own images ({counted(len(benchmark), 'object')}, {benchmark.digest})"
    return benchmark.name


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _label(entry: str) -> tuple[str, str]:
    """``LABEL=NAME``, or a name with its own label."""
    label, given, name = entry.partition("=")
    return (label, name) if given and label and "/" not in label else (label_of(entry), entry)
