"""The command line: what starts fast, and that a mistake gets exit status 2 and one message that names it."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mis_lightning.cli import VERBS, main

MODEL = """
seed_everything: 3
trainer:
  accelerator: cpu
  max_steps: 7
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: mis_lightning.training.noc_evaluation.NoCEvaluation
      init_args: {batch_size: 4}
model:
  model:
    class_path: mis_lightning.models.click_vit.ClickViT
    init_args: {input_size: [32, 32], patch_size: 8, dim: 16, depth: 1, heads: 2, window: null}
  loss:
    class_path: mis_lightning.losses.interactive.ClickLoss
  lr_scheduler:
    class_path: mis_lightning.training.optim.WarmupCosine
    init_args: {warmup_steps: 2, total_steps: "${trainer.max_steps}"}
data:
  batch_size: 2
  num_workers: 0
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes the config above with one piece replaced, and returns its path."""
    monkeypatch.chdir(tmp_path)

    def write(old: str = "", new: str = "") -> str:
        assert old in MODEL
        path = tmp_path / "config.yaml"
        path.write_text(MODEL.replace(old, new, 1) if old else MODEL, encoding="utf-8")
        return str(path)

    return write


def complaint(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one message of a command that fails, and nothing but it on the screen."""
    capsys.readouterr()
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith(f"mis {args[0]}: ")
    assert len(lines[0]) < 500
    return lines[0]


def test_help_is_light() -> None:
    code = (
        "import sys; from mis_lightning.cli import main; status = main(['--help']);"
        "heavy = {'torch', 'numpy', 'cv2', 'numba', 'lightning', 'jsonargparse'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for verb in VERBS:
        assert verb in done.stdout


def test_nothing_and_help_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for args in ([], ["--help"], ["-h"]):
        assert main(args) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] == texts[2]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from mis_lightning import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mis_lightning {__version__}\n"


def test_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fitt"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mis: no verb 'fitt'.")
    assert "precompute" in err


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_its_command(verb: str) -> None:
    import importlib

    assert callable(importlib.import_module(VERBS[verb][0]).main)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("batch_size: 2", "batchsize: 2", ["data", "batchsize"]),
        ("data:", "nonsense: 1\ndata:", ["nonsense"]),
        ("dim: 16", "dimm: 16", ["model.model", "dimm"]),
        ("{batch_size: 4}", "{batches: 4}", ["trainer.callbacks", "batches"]),
        ("batch_size: 2", "batch_size: lots", ["data.batch_size", "int", "lots"]),
        ("dim: 16", "dim: wide", ["model.model", "dim", "int", "wide"]),
        ("click_vit.ClickViT", "click_vit.Clack", ["model.model", "no attribute 'Clack'"]),
        ("mis_lightning.models", "nowhere", ["model.model", "No module named 'nowhere'"]),
        ("noc_evaluation.NoCEvaluation", "noc_evaluation.Evaluation", ["trainer.callbacks", "Evaluation"]),
        ("optim.WarmupCosine", "optim.Warmup", ["model.lr_scheduler", "Warmup"]),
        ("${trainer.max_steps}", "${trainer.steps}", ["total_steps", "'trainer.steps' not found"]),
        ("warmup_steps: 2", "warmup_steps: soon", ["model.lr_scheduler.warmup_steps", "int"]),
        ("heads: 2", "heads: 3", ["`dim` to be a multiple of `heads`, but got 16 and 3"]),
        ("batch_size: 2", "batch_size: 0", ["data.batch_size"]),
        ("accelerator: cpu", "accelerator: abacus", ["abacus"]),
        ("data:", "data: [", ["parsing config", "line 2", "config.yaml"]),
    ],
)
def test_mistakes_in_a_config(config, capsys, old: str, new: str, parts: list[str]) -> None:
    message = complaint(["fit", "--config", config(old, new)], capsys)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--data.nonsense", "1"], ["data.nonsense"]),
        (["--model.model.init_args.width", "3"], ["model.model", "width"]),
        (["--data.batch_size", "many"], ["data.batch_size", "many"]),
        (["--config", "missing.yaml"], ["missing.yaml"]),
        (["--data.images", "missing/pictures"], ["missing/pictures"]),
        (["--ckpt_path", "missing.ckpt"], ["ckpt_path", "missing.ckpt"]),
        (["--ckpt_path", "."], ["ckpt_path", "folder", "--model.initial_weights"]),
        ([], ["data.images"]),
    ],
)
def test_mistakes_on_the_command_line(config, capsys, args: list[str], parts: list[str]) -> None:
    message = complaint(["fit", "--config", config(), *args], capsys)
    for part in parts:
        assert part in message


def test_no_config_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(["fit"], capsys)
    assert "model.model" in said
    assert "--config cpu --data.images my_images/" in said


