"""``mis baseline``: cv2.grabCut driven by the same simulated user, in the same table as ``mis test``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.errors import InputError
from mis_lightning.inference.grabcut import GrabCutPredictor
from mis_lightning.inference.session import EvaluationSettings, simulate_sessions
from mis_lightning.metrics.report import format_table, write_report


def main(args: Sequence[str]) -> int:
    """Run ``mis baseline [--benchmark NAME] [--root DIR] [--folder DIR]``."""
    parser = argparse.ArgumentParser(prog="mis baseline", description=__doc__)
    parser.add_argument("--benchmark", default="bundled", choices=["bundled", *BENCHMARKS])
    parser.add_argument("--root", type=Path, help="folder of the benchmark; `bundled` needs none")
    parser.add_argument("--folder", type=Path, default=Path("runs/baseline"), help="where the report goes")
    given = parser.parse_args(args)
    benchmark = open_benchmark(given.benchmark, given.root)
    predictor = GrabCutPredictor()
    settings = EvaluationSettings(target_iou=None)
    samples = (benchmark[index] for index in range(len(benchmark)))
    progress = tqdm(simulate_sessions(predictor, samples, settings), total=len(benchmark), unit="object")
    record = {"evaluation": settings, "predictor": "cv2.grabCut", **vars(GrabCutPredictor())}
    rows = write_report(
        given.folder, {benchmark.name: list(progress)}, {k: v for k, v in record.items() if k[0] != "_"}
    )
    print(format_table(rows))
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
