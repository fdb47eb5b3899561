"""Evaluation inside Lightning: what is logged and written, what is left untouched, and several processes."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import Tensor

from mis_lightning.clicks.encoding import encode_points
from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmark_groups import SampleBatch
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_sessions
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Prompt, Sample
from mis_lightning.training import noc_evaluation as noc
from mis_lightning.training.datamodule import MISDataModule
from mis_lightning.training.module import InteractiveSegmentation
from mis_lightning.training.noc_evaluation import NoCEvaluation

SETTINGS = EvaluationSettings(max_clicks=4, target_iou=None)


class Boxes(Benchmark):
    """Boxes of two colours on noise, images of different sizes."""

    name = "boxes"
    comparable = True
    count = 5

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        height, width = 30 + 3 * index, 50 - 2 * index
        mask = np.zeros((height, width), dtype=bool)
        mask[5 + index : 17, 8 : 20 + 2 * index] = True
        image = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
        image[mask] += 130
        return Sample(image, mask, None, f"box{index}")


class ManyBoxes(Boxes):
    """Two groups of the loader and one object more: of two processes one has a group twice."""

    name = "boxes"
    count = 33

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index % 5)
        return Sample(sample.image[: 30 - index % 3], sample.mask[: 30 - index % 3], None, f"box{index}")


class Painting(ClickViT):
    """Paints disks around the clicks over what the network and the previous mask say."""

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        positive, negative = encode_points(prompt.points, size, 6.0).split(1, dim=1)
        network = super().forward(image, prompt)
        return network + 8 * (positive - negative) + 6 * prompt.previous_mask - 3


class Drawing(Painting):
    """Uses every global random generator in its forward."""

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
        return super().forward(image, prompt)


def module(kind: type[ClickViT] = Painting) -> InteractiveSegmentation:
    torch.manual_seed(0)
    model = kind(
        (32, 32), 8, dim=16, depth=2, heads=2, window=2, global_every=2, neck_dims=(4, 6, 8, 12), head_dim=8
    )
    return InteractiveSegmentation(model, ClickLoss())


def validate(folder: Path, kind: type[Benchmark] = Boxes, **settings: Any) -> dict[str, float]:
    """Evaluate the boxes and return what was logged; the report goes to ``folder``."""
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        default_root_dir=folder,
        callbacks=[NoCEvaluation(SETTINGS, batch_size=2)],
        enable_progress_bar=False,
        **settings,
    )
    data = MISDataModule(val_benchmarks=[kind])
    return dict(trainer.validate(module(), data, verbose=False)[0])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "curves.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def values(folder: Path) -> dict[str, float]:
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))["benchmarks"]["boxes"]["values"]
    return {key: value for key, value in found.items() if "spc" not in key}  # all but the times


def test_logs_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged = validate(tmp_path, devices=1)
    expected = {"n", "iou_1"}
    for threshold in (80, 85, 90):
        expected |= {f"{name}_{threshold}" for name in ("noc", "std", "failures")}
    assert logged.keys() == {f"val/boxes/{key}" for key in expected}
    written = values(tmp_path)
    assert {"regressions", "far"} <= written.keys()  # of the clicks, which the metric does not see
    assert {key: written[key.replace("_", "@")] for key in expected} == pytest.approx(
        {key: logged[f"val/boxes/{key}"] for key in expected}, rel=1e-6
    )
    assert "boxes" in (tmp_path / "table.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "NoC@85" in printed
    assert str(tmp_path) in printed

    # The curves are those of a plain loop, without Lightning.
    sessions = list(
        simulate_sessions(ClickModelSegmenter(module()), [Boxes()[i] for i in range(5)], SETTINGS, 2)
    )
    assert [row["object"] for row in rows(tmp_path)] == [f"box{i}" for i in range(5) for _ in range(4)]
    ious = np.array([float(row["iou"]) for row in rows(tmp_path)], dtype=np.float32).reshape(5, 4)
    np.testing.assert_array_equal(ious, np.stack([session.ious for session in sessions]))
    assert len(np.unique(ious)) > 10

    record = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    settings = record["settings"]
    assert settings["comparable"] == {"boxes": True}
    assert settings["model"]["dim"] == 16
    assert (settings["batch_size"], settings["processes"]) == (2, 1)
    assert settings["evaluation"]["size"] == [32, 32]  # what the network took, not "its own"
    assert settings["evaluation"]["zoom_in"]["min_size"] == 200
    assert settings["config"] == {}
    assert record["versions"]["mis-lightning"]


class Slow(Boxes):
    """Takes its time to read."""

    def __getitem__(self, index: int) -> Sample:
        time.sleep(0.2)
        return super().__getitem__(index)


def test_a_plain_trainer_evaluates(tmp_path: Path, quiet_trainer, capsys) -> None:
    """Neither `validate` nor `test` may end without an evaluation, whatever the callbacks."""
    trainer, data = quiet_trainer(), MISDataModule(val_benchmarks=[Boxes], test_benchmarks=[Boxes])
    logged = trainer.validate(module(), data, verbose=False)[0]
    assert logged["val/boxes/n"] == 5
    logged = trainer.test(module(), data, verbose=False)[0]
    assert logged["test/boxes/n"] == 5
    assert capsys.readouterr().out.count("NoC@85") == 2


def test_seconds_per_click_count_the_reading(tmp_path: Path, quiet_trainer) -> None:
    callback = NoCEvaluation(
        EvaluationSettings(max_clicks=1, target_iou=None), folder=str(tmp_path), show=False
    )
    quiet_trainer(callbacks=[callback]).test(module(), MISDataModule(test_benchmarks=[Slow]), verbose=False)
    (row,) = callback.rows
    assert row.values["spc"] - row.values["model_spc"] > 0.2


def test_processes_share_whole_groups() -> None:
    """What is computed together does not depend on the number of processes, so neither do roundings."""
    data = MISDataModule(test_benchmarks=[ManyBoxes])
    data.setup("test")
    (loader,) = data.test_dataloader()
    assert [[number for number, _ in batch.items] for batch in loader] == [
        list(range(16)),
        list(range(16, 32)),
        [32],
    ]


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, __file__, str(tmp_path / "two")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
    try:
        output, _ = process.communicate(timeout=600)
    finally:  # the second process too
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    logged = validate(tmp_path / "one", ManyBoxes, devices=1)
    assert json.loads((tmp_path / "two" / "logged.json").read_text(encoding="utf-8")) == logged
    assert rows(tmp_path / "two") == rows(
        tmp_path / "one"
    )  # 33 objects in order, though one group is seen twice
    assert values(tmp_path / "two") == values(tmp_path / "one")


def test_test_stage_with_a_part_of_a_benchmark(tmp_path: Path, quiet_trainer, capsys, monkeypatch) -> None:
    monkeypatch.setattr(noc, "TOLD_EVERY", 0.0)
    folder = tmp_path / "report"
    callback = NoCEvaluation(EvaluationSettings(max_clicks=1, target_iou=None), 8, str(folder), show=False)
    trainer = quiet_trainer(callbacks=[callback], limit_test_batches=1)
    logged = trainer.test(module(), MISDataModule(test_benchmarks=[ManyBoxes]), verbose=False)[0]
    assert logged["test/boxes/n"] == 16
    assert [row.benchmark for row in callback.rows] == ["boxes"]
    assert json.loads((folder / "results.json").read_text(encoding="utf-8"))["settings"]["comparable"] == {
        "boxes": False
    }
    out, err = capsys.readouterr()
    assert "NoC@85" not in out
    assert err.splitlines()[-1] == "boxes: 16 of 33 objects"


def test_fit_evaluates_averaged_weights_and_skips_the_sanity_check(
    tmp_path: Path, tiny_training, quiet_trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, loader = tiny_training()

    class Data(MISDataModule):
        def setup(self, stage: str) -> None:
            super().setup("validate")

        def train_dataloader(self) -> Any:
            return loader

    calls = []

    def counting(*args: Any) -> Any:
        calls.append(args)
        return simulate_sessions(*args)

    monkeypatch.setattr(noc, "simulate_sessions", counting)
    callback = NoCEvaluation(SETTINGS)
    best = ModelCheckpoint(tmp_path / "best", monitor="val/boxes/noc_85")
    trainer = quiet_trainer(
        max_epochs=1,
        num_sanity_val_steps=2,
        enable_checkpointing=True,
        callbacks=[callback, EMAWeightAveraging(decay=0.5), best],
    )
    trainer.fit(trained, Data(val_benchmarks=[Boxes]))
    assert len(calls) == 1
    assert best.best_model_score == trainer.callback_metrics["val/boxes/noc_85"]
    assert not (tmp_path / "results.json").exists()
    assert trained.training

    # After training the module holds the average; evaluated again, it gives the same curves.
    again = simulate_sessions(ClickModelSegmenter(trained), [Boxes()[i] for i in range(5)], SETTINGS, 8)
    for number, session in enumerate(again):
        np.testing.assert_array_equal(callback.sessions[0][number].ious, session.ious)


def test_leaves_modes_and_random_states_as_they_were() -> None:
    one, callback = module(Drawing), NoCEvaluation(SETTINGS)
    one.train()
    one.model.neck.eval()
    modes = [m.training for m in one.modules()]
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    batch = SampleBatch([(3, Boxes()[3])])
    trainer = SimpleNamespace(sanity_checking=False, progress_bar_callback=object(), is_global_zero=True)
    callback.on_validation_batch_end(trainer, one, None, batch, 0, 0)
    assert [m.training for m in one.modules()] == modes
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]
    assert len(callback.sessions[0][3].ious) == 4


def test_sanity_check_does_nothing() -> None:
    callback, trainer = NoCEvaluation(SETTINGS), SimpleNamespace(sanity_checking=True)
    callback.on_validation_batch_end(trainer, module(), None, SampleBatch([(0, Boxes()[0])]), 0, 0)
    callback.on_validation_epoch_end(trainer, module())
    assert callback.sessions == {}


def test_other_batches_are_refused() -> None:
    with pytest.raises(InputError, match="benchmarks of MISDataModule"):
        NoCEvaluation().on_test_batch_end(SimpleNamespace(), module(), None, torch.zeros(1), 0, 0)


if __name__ == "__main__":  # the two processes of the test above
    target = Path(sys.argv[1])
    result = validate(target, ManyBoxes, devices=2, strategy="ddp_fork")  # torch is imported once for both
    (target / "logged.json").write_text(json.dumps(result), encoding="utf-8")
