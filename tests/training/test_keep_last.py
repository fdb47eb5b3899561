"""Runs stopped by a signal go on to the same bits; what is killed loses minutes at most."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from PIL import Image

from mis_lightning.errors import InputError, Interrupted
from mis_lightning.training.keep_last import KeepLast


class Killer(L.Callback):
    """Sends this process a signal while a step is at work."""

    def __init__(self, number: int, step: int) -> None:
        self.number, self.step = number, step

    def on_before_backward(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.fixture
def fit(tiny_training, tiny_click_vit, quiet_trainer):
    """Trains for two epochs of three steps into a folder; gives the checkpoint's content."""

    def run(
        folder: Path, *more: L.Callback, start: Path | None = None, minutes: float = 5.0
    ) -> dict[str, Any]:
        module, loader = tiny_training(tiny_click_vit(dropout=0.3, drop_path=0.3))
        callbacks = [
            EMAWeightAveraging(decay=0.8),
            KeepLast(str(folder), minutes),
            ModelCheckpoint(folder, save_last=True, enable_version_counter=False),
            *more,
        ]
        trainer = quiet_trainer(max_epochs=2, enable_checkpointing=True, callbacks=callbacks)
        trainer.fit(module, loader, ckpt_path=start)
        return torch.load(folder / "last.ckpt", weights_only=True)

    return run


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


PARTS = ("state_dict", "current_model_state", "optimizer_states", "global_step", "epoch")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", range(6))
def test_a_stopped_run_goes_on_to_the_same_bits(fit, tmp_path: Path, capfd, number: int, step: int) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    whole = fit(tmp_path / "whole")
    with pytest.raises(Interrupted, match=r"continue with --ckpt_path .*last\.ckpt") as stopped:
        fit(tmp_path / "stopped", Killer(number, step))
    assert stopped.value.status == 128 + number
    assert "stopping after this step" in capfd.readouterr().err
    kept = torch.load(tmp_path / "stopped" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == step + 1  # the step at work was finished
    resumed = fit(tmp_path / "stopped", start=tmp_path / "stopped" / "last.ckpt")
    # After the last step nothing is left to do, and Lightning keeps the averages as the present weights, too.
    for part in PARTS if step < 5 else ("state_dict", "optimizer_states", "global_step"):
        assert_same(resumed[part], whole[part])
    if step == 5:
        for part in PARTS:
            assert_same(kept[part], whole[part])
    assert sorted(path.name for path in (tmp_path / "stopped").iterdir() if path.name.startswith("last")) == [
        "last.ckpt"
    ]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_signal_ends_it_at_once(fit, tmp_path: Path) -> None:
    class Twice(Killer):
        def on_before_backward(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step == self.step:
                os.kill(os.getpid(), self.number)
                os.kill(os.getpid(), self.number)

    with pytest.raises(SystemExit):  # Lightning's way with a KeyboardInterrupt
        fit(tmp_path, Twice(signal.SIGINT, 1))
    assert not (tmp_path / "last.ckpt").exists()


def test_a_checkpoint_every_few_minutes(fit, tmp_path: Path, monkeypatch) -> None:
    seen: list[int] = []

    class Watch(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
            path = tmp_path / "last.ckpt"
            seen.append(torch.load(path, weights_only=True)["global_step"] if path.exists() else 0)

    fit(tmp_path, Watch(), minutes=0)
    assert seen == [0, 1, 2, 3, 4, 5]
    with pytest.raises(InputError, match="minutes"):
        KeepLast(str(tmp_path), -1)


def test_all_shipped_configs_keep_it() -> None:
    folder = Path(__file__).parents[2] / "mis_lightning" / "configs"
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.rglob("*.yaml")}
    whole = [name for name, text in texts.items() if "callbacks:" in text and "loss:" in text]
    assert len(whole) >= 4
    for name in whole:
        assert "mis_lightning.training.keep_last.KeepLast" in texts[name], name
        assert "enable_version_counter: false" in texts[name], name


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_at_random_moments(tmp_path: Path, number: int) -> None:
    """The command itself, in its first epoch, which here is the whole run, as often as it takes."""
    pixels = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name in range(3):
        picture = pixels.integers(0, 256, (90, 100, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "images" / f"{name}.png")
    root = tmp_path / "run"
    options = {
        "data.images": tmp_path / "images", "data.store": tmp_path / "store", "data.num_workers": 1,
        "data.regions_per_image": 400, "trainer.max_steps": 60, "trainer.default_root_dir": root,
        "model.lr_scheduler.init_args.warmup_steps": 2, "data.val_benchmarks": "[]", "data.batch_size": 4,
    }  # fmt: skip
    command = [sys.executable, "-m", "mis_lightning", "fit", "--config", "cpu"]
    command += [f"--{name}={value}" for name, value in options.items()]
    last = root / "checkpoints" / "last.ckpt"
    moments, steps = random.Random(int(number)), 0
    for _ in range(20):
        start = ["--ckpt_path", str(last)] if last.is_file() else []
        process = subprocess.Popen(
            [*command, *start], cwd=tmp_path, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True
        )
        deadline = time.monotonic() + moments.uniform(10, 40)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if process.poll() is None:
            os.killpg(process.pid, number)  # as a terminal does, the workers too
        try:
            _, said = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:  # it came before anybody listened, and got lost in a destructor
            os.killpg(process.pid, number)
            _, said = process.communicate(timeout=120)
        assert "Traceback" not in said, said
        assert process.returncode in (0, 128 + number, -number), said
        if last.is_file():
            reached = torch.load(last, weights_only=True)["global_step"]
            assert reached >= steps
            steps = reached
        if process.returncode == 0:
            break
    assert steps == 60
    configs = list(root.glob("version_*/config.yaml"))
    assert configs
    for path in configs:  # of every start, the interrupted ones too: whole
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["trainer"]["max_steps"] == 60
