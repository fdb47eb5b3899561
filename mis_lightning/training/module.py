"""The training module: simulate clicks, answer them, compare with the region.

Rules: docs/protocol.md#iterative-clicks, docs/protocol.md#training-loss and
docs/protocol.md#optimiser-and-schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import lightning as L
import numpy as np
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from mis_lightning import licences
from mis_lightning.clicks.iterative import answer_every_click, simulate_clicks
from mis_lightning.errors import InputError
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.losses.summed import mean_loss
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.initialise import load_initial_weights
from mis_lightning.models.pretrained import (
    CHECKPOINT_KEY,
    build_network,
    describe,
    fit_weights,
    read_checkpoint,
)
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Prompt
from mis_lightning.training.noc_evaluation import NoCEvaluation
from mis_lightning.training.optim import layerwise_decay_groups


class InteractiveSegmentation(L.LightningModule):
    """Teaches a click model to answer clicks on regions.

    Evaluation (``validate``, ``test``) is the work of
    :class:`~mis_lightning.training.noc_evaluation.NoCEvaluation`; a trainer without one gets one.

    Args:
        model: The click-conditioned network.
        loss: Compares logits with the region and the image.
        optimizer: Makes the optimiser from parameters or groups.
        lr_scheduler: Makes the schedule from the optimiser; ``None`` keeps the rate.
        schedule_interval: Whether the schedule steps once per ``"step"`` or per ``"epoch"``.
        colour_jitter: Changes the colours of an image batch ``(B, 3, H, W)`` in [0, 1], in training only
            and not during click simulation (docs/protocol.md#colour-jitter); the loss sees the unchanged
            image.
        initial_weights: Weights to start from: a model folder or ``.ckpt`` of this project, or an MAE
            ``.pth``.
        max_simulated_clicks: Most clicks simulated per batch.
        learn_from: ``"last"`` (the paper): their number is uniform from 0 to the most, and the loss is that
            of the last answer. ``"every"``: their number is the most, and the loss is the mean over all
            answers.
        click_threshold: Threshold of the click simulation.
        layer_decay: Layer-wise decay of the learning rate; ``None`` switches it off.
        channels_last: Memory layout of the convolutions; faster on most machines.
        seed: Seeds everything random in a training step, together with the epoch, the batch and the rank.

    Raises:
        InputError: A negative number of clicks, or weights that do not fit the network.
    """

    KEPT = (
        "max_simulated_clicks",
        "learn_from",
        "click_threshold",
        "layer_decay",
        "schedule_interval",
        "channels_last",
        "seed",
    )
    """Arguments that a checkpoint brings back."""

    def __init__(
        self,
        model: ClickNetwork,
        loss: ClickLoss,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=5e-5),
        lr_scheduler: LRSchedulerCallable | None = None,
        schedule_interval: Literal["step", "epoch"] = "epoch",
        colour_jitter: nn.Module | None = None,
        initial_weights: str | None = None,
        max_simulated_clicks: int = 3,
        learn_from: Literal["last", "every"] = "last",
        click_threshold: float = 0.49,
        layer_decay: float | None = None,
        channels_last: bool = True,
        seed: int = 0,
    ) -> None:
        arguments = locals()
        super().__init__()
        if max_simulated_clicks < 0:
            raise InputError(
                f"Expected `max_simulated_clicks` of at least 0, but got {max_simulated_clicks}."
            )
        if initial_weights is not None:
            load_initial_weights(model, initial_weights)
        self.save_hyperparameters(
            {
                "model": describe(model),
                "loss": loss.config,
                **{name: arguments[name] for name in self.KEPT},
            }
        )
        self.model = model.to(memory_format=torch.channels_last) if channels_last else model  # type: ignore[call-overload]
        self.loss = loss
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.schedule_interval = schedule_interval
        self.colour_jitter = colour_jitter
        self.max_simulated_clicks = max_simulated_clicks
        self.learn_from = learn_from
        self.click_threshold = click_threshold
        self.layer_decay = layer_decay
        self.seed = seed

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        """Answer clicks; the signature of a click model (:mod:`mis_lightning.structures`)."""
        return cast(Tensor, self.model(image, prompt))

    @property
    def input_size(self) -> tuple[int, int]:
        """Network input ``(height, width)``, which click predictors zoom to."""
        return self.model.input_size

    @property
    def model_config(self) -> dict[str, Any]:
        """Everything that determines the network's shape."""
        return describe(self.model)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Simulate up to ``max_simulated_clicks`` clicks, then answer once with gradient."""
        image = batch["image"].float() / 255
        mask, points = batch["mask"], batch["points"]
        terms: list[dict[str, Tensor]] = []

        def compared(answers: Iterable[Tensor]) -> Iterator[Tensor]:
            for logits in answers:
                loss, parts = self.loss(logits, mask, image)
                terms.append({**parts, "iou": _mean_iou(logits.detach() > 0, mask)})
                yield loss

        with self._seeded(batch_idx) as generator:
            if self.learn_from == "every":
                seen = image if self.colour_jitter is None else self.colour_jitter(image)
                answers = self._every_answer(seen, mask, points, generator)
                count = self.max_simulated_clicks + 1
                loss = mean_loss(compared(answers), count, list(self.model.parameters()))
            else:
                (loss,) = compared([self._last_answer(image, mask, points, generator)])
        self.log("train/loss", loss, prog_bar=True)
        for name in terms[0].keys() - {"iou"}:
            self.log(f"train/{name}", torch.stack([parts[name] for parts in terms]).mean())
        self.log("train/iou", terms[-1]["iou"], prog_bar=True)
        return loss

    def _last_answer(self, image: Tensor, mask: Tensor, points: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate a few clicks without gradient and answer once with it.

        Rule: docs/protocol.md#iterative-clicks.
        """
        rounds = int(torch.randint(self.max_simulated_clicks + 1, (), generator=generator))
        self.model.eval()
        prompt = simulate_clicks(
            lambda prompt: self.model(image, prompt),
            points,
            mask,
            rounds,
            generator,
            self.click_threshold,
        )
        self.model.train()
        seen = image if self.colour_jitter is None else self.colour_jitter(image)
        return cast(Tensor, self.model(seen, prompt))

    def _every_answer(
        self, image: Tensor, mask: Tensor, points: Tensor, generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Answer the initial points and every simulated click."""
        return answer_every_click(
            lambda prompt: self.model(image, prompt),
            points,
            mask,
            self.max_simulated_clicks,
            generator,
            self.click_threshold,
        )

    @contextmanager
    def _seeded(self, batch_idx: int) -> Iterator[torch.Generator]:
        """Make one step's randomness, dropout included, a function of (seed, epoch, batch, rank)."""
        entropy = [self.seed, self.current_epoch, batch_idx, self.global_rank]
        step_seed, click_seed = (int(s) for s in np.random.SeedSequence(entropy).generate_state(2))
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(step_seed)
            yield torch.Generator().manual_seed(click_seed)

    def validation_step(self, *_: Any) -> None:
        """Do nothing: NoCEvaluation evaluates the samples of the batch."""

    def test_step(self, *_: Any) -> None:
        """Do nothing: NoCEvaluation evaluates the samples of the batch."""

    def predict_step(self, request: Any, *_: Any) -> Any:
        """Answer the clicks on one image (:class:`~mis_lightning.annotation.click_request.ClickRequest`)."""
        return request.answer(self.segmenter)

    @property
    def segmenter(self) -> ClickModelSegmenter:
        """The network as it is now, asked by the published protocol."""
        return ClickModelSegmenter(self.model)

    def configure_callbacks(self) -> list[L.Callback]:
        """Evaluate, unless the trainer has a :class:`NoCEvaluation` already."""
        given = self.trainer.callbacks  # type: ignore[attr-defined]
        return [] if any(isinstance(one, NoCEvaluation) for one in given) else [NoCEvaluation()]

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, map_location: Any = None, **arguments: Any
    ) -> InteractiveSegmentation:
        """Open a checkpoint of ``mis fit`` or of a trainer. Nothing in it is executed.

        Args:
            checkpoint_path: The ``.ckpt``. Where weights were averaged, the network gets the averaged ones.
            map_location: The device; the CPU unless given.
            **arguments: Of the constructor, in place of those in the checkpoint. Optimiser, schedule and
                colour jitter are not in it.

        Raises:
            InputError: The file is no such checkpoint.
        """
        checkpoint = read_checkpoint(checkpoint_path)
        kept = {name: value for name, value in checkpoint.hyperparameters.items() if name in cls.KEPT}
        model = arguments.pop("model", None) or build_network(checkpoint.config, str(checkpoint_path))
        loss = arguments.pop("loss", None) or ClickLoss(**checkpoint.hyperparameters.get("loss", {}))
        module = cls(model, loss, **{**kept, **arguments})
        fit_weights(module.model, checkpoint.weights, str(checkpoint_path))
        return module.to(map_location if map_location is not None else "cpu").eval()

    def configure_optimizers(self) -> Any:
        """Return the optimiser and the schedule.

        Rule: docs/protocol.md#optimiser-and-schedule.
        """
        if self.layer_decay is None:
            optimizer = self.optimizer(self.model.parameters())
        else:
            probe = self.optimizer([nn.Parameter(torch.zeros(1))]).defaults
            groups = layerwise_decay_groups(self.model, probe["lr"], self.layer_decay, probe["weight_decay"])
            optimizer = self.optimizer(groups)
        if self.lr_scheduler is None:
            return optimizer
        schedule = {"scheduler": self.lr_scheduler(optimizer), "interval": self.schedule_interval}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the licences of what the weights were made from."""
        licences.touch(*licences.recalled(checkpoint.get(CHECKPOINT_KEY, {}).get("made_from", [])))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the network's config beside its weights, so that a checkpoint is enough to predict."""
        checkpoint[CHECKPOINT_KEY] = {**describe(self.model), "made_from": licences.touched()}


def _mean_iou(prediction: Tensor, mask: Tensor) -> Tensor:
    both = (prediction & mask).flatten(1).sum(1)
    either = (prediction | mask).flatten(1).sum(1)
    return (both / either.clamp(min=1)).mean()
