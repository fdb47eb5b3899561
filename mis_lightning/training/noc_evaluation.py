"""Evaluate the click model on the benchmarks of the data module in ``validate``, ``test`` and ``fit``."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities.seed import isolate_rng

from mis_lightning.console import counted
from mis_lightning.data.benchmark_groups import SampleBatch
from mis_lightning.errors import InputError
from mis_lightning.evaluation.published_size import at_published_size
from mis_lightning.evaluation.simulation import EvaluationSettings, SimulatedSession, simulate_sessions
from mis_lightning.metrics.noc import NumberOfClicks
from mis_lightning.metrics.report import BenchmarkSummary, format_table, write_report
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.training.datamodule import MISDataModule
from mis_lightning.training.processes import of_all_processes

TOLD_EVERY = 20.0
"""Seconds between two lines on how far an evaluation is."""


class NoCEvaluation(L.Callback):
    """Simulated users on every benchmark: NoC, failures, IoU@k.

    Logs ``val/<benchmark>/noc_85`` and so on. ``validate`` and ``test`` also print the table and write
    ``results.json``, ``table.md`` and ``curves.csv``. Several processes share the objects, each object counts
    once, and the result is that of one process, on the CPU bit for bit. Train mode and random state are left
    as they were.

    Args:
        settings: How a session runs; ``None``: the published protocol, but all clicks are made, since IoU@k
            needs them (NoC is the same either way).
        batch_size: Objects that advance together. Their answers round a little differently from those of
            another number.
        folder: Where the report goes; ``None``: the logger's folder.
        show: Print the table.
        prediction: How the network is asked; the published protocol unless given.

    Attributes:
        rows: The table of the last ``validate`` or ``test``, a row per benchmark.
    """

    def __init__(
        self,
        settings: EvaluationSettings | None = None,
        batch_size: int = 8,
        folder: str | None = None,
        show: bool = True,
        prediction: PredictionSettings | None = None,
    ) -> None:
        self.settings = settings if settings is not None else EvaluationSettings(target_iou=None)
        self.prediction = prediction if prediction is not None else PredictionSettings()
        self.batch_size = batch_size
        self.folder = folder
        self.show = show
        self.rows: list[BenchmarkSummary] = []
        self.sessions: dict[int, dict[int, SimulatedSession]] = {}
        self._told = time.monotonic()

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the last evaluation."""
        self.sessions = {}

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the last evaluation."""
        self.sessions = {}

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Evaluate the objects of the batch."""
        if not trainer.sanity_checking:
            self._evaluate(trainer, pl_module, batch, dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Evaluate the objects of the batch."""
        self._evaluate(trainer, pl_module, batch, dataloader_idx)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the result; outside ``fit`` also print and write it."""
        if not trainer.sanity_checking:
            self._conclude(trainer, pl_module, "validate", "val")

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log, print and write the result."""
        self._conclude(trainer, pl_module, "test", "test")

    def _evaluate(self, trainer: L.Trainer, model: L.LightningModule, batch: Any, benchmark: int) -> None:
        if not isinstance(batch, SampleBatch):
            raise InputError(
                "NoCEvaluation evaluates the benchmarks of MISDataModule, but got other batches."
            )
        samples = [sample for _, sample in batch.items]
        segmenter = ClickModelSegmenter(model, self.prediction)
        with isolate_rng():
            done = simulate_sessions(segmenter, samples, self.settings, self.batch_size)
            for (index, _), seconds, session in zip(batch.items, batch.seconds, done, strict=True):
                # Seconds per click count the reading of the image, too (docs/protocol.md#seconds-per-click).
                session = dataclasses.replace(session, seconds=session.seconds + seconds)
                self.sessions.setdefault(benchmark, {})[index] = session
                self._tell(trainer, benchmark)

    def _tell(self, trainer: L.Trainer, benchmark: int) -> None:
        """Say how far an evaluation is where no bar does: a line now and then."""
        bar: ProgressBar | None = trainer.progress_bar_callback
        quiet = bar is not None or not trainer.is_global_zero or time.monotonic() - self._told < TOLD_EVERY
        if quiet:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, MISDataModule):
            return
        self._told = time.monotonic()
        whole = data.benchmarks["test" if trainer.testing else "validate"][benchmark]
        done = f"{len(self.sessions[benchmark])} of {counted(len(whole), 'object')}"
        print(f"{whole.name}: {done}", file=sys.stderr, flush=True)

    def _conclude(self, trainer: L.Trainer, module: L.LightningModule, stage: str, prefix: str) -> None:
        gathered = self.sessions = _gather(self.sessions)
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, MISDataModule) or not gathered:
            return
        benchmarks = {
            b.name: (number, b) for number, b in enumerate(data.benchmarks[stage]) if number in gathered
        }
        results = {
            name: [session for _, session in sorted(gathered[number].items())]
            for name, (number, _) in benchmarks.items()
        }
        for name, sessions in results.items():
            metric = NumberOfClicks(self.settings.max_clicks, sync_on_compute=False)
            for index, session in enumerate(sessions):
                metric.update(index, session.ious)
            # "@" is not allowed in the metric names of some loggers.
            logged = {
                f"{prefix}/{name}/{key.replace('@', '_')}": float(value)
                for key, value in metric.compute().items()
            }
            # All processes hold the same values. The maximum of equal values is exact, and a metric that
            # every process has may decide what ModelCheckpoint keeps.
            module.log_dict(logged, sync_dist=True, reduce_fx="max")
        if trainer.state.fn == "fit":
            return
        log_dir = trainer.log_dir  # every process must ask: the answer is broadcast
        if trainer.is_global_zero:
            folder = Path(self.folder or log_dir or trainer.default_root_dir)
            segmenter = ClickModelSegmenter(module, self.prediction)
            settings = {
                "evaluation": {
                    **segmenter.settings(),
                    **dataclasses.asdict(self.settings),
                },
                "batch_size": self.batch_size,
                "processes": trainer.world_size,
                "checkpoint": str(trainer.ckpt_path or ""),
                "model": getattr(module, "model_config", {}),
                "data": {name: benchmark.provenance() for name, (_, benchmark) in benchmarks.items()},
                "config": _config(trainer),
                "comparable": {
                    name: benchmark.comparable
                    and len(results[name]) == len(benchmark)
                    and at_published_size(segmenter, benchmark) is segmenter
                    for name, (_, benchmark) in benchmarks.items()
                },
            }
            self.rows = write_report(folder, results, settings, max_clicks=self.settings.max_clicks)
            if self.show:
                print(format_table(self.rows))
                print(f"\ntable, curves and every setting: {folder}/table.md, curves.csv, results.json")


def _config(trainer: L.Trainer) -> dict[str, Any]:
    """Everything the command line and its config files said; empty in a script of one's own."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, SaveConfigCallback):
            return dict(yaml.safe_load(callback.parser.dump(callback.config, skip_none=False)))
    return {}


def _gather(sessions: dict[int, dict[int, SimulatedSession]]) -> dict[int, dict[int, SimulatedSession]]:
    """Merge the sessions of all processes; an object that two processes saw stays once."""
    merged: dict[int, dict[int, SimulatedSession]] = {}
    for part in of_all_processes(sessions):
        for benchmark, found in part.items():
            merged.setdefault(benchmark, {}).update(found)
    return merged