@pytest.mark.parametrize(
    ("verb", "advice"),
    [
        (
            "fit",
            "mis fit --config cpu --data.images cats/. To adapt the shipped model to them, in minutes: mis",
        ),
        ("test", "mis compare MODEL --images cats/ --masks MASKS"),
    ],
)
def test_a_folder_behind_the_verb(verb: str, advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert advice in complaint([verb, "cats/"], capsys)


def test_checkpoints_of_others_are_refused_early(config, capsys, tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    (tmp_path / "damaged.ckpt").write_bytes(b"PK\x03\x04 damaged")
    for name, reason in (("other.ckpt", "not a checkpoint of `mis fit`"), ("damaged.ckpt", "damaged")):
        message = complaint(["test", "--config", config(), "--ckpt_path", str(tmp_path / name)], capsys)
        assert reason in message
        assert name in message


class Runs:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_checkpoints_found_later_are_not_unpickled(config, capsys, tmp_path: Path, monkeypatch) -> None:
    """What `last` finds, and what is behind an address, Lightning opens itself."""
    torch.save({"state_dict": {}, "more": Runs(tmp_path / "ran")}, tmp_path / "last.ckpt")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    keeps = f"  callbacks:\n    - {{class_path: ModelCheckpoint, init_args: {{dirpath: {tmp_path}}}}}\n"
    path = config("  enable_checkpointing: false\n", "")
    Path(path).write_text(Path(path).read_text("utf-8").replace("  callbacks:\n", keeps), encoding="utf-8")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for where in ("last", f"http://127.0.0.1:{server.server_port}/last.ckpt"):
            args = ["test", "--config", path, "--ckpt_path", where]
            assert main(args) == 2
            assert "more than weights" in capsys.readouterr().err.splitlines()[-1]
        server.shutdown()
    assert not (tmp_path / "ran").exists()


def test_print_config_and_interpolation(config, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", config(), "--trainer.max_steps", "9", "--print_config"])
    assert stopped.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["trainer"]["max_steps"] == 9
    assert printed["model"]["lr_scheduler"]["class_path"] == "mis_lightning.training.optim.WarmupCosine"
    assert printed["data"]["batch_size"] == 2


def test_interpolation_and_one_seed_reach_the_parts(config) -> None:
    from mis_lightning.commands.lightning import run

    cli = run(["--config", config(), "--trainer.max_steps", "9"], run=False)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cli.model.lr_scheduler(optimizer)
    rates = [(optimizer.step(), schedule.step(), schedule.get_last_lr()[0])[2] for _ in range(9)]
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert rates[-2] > 0.01
    assert cli.model.seed == cli.datamodule.seed == 3


def test_a_run_says_what_users_need(config, capsys, tmp_path: Path, monkeypatch) -> None:
    """Lines on how far it is, and where the checkpoint is; nothing of what Lightning says of itself."""
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    monkeypatch.setenv("MIS_CACHE_DIR", str(tmp_path / "cache"))
    path = config("  enable_progress_bar: false\n  enable_model_summary: false\n", "")
    loud = Path(path).read_text("utf-8").replace("  enable_checkpointing: false\n", "")
    keeps = "    - {class_path: ModelCheckpoint, init_args: {dirpath: kept, save_last: true}}\n"
    small = "  augment: {class_path: PaperAugmentation, init_args: {size: [32, 32]}}\n"
    Path(path).write_text(
        loud.replace("data:\n", f"data:\n  images: pictures\n{small}").replace(
            "  callbacks:\n", f"  callbacks:\n{keeps}"
        ),
        encoding="utf-8",
    )
    capsys.readouterr()
    assert main(["fit", "--config", path]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"The checkpoint is .*last\.ckpt\. Next: mis annotate .* --model .*last\.ckpt\n", out)
    assert err.splitlines()[0] == "regions: 2 of 2 images"
    assert all(line.startswith("step ") for line in err.splitlines()[1:]), err
    assert err.splitlines()[-1].startswith("step 7 of 7: loss ")


def test_images_of_ones_own_in_a_config(config, tmp_path: Path) -> None:
    """``class_path: LabelledFolder``, with a reading of its own."""
    from mis_lightning.commands.lightning import run
    from mis_lightning.data.labelled_folder import LabelledFolder

    for folder, pixels in (("cells", 40), ("masks", 1)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((40, 40), pixels, np.uint8)).save(tmp_path / folder / "a.png")
    own = "  test_benchmarks:\n    - class_path: LabelledFolder\n      init_args:\n        images: cells\n"
    own += "        masks: masks\n        reading: {window: [0, 80]}\n"
    cli = run(["--config", config("data:\n", f"data:\n{own}")], run=False)
    cli.datamodule.setup("test")
    (benchmark,) = cli.datamodule.benchmarks["test"]
    assert isinstance(benchmark, LabelledFolder)
    assert (benchmark.name, len(benchmark), benchmark.comparable) == ("cells", 1, False)
    assert benchmark[0].image.max() == 128
    assert benchmark.provenance()["reading"] == {"window": [0.0, 80.0]}
