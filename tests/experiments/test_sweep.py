"""Sweep files: every point parses and is a row of its table; a small sweep runs, is cut off, and goes on."""

from __future__ import annotations

import importlib
import json
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from mis_lightning.cli import main as mis
from mis_lightning.metrics.paper_tables import belongs, paper_tables, read_results

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "configs" / "sweeps").glob("*.yaml"))
TABLE = {"connectivity": "I", "extractors": "II", "deep_spectral": "V"}


@pytest.fixture
def sweep(scripts):
    return importlib.import_module("sweep")


def test_every_sweep_has_its_table() -> None:
    assert {path.stem for path in SWEEPS} == set(TABLE)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_point_is_a_row_of_its_table(path, sweep, parse, monkeypatch) -> None:
    """As `wandb agent` would start it, and as experiments/sweep.py does without an account."""
    monkeypatch.setenv("MIS_SBD", "pictures")
    monkeypatch.setenv("WANDB_RUN_ID", "trial")
    (table,) = [table for table in paper_tables() if table.name == TABLE[path.stem]]
    file = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows = []
    points = sweep.read_points(path)
    for point in points:
        assert "--data.images=pictures" in point.args
        config = parse(list(point.args))
        assert config["data"]["images"] == "pictures"
        rows += [row.name for row in table.rows if belongs(config, row.where)]
    given = [word for word in points[-1].args if not word.startswith(("--config", "--data.images"))]
    with_logger = [word.replace("${envvar:MIS_SBD}", "pictures") for word in file["command"][2:-1]]
    wandb = parse([*with_logger, *given])
    assert wandb["trainer"]["logger"]["class_path"].endswith("WandbLogger")
    assert wandb["data"]["regions"] == config["data"]["regions"]
    assert sorted(rows) == sorted(row.name for row in table.rows)  # each exactly once


def test_table_two_has_the_papers_six_extractors(sweep, parse) -> None:
    names = []
    for point in sweep.read_points(ROOT / "configs/sweeps/extractors.yaml"):
        extractor = parse(list(point.args))["data"]["regions"]["init_args"]["extractor"]
        assert extractor["class_path"] == "mis_lightning.features.vit.ViTFeatures"
        assert extractor["init_args"]["interpolation"] == "reference"
        names.append((extractor["init_args"]["model"], extractor["init_args"]["checkpoint"]))
    assert names == [
        ("vit_small_patch8_224.dino", None),
        ("vit_small_patch16_224.dino", None),
        ("vit_base_patch8_224.dino", None),
        ("vit_base_patch16_224.dino", None),
        ("vit_small_patch16_224", "weights/vit-s-300ep.pth.tar"),
        ("vit_small_patch14_dinov2.lvd142m", None),
    ]


def test_the_recipe_is_taken_apart_one_thing_at_a_time(sweep, parse) -> None:
    points = sweep.read_points(ROOT / "experiments/recipe/sweep.yaml")
    assert [point.name for point in points[:2]] == ["0,shipped", "0,nodes_alone"]
    first, *others = (parse([*point.args, "--data.images=x"]) for point in points[:5])
    changed = [
        {name for name, value in flat(first).items() if flat(other).get(name, value) != value}
        for other in others
    ]
    assert changed[0] == {"data.regions.init_args.union_probability"}
    assert changed[1] == {"model.learn_from"}
    assert changed[2] == {"model.model.class_path", "model.model.init_args.depth"} | {
        name for name in changed[2] if name.startswith("model.model.init_args.")
    }
    assert changed[3] == {"model.loss.init_args.smoothness_weight"}
    assert {parse([*point.args])["seed_everything"] for point in points} == {0, 1, 2}


def flat(config, prefix: str = "") -> dict[str, object]:
    """``{"a": {"b": 1}}`` -> ``{"a.b": 1}``."""
    parts: dict[str, object] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        parts |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return parts


