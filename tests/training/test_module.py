"""The training step and resuming, on a tiny network and random images.

Rules: docs/protocol.md#iterative-clicks, docs/protocol.md#training-loss and
docs/protocol.md#optimiser-and-schedule.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from mis_lightning.errors import InputError
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.pretrained import load_pretrained, save_pretrained
from mis_lightning.structures import Prompt
from mis_lightning.training.module import InteractiveSegmentation, _mean_iou
from mis_lightning.training.optim import WarmupCosine

# Steps are also run by hand, without a trainer to log to.
pytestmark = pytest.mark.filterwarnings("ignore:.*self.log.*", "ignore:.*trainer.*not registered.*")


class Recording(ClickViT):
    """Keeps the circumstances of every call."""

    def __init__(self, **shape: Any) -> None:
        super().__init__(**shape)
        self.calls: list[dict[str, Any]] = []

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        modes = {module.training for module in self.modules()}
        call = {
            "modes": modes,
            "grad": torch.is_grad_enabled(),
            "image": image,
            "previous": prompt.previous_mask,
        }
        self.calls.append({**call, "points": prompt.points})
        return super().forward(image, prompt)


class RecordingLoss(ClickLoss):
    """Keeps what it compared."""

    def forward(self, logits: Tensor, mask: Tensor, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        self.seen = {"mask": mask, "image": image}
        return super().forward(logits, mask, image)


class Invert(nn.Module):
    """A colour change that nobody overlooks."""

    def forward(self, image: Tensor) -> Tensor:
        return 1 - image


def test_one_step_changes_every_weight(tiny_training, quiet_trainer) -> None:
    module, loader = tiny_training(optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2))
    before = {name: value.clone() for name, value in module.model.state_dict().items()}
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, loader)
    for name, value in module.model.state_dict().items():
        assert not torch.equal(value, before[name]), name
    assert {"train/loss", "train/bce", "train/smoothness", "train/iou"} <= trainer.callback_metrics.keys()
    metrics = trainer.callback_metrics
    torch.testing.assert_close(metrics["train/loss"], metrics["train/bce"] + metrics["train/smoothness"])


def test_clicks_are_simulated_in_evaluation_mode_without_gradient(tiny_training, tiny_click_vit) -> None:
    module, loader = tiny_training(tiny_click_vit(Recording, dropout=0.5))
    batch = next(iter(loader))
    rounds = []
    for number in range(24):
        module.model.calls.clear()
        module.train().training_step(batch, number)
        *simulated, last = module.model.calls
        rounds.append(len(simulated))
        assert all(call["modes"] == {False} and not call["grad"] for call in simulated)
        assert last["modes"] == {True}
        assert last["grad"]
        assert all(torch.equal(call["image"], last["image"]) for call in simulated)
        assert not module.model.calls[0]["previous"].any()
        assert bool(last["previous"].any()) == bool(simulated)
    assert set(rounds) == {0, 1, 2, 3}


class Undecided(Recording):
    """Answers 0.5 everywhere."""

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        return super().forward(image, prompt) * 0


@pytest.mark.parametrize(("threshold", "positive"), [(0.49, False), (0.51, True)])
@pytest.mark.parametrize("learn_from", ["last", "every"])
def test_the_threshold_of_simulated_clicks(
    tiny_training, tiny_click_vit, threshold, positive, learn_from
) -> None:
    """Below the answer everything is taken, so that a click removes; above it nothing is, so that it adds."""
    settings = {"click_threshold": threshold, "learn_from": learn_from}
    module, loader = tiny_training(tiny_click_vit(Undecided), **settings)
    batch = next(iter(loader))
    some = batch["mask"].flatten(1).any(1) & ~batch["mask"].flatten(1).all(1)
    assert some.any()
    added = 0
    for number in range(8):
        module.model.calls.clear()
        module.training_step(batch, number)
        first, last = (call["points"] for call in (module.model.calls[0], module.model.calls[-1]))
        half = first.shape[1] // 2, last.shape[1] // 2  # positive clicks come first
        counts = [
            [(points[some, part, 0] >= 0).sum() for part in (slice(0, n), slice(n, None))]
            for points, n in zip((first, last), half, strict=True)
        ]
        change = [int(after - before) for before, after in zip(*counts, strict=True)]
        assert change[positive] == 0, "the other kind"
        added += change[not positive]
    assert added > 0


def test_no_simulated_clicks(tiny_training, tiny_click_vit) -> None:
    module, loader = tiny_training(tiny_click_vit(Recording), max_simulated_clicks=0)
    for number in range(4):
        module.training_step(next(iter(loader)), number)
    assert len(module.model.calls) == 4
    with pytest.raises(InputError, match="`max_simulated_clicks` of at least 0, but got -1"):
        tiny_training(max_simulated_clicks=-1)


def test_colour_jitter_is_for_the_trained_forward_alone(tiny_training, tiny_click_vit) -> None:
    loss = RecordingLoss(smoothness_weight=1.0)
    module, loader = tiny_training(tiny_click_vit(Recording), loss=loss, colour_jitter=Invert())
    batch = next(iter(loader))
    image, mask = batch["image"].float() / 255, batch["mask"].clone()
    for number in range(8):
        module.model.calls.clear()
        module.training_step(batch, number)
        *simulated, last = module.model.calls
        assert all(torch.equal(call["image"], image) for call in simulated)
        assert torch.equal(last["image"], 1 - image)
        assert torch.equal(loss.seen["image"], image)
        assert torch.equal(loss.seen["mask"], mask)


def test_a_step_is_a_function_of_its_number(tiny_training, tiny_click_vit) -> None:
    module, loader = tiny_training(tiny_click_vit(dropout=0.5))
    batch = next(iter(loader))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = module.train().training_step(batch, 3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(module.training_step(batch, 3), first)
    assert not torch.equal(module.training_step(batch, 4), first)
    module.seed = 1
    assert not torch.equal(module.training_step(batch, 3), first)


SCHEDULES = {
    "step": lambda optimizer: WarmupCosine(optimizer, warmup_steps=2, total_steps=6),
    "epoch": lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [1], gamma=0.1),
}


@pytest.mark.parametrize("interval", list(SCHEDULES))
def test_resuming_is_bit_for_bit(tiny_training, tiny_click_vit, quiet_trainer, tmp_path, interval) -> None:
    def fit(folder: Path, epochs: int, start: Path | None = None) -> tuple[Any, dict[str, Any]]:
        module, loader = tiny_training(
            tiny_click_vit(dropout=0.3, drop_path=0.3),
            lr_scheduler=SCHEDULES[interval],
            schedule_interval=interval,
        )
        callbacks = [EMAWeightAveraging(decay=0.8), ModelCheckpoint(folder, save_last=True)]
        trainer = quiet_trainer(max_epochs=epochs, enable_checkpointing=True, callbacks=callbacks)
        trainer.fit(module, loader, ckpt_path=start)
        assert trainer.global_step == 3 * epochs
        return module.model, torch.load(folder / "last.ckpt", weights_only=True)

    whole, whole_file = fit(tmp_path / "whole", 2)
    _, half_file = fit(tmp_path / "half", 1)
    resumed, resumed_file = fit(tmp_path / "resumed", 2, tmp_path / "half" / "last.ckpt")

    parts = ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers")
    for part in parts:
        same(resumed_file[part], whole_file[part], part)
        with pytest.raises(AssertionError):
            same(half_file[part], whole_file[part], part)
    same(dict(resumed.state_dict()), dict(whole.state_dict()), "weights")
    # What is left after training and what load_pretrained reads are the averaged weights.
    same(
        dict(load_pretrained(tmp_path / "whole" / "last.ckpt").state_dict()), dict(whole.state_dict()), "file"
    )


def same(a: Any, b: Any, where: str) -> None:
    """Equal to the bit, in nested containers too."""
    if isinstance(a, Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for number, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}[{number}]")
    else:
        assert a == b, where


def test_layerwise_decay_takes_rate_and_weight_decay_from_the_optimiser(tiny_training) -> None:
    module, _ = tiny_training(
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.8, weight_decay=0.3), layer_decay=0.5
    )
    optimizer = module.configure_optimizers()
    rates = {group["layer"]: group["lr"] for group in optimizer.param_groups}
    assert rates == {0: 0.1, 1: 0.2, 2: 0.4, 3: 0.8}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.3}


def test_schedule_and_its_interval(tiny_training) -> None:
    module, _ = tiny_training(lr_scheduler=SCHEDULES["step"], schedule_interval="step")
    settings = module.configure_optimizers()
    assert settings["lr_scheduler"]["interval"] == "step"
    assert isinstance(settings["lr_scheduler"]["scheduler"], WarmupCosine)
    assert len(settings["optimizer"].param_groups) == 1


def test_learning_from_every_answer(tiny_training, tiny_click_vit) -> None:
    settings = {"learn_from": "every", "max_simulated_clicks": 2, "colour_jitter": Invert()}
    module, loader = tiny_training(tiny_click_vit(Recording, dropout=0.0), **settings)
    batch = next(iter(loader))
    loss = module.train().training_step(batch, 0)
    calls = list(module.model.calls)
    assert len(calls) == 3
    assert all(call["modes"] == {True} and call["grad"] for call in calls)
    assert all(torch.equal(call["image"], 1 - batch["image"].float() / 255) for call in calls)
    assert [bool(call["previous"].any()) for call in calls] == [False, True, True]
    image, mask = batch["image"].float() / 255, batch["mask"]
    again = [module.model(c["image"], Prompt(c["points"], c["previous"])) for c in calls]
    expected = sum(module.loss(logits, mask, image)[0] for logits in again) / 3
    torch.testing.assert_close(loss, expected)


def test_every_answer_has_its_own_backward_pass(tiny_training, tiny_click_vit) -> None:
    settings = {"learn_from": "every", "max_simulated_clicks": 2}
    module, loader = tiny_training(tiny_click_vit(Recording, dropout=0.0), **settings)
    batch = next(iter(loader))
    module.train().training_step(batch, 0).backward()
    got = {name: value.grad.clone() for name, value in module.model.named_parameters()}
    image, mask, calls = batch["image"].float() / 255, batch["mask"], list(module.model.calls)
    module.zero_grad()
    again = [module.model(c["image"], Prompt(c["points"], c["previous"])) for c in calls]
    torch.stack([module.loss(logits, mask, image)[0] for logits in again]).mean().backward()
    for name, value in module.model.named_parameters():
        torch.testing.assert_close(got[name], value.grad, rtol=1e-4, atol=1e-7)


def test_starts_from_the_weights_it_is_given(tiny_training, tiny_click_vit, tmp_path: Path) -> None:
    source = tiny_click_vit(seed=5)
    folder = save_pretrained(source, tmp_path)
    module, _ = tiny_training(initial_weights=str(folder))
    same(dict(module.model.state_dict()), dict(source.state_dict()), "weights")
    assert module.input_size == (32, 48)
    assert module.model_config == {"architecture": "ClickViT", **source.config}


def test_iou_of_a_batch() -> None:
    prediction = torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    mask = torch.zeros_like(prediction)
    prediction[0, 0, 0], mask[0, 0, :2] = True, True  # 4 of 8
    prediction[1], mask[1] = True, True
    assert _mean_iou(prediction, mask) == 0.5  # (1/2 + 1 + 0) / 3: an empty region counts 0


def test_a_checkpoint_opens_as_a_module(tiny_training, quiet_trainer, tmp_path):
    module, loader = tiny_training()
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, loader)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    opened = InteractiveSegmentation.load_from_checkpoint(tmp_path / "run.ckpt")
    assert not opened.training
    assert opened.hparams == module.hparams
    assert opened.loss.config == module.loss.config
    for name, value in module.state_dict().items():
        assert torch.equal(opened.state_dict()[name], value), name
    changed = InteractiveSegmentation.load_from_checkpoint(tmp_path / "run.ckpt", max_simulated_clicks=1)
    assert changed.max_simulated_clicks == 1
    (tmp_path / "bad.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"bad\.ckpt holds no weights"):
        InteractiveSegmentation.load_from_checkpoint(tmp_path / "bad.ckpt")


def test_hyperparameters_reach_the_logger(tiny_training, quiet_trainer, tmp_path):
    module, loader = tiny_training()
    logger = CSVLogger(tmp_path, name="log", version="")
    quiet_trainer(max_steps=1, logger=logger).fit(module, loader)
    logged = yaml.safe_load((tmp_path / "log" / "hparams.yaml").read_text(encoding="utf-8"))
    assert logged["model"]["architecture"] == "ClickViT"
    assert logged["loss"]["bce_weight"] == 1.0
    assert logged["max_simulated_clicks"] == module.max_simulated_clicks
