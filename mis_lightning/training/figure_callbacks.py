"""Pictures while training and after an evaluation, as files and to the loggers that take images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.seed import isolate_rng
from matplotlib.figure import Figure

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import SimulatedSession
from mis_lightning.figures.click_sequence import click_sequence, simulated_steps
from mis_lightning.figures.drawn_regions import drawn_regions
from mis_lightning.figures.merge_levels import merging_step, shallow_nodes
from mis_lightning.figures.noc_curve import iou_curves
from mis_lightning.figures.save import save
from mis_lightning.figures.training_batch import training_batch
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Prompt
from mis_lightning.training.datamodule import MISDataModule
from mis_lightning.training.noc_evaluation import NoCEvaluation


class RegionFigures(L.Callback):
    """When training starts: what the first images offer it.

    Of each image the regions of some draws, and, if its source makes merge trees, single merges and the nodes
    nearest to the root. The training itself is not touched.

    Args:
        images: How many images.
        draws: Regions drawn of each.
        folder: Where the pictures go; ``None``: ``figures`` in the logger's folder.

    Raises:
        InputError: A number below 1.
    """

    def __init__(self, images: int = 2, draws: int = 7, folder: str | None = None) -> None:
        if min(images, draws) < 1:
            raise InputError("Expected `images` and `draws` of at least 1.")
        self.images = images
        self.draws = draws
        self.folder = folder

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the pictures."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, MISDataModule) or data.training_set is None:
            raise InputError("RegionFigures needs the images of MISDataModule, but got other batches.")
        folder = _folder(self.folder, trainer)
        if not trainer.is_global_zero:
            return
        dataset = data.training_set
        for number, one in enumerate(dataset.images[: self.images]):
            image, regions = one.read(), dataset.store.load(one.key)
            size, generator = (image.shape[0], image.shape[1]), np.random.default_rng(dataset.seed)
            masks = [dataset.source.draw(regions, size, generator) for _ in range(self.draws)]
            figures = {"drawn": drawn_regions(image, masks)}
            if isinstance(regions, MergeTree):
                few = regions.n_leaves - 1
                merges = [merge for merge in (-128, -32, -8, -1) if -merge <= few]
                figures["merging"] = merging_step(image, regions, merges)
                counts = [count for count in (2, 4, 8, 16, 32, 64) if count <= few]
                figures["shallow"] = shallow_nodes(image, regions, counts)
            for kind, figure in figures.items():
                _hand_out(figure, folder / f"image{number}_{kind}", f"train/image{number}_{kind}", trainer)


class TrainingFigures(L.Callback):
    """A picture of a batch at intervals: images, regions, first points, answers to them.

    Args:
        every_n_steps: Steps from one picture to the next; the first comes at the first step.
        count: Samples shown.
        folder: Where the pictures go; ``None``: ``figures`` in the logger's folder.

    Raises:
        InputError: A number below 1.
    """

    def __init__(self, every_n_steps: int = 500, count: int = 6, folder: str | None = None) -> None:
        if min(every_n_steps, count) < 1:
            raise InputError("Expected `every_n_steps` and `count` of at least 1.")
        self.every_n_steps = every_n_steps
        self.count = count
        self.folder = folder
        self.last = -1

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw, if it is time; the training itself is not touched."""
        step = trainer.global_step
        if (step - 1) % self.every_n_steps or step == self.last:
            return
        self.last = step  # with accumulated gradients several batches make a step
        folder = _folder(self.folder, trainer)
        if not trainer.is_global_zero:
            return
        shown = {name: value[: self.count] for name, value in batch.items()}
        image = shown["image"].float() / 255
        mode = pl_module.training
        with torch.no_grad(), isolate_rng():
            pl_module.eval()
            logits = pl_module(image, Prompt(shown["points"], torch.zeros_like(image[:, :1])))
            pl_module.train(mode)
        figure = training_batch(
            shown["image"].permute(0, 2, 3, 1).cpu().numpy(),
            shown["mask"][:, 0].cpu().numpy(),
            shown["points"].cpu().numpy(),
            torch.sigmoid(logits.float())[:, 0].cpu().numpy(),
        )
        _hand_out(figure, folder / f"batch_{step:06d}", "train/batch", trainer)


class EvaluationFigures(L.Callback):
    """After ``test`` or ``validate``: the IoU curves, and the best, median and worst objects in clicks.

    Which objects: by their mean IoU over all clicks. It reads what :class:`NoCEvaluation` found, which
    must be among the callbacks, before this one.

    Args:
        shown: Clicks that get a picture, counted from 1.
        folder: Where the pictures go; ``None``: ``figures`` in the logger's folder.
    """

    def __init__(self, shown: tuple[int, ...] = (1, 2, 3, 5, 10, 20), folder: str | None = None) -> None:
        self.shown = shown
        self.folder = folder

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the result of ``test``."""
        self._draw(trainer, pl_module, "test")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the result of ``validate``."""
        if trainer.state.fn == "validate":
            self._draw(trainer, pl_module, "validate")

    def _draw(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        evaluation = next((callback for callback in callbacks if isinstance(callback, NoCEvaluation)), None)
        data = trainer.datamodule  # type: ignore[attr-defined]
        if evaluation is None or not isinstance(data, MISDataModule):
            raise InputError("EvaluationFigures needs NoCEvaluation among the callbacks, and MISDataModule.")
        folder = _folder(self.folder, trainer)
        if not trainer.is_global_zero:
            return
        settings, segmenter = evaluation.settings, ClickModelSegmenter(module, evaluation.prediction)
        curves = {}
        for number, benchmark in enumerate(data.benchmarks[stage]):
            sessions = evaluation.sessions.get(number, {})
            if not sessions:
                continue
            curves[benchmark.name] = [session.ious for session in sessions.values()]
            for title, index in _picked(sessions):
                sample = benchmark[index]
                with isolate_rng():
                    steps = simulated_steps(segmenter, sample, settings)
                shown = [click for click in self.shown if click <= len(steps)] or [len(steps)]
                figure = click_sequence(sample.image, sample.mask, steps, shown=shown)
                name = f"{stage}/{benchmark.name}/{title}"
                _hand_out(figure, folder / f"{benchmark.name}_{title}", name, trainer)
        if curves:
            figure = iou_curves(curves, settings.max_clicks)
            _hand_out(figure, folder / "iou_curves", f"{stage}/iou_curves", trainer)


def _picked(sessions: dict[int, SimulatedSession]) -> Iterator[tuple[str, int]]:
    order = sorted(sessions, key=lambda index: (float(np.mean(sessions[index].ious)), index))
    picked = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}
    yield from picked.items()


def _folder(folder: str | None, trainer: L.Trainer) -> Path:
    log_dir = trainer.log_dir  # every process must ask: the answer is broadcast
    return Path(folder) if folder else Path(log_dir or trainer.default_root_dir) / "figures"


def _hand_out(figure: Figure, path: Path, name: str, trainer: L.Trainer) -> None:
    """Save a figure, and give it to the loggers that take one."""
    png = save(figure, path)[0]
    for logger in trainer.loggers:
        _log(logger, figure, png, name, trainer.global_step)


def _log(logger: Logger, figure: Figure, png: Path, name: str, step: int) -> None:
    experiment: Any = getattr(logger, "experiment", None)
    if hasattr(logger, "log_image"):  # wandb, MLflow
        logger.log_image(key=name, images=[str(png)], step=step)
    elif hasattr(experiment, "add_figure"):  # tensorboard
        experiment.add_figure(name, figure, global_step=step, close=False)
