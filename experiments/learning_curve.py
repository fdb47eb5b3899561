"""NoC of several checkpoints and of cv2.grabCut in one table, with one simulated user, in one run.

    python experiments/learning_curve.py --benchmark GrabCut --root $MIS_DATA_DIR/GrabCut \
        --folder runs/curve untrained=- 15min=a.ckpt 60min=b.ckpt grabcut=cv2

``LABEL=-`` is a network of ``--config`` with random weights, ``LABEL=cv2`` is cv2.grabCut.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from mis_lightning.commands.baseline import open_benchmark
from mis_lightning.commands.lightning import run
from mis_lightning.inference.grabcut import GrabCutPredictor
from mis_lightning.inference.session import EvaluationSettings, simulate_sessions
from mis_lightning.metrics.report import format_table, write_report
from mis_lightning.models.pretrained import load_pretrained


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--benchmark", default="bundled")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("runs/curve"))
    parser.add_argument("--config", default="configs/cpu.yaml")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("models", nargs="+", metavar="LABEL=CHECKPOINT")
    given = parser.parse_args()
    benchmark = open_benchmark(given.benchmark, given.root)
    settings = EvaluationSettings(target_iou=None)
    rows = []
    for entry in given.models:
        label, _, source = entry.partition("=")
        samples = (benchmark[index] for index in range(len(benchmark)))
        batch_size = 1 if source == "cv2" else given.batch_size
        sessions = simulate_sessions(_answerer(source, given.config), samples, settings, batch_size)
        done = list(tqdm(sessions, total=len(benchmark), desc=label, unit="object"))
        report = {"evaluation": settings, "model": source}
        rows += [
            replace(row, benchmark=label)
            for row in write_report(given.folder / label, {benchmark.name: done}, report)
        ]
    table = format_table(rows, "markdown", with_intervals=True)
    (given.folder / "table.md").write_text(table + "\n")
    print(format_table(rows))


def _answerer(source: str, config: str) -> Any:
    if source == "cv2":
        return GrabCutPredictor()
    if source == "-":
        torch.manual_seed(0)
        return run([f"--config={config}"], run=False).model.model.eval()
    return load_pretrained(source)


if __name__ == "__main__":
    main()