def test_variables_and_combinations(sweep, tmp_path, monkeypatch) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "program: mis\nmethod: grid\n"
        "command: ['${program}', fit, '--data.images=${envvar:HERE}/x', '--a=${envvar:NOT_SET}', '${args}']\n"
        "parameters: {a.b: {values: [1, 2]}, c: {value: 0.5}, d: {values: [{x: p/q, y: 3}, {x: r}]}}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("HERE", "there")
    monkeypatch.delenv("NOT_SET", raising=False)
    points = sweep.read_points(path)
    assert [point.name for point in points] == ["1,p-q,3", "1,r", "2,p-q,3", "2,r"]
    assert points[2].args == ("--data.images=there/x", "--c=0.5", "--a.b=2", "--d={'x': 'p/q', 'y': 3}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "cannot be read"),
        ("- 1", "`parameters`"),
        ("program: mis\nmethod: bayes\nparameters: {}", "method: grid"),
        ("program: python\nmethod: grid\nparameters: {}", "program: mis"),
        ("program: mis\nmethod: grid\nparameters: {}\ncommand: [x]", "command"),
        (
            "program: mis\nmethod: grid\nparameters: {a: {min: 0}}\ncommand: ['${program}', fit, '${args}']",
            "a",
        ),
        (
            "program: mis\nmethod: grid\nparameters: {a: {values: [1, 1]}}\n"
            "command: ['${program}', fit, '${args}']",
            "one name",
        ),
    ],
)
def test_other_files_are_refused(sweep, tmp_path, capsys, text, message) -> None:
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        sweep.main([str(tmp_path / "s.yaml"), "--dry-run"])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


TINY = """
trainer:
  accelerator: cpu
  max_steps: 2
  max_epochs: -1
  log_every_n_steps: 1
  num_sanity_val_steps: 0
  enable_progress_bar: false
  enable_model_summary: false
  default_root_dir: run
  logger:
    class_path: lightning.pytorch.loggers.CSVLogger
    init_args: {save_dir: "${trainer.default_root_dir}", name: log}
  callbacks:
    - class_path: mis_lightning.training.noc_evaluation.NoCEvaluation
      init_args: {settings: {max_clicks: 2, target_iou: null}, prediction: {flip: false}}
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args: {dirpath: "${trainer.default_root_dir}/checkpoints", save_last: true, every_n_train_steps: 1}
model:
  model:
    class_path: mis_lightning.models.click_vit.ClickViT
    init_args: {input_size: [32, 32], patch_size: 8, dim: 16, depth: 1, heads: 2, window: null,
                neck_dims: [4, 6, 8, 12], head_dim: 8}
  loss: {class_path: mis_lightning.losses.interactive.ClickLoss}
data:
  images: null
  regions:
    class_path: mis_lightning.regions.merge_tree.MergeTreeRegions
    init_args: {extractor: {class_path: mis_lightning.features.colour_texture.ColourTexture}}
  augment: {class_path: mis_lightning.data.augment.PaperAugmentation, init_args: {size: [32, 32]}}
  batch_size: 2
  num_workers: 0
"""
EVALUATION = """
data:
  test_benchmarks:
    - class_path: mis_lightning.data.benchmarks.GrabCut
      init_args: {root: "%s", allow_incomplete: true}
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A sweep of two points, two pictures to train on and one to test on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIS_CACHE_DIR", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    mask = np.zeros((40, 48), np.uint8)
    mask[8:30, 10:30] = 255
    for folder, name in (("pictures", "a"), ("pictures", "b"), ("GrabCut/data_GT", "c")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 120, (40, 48, 3), np.uint8)
        pixels[mask > 0] += 120
        Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "GrabCut/boundary_GT").mkdir()
    Image.fromarray(mask).save(tmp_path / "GrabCut/boundary_GT/c.png")
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "grabcut.yaml").write_text(EVALUATION % tmp_path, encoding="utf-8")
    sweep_file = {
        "program": "mis",
        "method": "grid",
        "command": ["${program}", "fit", f"--config={tmp_path}/tiny.yaml", "${args}"],
        "parameters": {"data.regions.init_args.connectivity": {"values": ["grid", "full"]}},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep_file), encoding="utf-8")
    return ["sweep.yaml", "--folder", "runs", "--evaluate", "grabcut.yaml", "--", "--data.images=pictures"]


class InProcess:
    """Runs the commands of a sweep in this process; can be told to break one off."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at
        self.commands: list[list[str]] = []

    def __call__(self, command, check):
        assert not check
        assert command[:3] == [sys.executable, "-m", "mis_lightning"]
        self.commands.append(command[3:])
        failed = len(self.commands) == self.fails_at
        return subprocess.CompletedProcess(command, 3 if failed else mis(command[3:]))


