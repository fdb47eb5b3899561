"""Sweeps as wandb's own agent runs them, offline. Only the server is left out: it would choose the points."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from mis_lightning.commands.lightning import run

pytest.importorskip("wandb", reason="wandb is an extra: pip install mis-lightning[wandb]")

ROOT = Path(__file__).parents[2]
SWEEPS = [
    *sorted((ROOT / "mis_lightning/configs/sweeps").glob("*.yaml")),
    ROOT / "experiments/recipe/sweep.yaml",
]

# Laid on top of a sweep's own configs: everything that makes training slow, and nothing else.
TINY = """
trainer:
  accelerator: cpu
  devices: 1
  max_steps: 2
  max_epochs: -1
  limit_train_batches: 1
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: mis_lightning.training.noc_evaluation.NoCEvaluation
      init_args: {settings: {max_clicks: 2, target_iou: null}}
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args: {dirpath: "${trainer.default_root_dir}/checkpoints", save_last: true, every_n_train_steps: 1}
model:
  model:
    class_path: mis_lightning.models.click_vit.ClickViT
    init_args: {input_size: [32, 32], patch_size: 8, dim: 16, depth: 1, heads: 2, window: null,
                neck_dims: [4, 6, 8, 12], head_dim: 8}
  lr_scheduler: null
data:
  augment: {class_path: mis_lightning.data.augment.PaperAugmentation, init_args: {size: [32, 32]}}
  batch_size: 1
  num_workers: 0
"""
ALIKE = ("deep_spectral", "extractors")  # run with the slow tests; their command is that of connectivity
NO_WEIGHTS = "--data.regions.init_args.extractor.init_args.pretrained=false"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images to train on, a complete GrabCut of tiny images, and an offline wandb."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    mask = np.zeros((64, 80), np.uint8)
    mask[10:50, 20:60] = 255
    for folder in ("pictures", "GrabCut/data_GT", "GrabCut/boundary_GT"):
        Path(folder).mkdir(parents=True)
    for number in range(50):
        pixels = random.integers(0, 120, (64, 80, 3), np.uint8)
        pixels[mask > 0] += 120
        Image.fromarray(pixels).save(f"GrabCut/data_GT/{number}.png")
        Image.fromarray(mask).save(f"GrabCut/boundary_GT/{number}.png")
        if number < 2:
            Image.fromarray(pixels).save(f"pictures/{number}.png")
    Path("tiny.yaml").write_text(TINY, encoding="utf-8")
    Path("experiments").symlink_to(ROOT / "experiments")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # where `mis` is
    variables = {"PATH": path, "MIS_SBD": "pictures", "MIS_IMAGES": "pictures", "MIS_DATA_DIR": str(tmp_path)}
    variables |= {"MIS_CACHE_DIR": str(tmp_path / "cache"), "WANDB_SWEEP_ID": "trial0"}
    variables |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
    variables |= {f"WANDB_{name}_DIR": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA")}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    return tmp_path


def command_of(sweep: dict[str, Any], point: dict[str, Any]) -> list[str]:
    """The words that the agent would run, by its own functions."""
    from wandb.sdk.launch.sweeps import utils

    given = {name: {"value": value} for name, value in point.items()}
    filled = utils.create_sweep_command_args({"args": given})
    words = utils.create_sweep_command(list(sweep["command"]))
    lists = {"${program}": [sweep["program"]], "${args}": filled["args"]}
    return [word for part in words for word in lists.get(part, [part])]


def points_of(sweep: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The first point of a grid, and one that differs from it in the last parameter."""
    for index in (0, -1):
        yield {name: law["values"][index] for name, law in sweep["parameters"].items()}


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] if path.stem in ALIKE else []) for path in SWEEPS],
    ids=lambda path: path.stem,
)
def test_a_trial_logs_what_its_sweep_optimises(path: Path, place: Path, monkeypatch) -> None:
    import wandb

    sweep = yaml.safe_load(path.read_text(encoding="utf-8"))
    point = next(points_of(sweep))
    monkeypatch.setenv("WANDB_RUN_ID", "first")
    mis, *words = command_of(sweep, point)
    assert mis == "mis"
    words.append("--config=tiny.yaml")
    if path.parent.name == "sweeps":  # of 55 epochs, with a validation every fifth
        words += ["--trainer.check_val_every_n_epoch=1", NO_WEIGHTS]
    try:
        experiment = run(words).trainer.logger.experiment
        summary, config, trial = dict(experiment.summary), dict(experiment.config), experiment.id
    finally:
        wandb.finish()
    assert trial == "first"
    assert 0 <= summary[sweep["metric"]["name"]] <= 20
    assert np.isfinite(summary["train/loss"])
    # the hyperparameters of the module and of the data, and the whole config
    assert (config["model"]["dim"], config["data"]["batch_size"]) == (16, 1)
    trainer = config["config"]["trainer"]
    assert trainer["max_steps"] == 2
    assert trainer["default_root_dir"].endswith("/first")
    assert list(place.glob("runs/**/first/checkpoints/last.ckpt"))
    assert not list(place.glob("*.ckpt"))


@pytest.mark.slow
def test_each_trial_of_an_agent_has_its_own_folder(place: Path, tmp_path: Path) -> None:
    from wandb.wandb_agent import Agent

    sweep = yaml.safe_load(SWEEPS[0].read_text(encoding="utf-8"))
    shrink = ["--config=tiny.yaml", "--trainer.check_val_every_n_epoch=1", NO_WEIGHTS]
    agent: Any = object.__new__(Agent)  # its constructor asks the server for the sweep
    agent._sweep_command = [*sweep["command"], *shrink]
    agent._in_jupyter, agent._function, agent._forward_signals, agent._run_processes = False, None, False, {}
    for trial, point in zip(("first", "second"), points_of(sweep), strict=True):
        given = {name: {"value": value} for name, value in point.items()}
        agent._command_run({"run_id": trial, "program": sweep["program"], "args": given})
        assert agent._run_processes[trial].wait() == 0
    runs = tmp_path / "runs" / "sweeps" / "connectivity"
    assert sorted(path.name for path in runs.iterdir()) == ["first", "second"]
    for trial, connectivity in (("first", "grid"), ("second", "full")):
        folder = runs / trial
        assert (folder / "checkpoints" / "last.ckpt").is_file()
        assert list(folder.glob(f"wandb/offline-run-*-{trial}/run-{trial}.wandb"))
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        assert config["data"]["regions"]["init_args"]["connectivity"] == connectivity
        assert config["trainer"]["default_root_dir"] == f"runs/sweeps/connectivity/{trial}"


@pytest.mark.parametrize("logger", ["wandb"])
def test_a_logger_overlay_changes_only_the_logger(logger: str, parse) -> None:
    plain = parse(["--config=cpu", "--data.images=x"])
    logged = parse(["--config=cpu", f"--config=loggers/{logger}", "--data.images=x"])
    assert plain["trainer"].pop("logger") != logged["trainer"].pop("logger")
    assert plain == logged
