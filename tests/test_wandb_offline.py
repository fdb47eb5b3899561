"""Logging to Weights & Biases without a network."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_two_steps_offline(
    tiny_training, quiet_trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb", reason="wandb is an extra: pip install mis-lightning[wandb]")
    from lightning.pytorch.callbacks import LearningRateMonitor
    from lightning.pytorch.loggers import WandbLogger

    for key, value in {"MODE": "offline", "SILENT": "true", "DIR": str(tmp_path), "CONSOLE": "off"}.items():
        monkeypatch.setenv(f"WANDB_{key}", value)
    for key in ("CACHE_DIR", "CONFIG_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{key}", str(tmp_path / key.lower()))
    logger = WandbLogger(project="mis", save_dir=tmp_path)
    module, loader = tiny_training()
    trainer = quiet_trainer(
        max_steps=2, logger=logger, log_every_n_steps=1, callbacks=[LearningRateMonitor("step")]
    )
    try:
        trainer.fit(module, loader)
        summary = dict(logger.experiment.summary)
    finally:
        wandb.finish()
    assert summary["trainer/global_step"] == 1
    assert summary["train/loss"] == pytest.approx(trainer.callback_metrics["train/loss"].item())
    assert {"train/bce", "train/smoothness", "train/iou", "lr-AdamW"} <= summary.keys()
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert any(run.glob("*.wandb"))
