"""``mis compare``: compare segmenters with the same simulated user in one table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from tqdm import tqdm

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_sessions
from mis_lightning.metrics.report import COLUMNS, FEEL_COLUMNS, format_table, write_report
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.pretrained import describe
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.registry import NAMES_HELP, label_of, open_segmenter


def main(args: Sequence[str]) -> int:
    """Run ``mis compare NAME... [--benchmark NAME] [--root DIR] [--folder DIR] [--batch-size N]``.

    Raises:
        InputError: There is no such model, or the benchmark's folder does not hold it.
    """
    parser = argparse.ArgumentParser(
        prog="mis compare",
        description="Evaluate several segmenters with the same simulated user; all 20 clicks are made.",
    )
    parser.add_argument(
        "what",
        nargs="+",
        metavar="NAME",
        help=f"{NAMES_HELP}; LABEL=NAME gives it another name in the table",
    )
    parser.add_argument("--benchmark", default="bundled", choices=["bundled", *BENCHMARKS])
    parser.add_argument("--root", type=Path, help="folder of the benchmark; `bundled` needs none")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/compare"), help="output folder of the reports"
    )
    parser.add_argument("--batch-size", type=int, default=8, help="objects evaluated together")
    given = parser.parse_args(args)
    benchmark = open_benchmark(given.benchmark, given.root)
    entries = [_label(entry) for entry in given.what]
    if len({label for label, _ in entries}) < len(entries):
        raise InputError(
            "Expected distinct names in the table, but got "
            f"{', '.join(label for label, _ in entries)}; LABEL=NAME renames one."
        )
    segmenters = [(label, name, open_segmenter(name)) for label, name in entries]
    evaluation, rows = EvaluationSettings(target_iou=None), []
    for label, name, segmenter in segmenters:
        samples = (benchmark[index] for index in range(len(benchmark)))
        sessions = simulate_sessions(segmenter, samples, evaluation, given.batch_size)
        done = list(tqdm(sessions, total=len(benchmark), desc=label, unit="object"))
        settings = {
            "segmenter": name,
            "identity": segmenter.identity,
            "evaluation": {**segmenter.settings(), **asdict(evaluation), "threshold": segmenter.threshold},
            "comparable": {benchmark.name: benchmark.comparable},
        }
        if isinstance(segmenter, ClickModelSegmenter) and isinstance(segmenter.model, ClickNetwork):
            settings["model"] = describe(segmenter.model)
        (row,) = write_report(given.folder / label, {benchmark.name: done}, settings)
        rows.append(replace(row, benchmark=label))
    table = format_table(rows, columns={**COLUMNS, **FEEL_COLUMNS})
    print(f"{benchmark.name}, reports in {given.folder}\n{table}")
    return 0


def open_benchmark(name: str, root: Path | None) -> Benchmark:
    """Open a benchmark by its name.

    Raises:
        InputError: It needs a folder and got none, or the folder does not hold it.
    """
    if name == "bundled":
        return BundledBenchmark()
    if root is None:
        raise InputError(
            f"Expected the folder of {name} as --root, but got none; `mis prepare {name}` prepares it."
        )
    return BENCHMARKS[name](root)


def _label(entry: str) -> tuple[str, str]:
    """``LABEL=NAME``, or a name with its own label."""
    label, given, name = entry.partition("=")
    return (label, name) if given and label and "/" not in label else (label_of(entry), entry)
