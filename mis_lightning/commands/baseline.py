"""``mis baseline``: predictors that need no training, with the simulated user and table of ``mis test``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.errors import InputError
from mis_lightning.inference.grabcut import GrabCutPredictor
from mis_lightning.inference.session import EvaluationSettings, simulate_sessions
from mis_lightning.inference.tree_predictor import TreePredictor
from mis_lightning.metrics.report import format_table, write_report

PREDICTORS: Mapping[str, Callable[[], GrabCutPredictor | TreePredictor]] = {
    "cv2.grabCut": GrabCutPredictor,
    "merge-tree": TreePredictor,
}


def main(args: Sequence[str]) -> int:
    """Run ``mis baseline [--benchmark NAME] [--root DIR] [--folder DIR]``."""
    parser = argparse.ArgumentParser(prog="mis baseline", description=__doc__)
    parser.add_argument("--predictor", default="cv2.grabCut", choices=list(PREDICTORS))
    parser.add_argument("--benchmark", default="bundled", choices=["bundled", *BENCHMARKS])
    parser.add_argument("--root", type=Path, help="folder of the benchmark; `bundled` needs none")
    parser.add_argument("--folder", type=Path, default=Path("runs/baseline"), help="where the report goes")
    given = parser.parse_args(args)
    benchmark = open_benchmark(given.benchmark, given.root)
    predictor = PREDICTORS[given.predictor]()
    settings = EvaluationSettings(target_iou=None)
    samples = (benchmark[index] for index in range(len(benchmark)))
    progress = tqdm(simulate_sessions(predictor, samples, settings), total=len(benchmark), unit="object")
    rows = write_report(
        given.folder,
        {benchmark.name: list(progress)},
        {
            # zoom-in and flip are of click models: these predictors see the image as it is
            "evaluation": {
                "max_clicks": settings.max_clicks,
                "target_iou": None,
                "threshold": settings.threshold,
            },
            "predictor": given.predictor,
            **predictor.settings(),
            "comparable": {benchmark.name: benchmark.comparable},
        },
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