def test_two_points_run_are_cut_off_and_go_on(sweep, tiny, monkeypatch, capsys, tmp_path) -> None:
    runner = InProcess(fails_at=4)  # fit, test, fit, then the second test
    monkeypatch.setattr(sweep, "subprocess", SimpleNamespace(run=runner))
    assert sweep.main(tiny) == 3
    assert [command[0] for command in runner.commands] == ["fit", "test", "fit", "test"]
    assert "full failed; start again to go on" in capsys.readouterr().err
    assert (tmp_path / "runs/grid/evaluation/grabcut/results.json").is_file()
    assert not (tmp_path / "runs/full/evaluation/grabcut/results.json").exists()
    before = (tmp_path / "runs/grid/checkpoints/last.ckpt").stat().st_mtime_ns

    runner = InProcess()
    monkeypatch.setattr(sweep, "subprocess", SimpleNamespace(run=runner))
    assert sweep.main(tiny) == 0
    out = capsys.readouterr().out
    assert "[1/2] grid: finished already" in out
    assert [command[0] for command in runner.commands] == ["fit", "test", "report"]
    assert f"--ckpt_path={Path('runs/full/checkpoints/last.ckpt')}" in runner.commands[0]
    assert (tmp_path / "runs/grid/checkpoints/last.ckpt").stat().st_mtime_ns == before
    assert "Other results" in out  # what `mis report` makes of a run that is none of the paper's
    assert str(Path("runs/full/evaluation/grabcut")) in out

    grid, full = sorted(read_results(Path("runs")), key=lambda result: str(result.path), reverse=True)
    assert [r.config["data"]["regions"]["init_args"]["connectivity"] for r in (grid, full)] == [
        "grid",
        "full",
    ]
    logged = yaml.safe_load((tmp_path / "runs/grid/log/version_0/hparams.yaml").read_text(encoding="utf-8"))
    assert logged["config"]["data"]["images"] == logged["data"]["images"] == "pictures"
    assert (logged["data"]["batch_size"], logged["model"]["dim"]) == (2, 16)
    # every setting is in the file itself
    settings = json.loads(grid.path.read_text(encoding="utf-8"))["settings"]
    assert settings["config"]["data"]["images"] == "pictures"
    assert settings["config"]["model"]["loss"]["init_args"]["yuv"] == "reference"
    assert settings["data"]["GrabCut"]["folder"] == str(tmp_path / "GrabCut")
    for result in (grid, full):
        assert set(result.values) == {"GrabCut"}
        assert result.comparable == {"GrabCut": False}

    runner = InProcess()
    monkeypatch.setattr(sweep, "subprocess", SimpleNamespace(run=runner))
    assert sweep.main(tiny) == 0
    assert [command[0] for command in runner.commands] == ["report"]


def test_folder_of_other_options(sweep, tiny, monkeypatch, capsys, tmp_path) -> None:
    (tmp_path / "runs/grid").mkdir(parents=True)
    (tmp_path / "runs/grid/point.json").write_text(json.dumps(["--data.images=others"]), encoding="utf-8")
    monkeypatch.setattr(sweep, "subprocess", SimpleNamespace(run=InProcess()))
    with pytest.raises(SystemExit):
        sweep.main(tiny)
    assert "other options (--data.images=others)" in capsys.readouterr().err


def test_dry_run_prints_and_does_nothing(sweep, tiny, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(sweep, "subprocess", None)
    words = [*tiny[:5], "--dry-run", "--only", "full", *tiny[5:]]
    assert sweep.main(words) == 0
    lines = [shlex.split(line)[3:] for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["fit", "test"]
    assert all("--data.regions.init_args.connectivity=full" in line for line in lines)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(SystemExit):
        sweep.main([*tiny[:5], "--only", "nothing"])
