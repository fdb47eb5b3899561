"""``mis compare``: click models and methods without training, one simulated user, one table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.errors import InputError
from mis_lightning.inference.grabcut import GrabCutPredictor
from mis_lightning.inference.session import EvaluationSettings, simulate_sessions
from mis_lightning.inference.tree_predictor import TreePredictor
from mis_lightning.metrics.report import format_table, write_report
from mis_lightning.models.pretrained import load_pretrained

WITHOUT_TRAINING: Mapping[str, Callable[[], GrabCutPredictor | TreePredictor]] = {
    "cv2.grabCut": GrabCutPredictor,
    "cv2.grabCut-plain": lambda: GrabCutPredictor(click_radius=2, iterations=1),
    "merge-tree": TreePredictor,
}


def main(args: Sequence[str]) -> int:
    """Run ``mis compare WHAT... [--benchmark NAME] [--root DIR] [--folder DIR] [--batch-size N]``.

    Raises:
        InputError: There is no such model, or the benchmark's folder does not hold it.
    """
    parser = argparse.ArgumentParser(
        prog="mis compare",
        description="Evaluate several predictors with the same simulated user; all 20 clicks are made.",
    )
    parser.add_argument(
        "what",
        nargs="+",
        metavar="WHAT",
        help=f"one of {', '.join(WITHOUT_TRAINING)}; or a click model (a folder, a .ckpt, the name of a "
        "shipped one); LABEL=WHAT gives it another name in the table",
    )
    parser.add_argument("--benchmark", default="bundled", choices=["bundled", *BENCHMARKS])
    parser.add_argument("--root", type=Path, help="folder of the benchmark; `bundled` needs none")
    parser.add_argument("--folder", type=Path, default=Path("runs/compare"), help="where the reports go")
    parser.add_argument("--batch-size", type=int, default=8, help="objects a click model answers together")
    given = parser.parse_args(args)
    benchmark = open_benchmark(given.benchmark, given.root)
    entries = [_label(entry) for entry in given.what]
    if len({label for label, _ in entries}) < len(entries):
        raise InputError(
            "Expected distinct names in the table, but got "
            f"{', '.join(label for label, _ in entries)}; LABEL=WHAT renames one."
        )
    predictors = [(label, source, _open(source)) for label, source in entries]
    rows = []
    for label, source, (predictor, settings) in predictors:
        batch_size = 1 if source in WITHOUT_TRAINING else given.batch_size
        samples = (benchmark[index] for index in range(len(benchmark)))
        evaluation = EvaluationSettings(target_iou=None)
        sessions = simulate_sessions(predictor, samples, evaluation, batch_size)
        done = list(tqdm(sessions, total=len(benchmark), desc=label, unit="object"))
        if source in WITHOUT_TRAINING:  # zoom-in and flip are of click models; these see the image as it is
            asked: Any = {
                name: getattr(evaluation, name) for name in ("max_clicks", "target_iou", "threshold")
            }
        else:
            asked = evaluation
        (row,) = write_report(
            given.folder / label,
            {benchmark.name: done},
            {
                "evaluation": asked,
                "predictor": source,
                **settings,
                "comparable": {benchmark.name: benchmark.comparable},
            },
        )
        rows.append(replace(row, benchmark=label))
    print(f"{benchmark.name}, reports in {given.folder}\n{format_table(rows)}")
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
            f"Expected the folder of {name} as --root, but got none; `mis prepare {name}` gets it ready."
        )
    return BENCHMARKS[name](root)


def _label(entry: str) -> tuple[str, str]:
    """``LABEL=WHAT``, or ``WHAT`` whose label is its last part without a suffix."""
    label, given, source = entry.partition("=")
    if not given or not label or "/" in label:
        label, source = (entry if entry in WITHOUT_TRAINING else Path(entry).stem), entry
    return label, source


def _open(source: str) -> tuple[Any, Mapping[str, Any]]:
    """The predictor or click model, and what fixes its answers as JSON values."""
    if source in WITHOUT_TRAINING:
        predictor = WITHOUT_TRAINING[source]()
        return predictor, predictor.settings()
    model = load_pretrained(source)
    return model, {"model": {"architecture": type(model).__name__, **model.config}}
