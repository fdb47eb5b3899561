"""Every YAML in configs/ is parsed and its module, data, trainer, optimiser and schedule are made."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.commands.lightning import MISCLI, run
from mis_lightning.data.augment import PaperAugmentation
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.head import MLPHead
from mis_lightning.models.neck import SimplePyramid
from mis_lightning.models.vit import PlainViT
from mis_lightning.training.datamodule import MISDataModule
from mis_lightning.training.module import InteractiveSegmentation

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))  # those below it go on top of these, or are sweeps


def test_there_are_configs() -> None:
    assert {path.name for path in CONFIGS} >= {"cpu.yaml", "quickstart.yaml", "mis_vitb448_sbd.yaml"}


@pytest.fixture
def weightless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Click models whose weights have shapes but no storage: ViT-B would take seconds and 400 MB."""
    for kind in (PlainViT, SimplePyramid, MLPHead):

        def on_meta(self: Any, *args: Any, _init: Any = kind.__init__, **settings: Any) -> None:
            with torch.device("meta"):
                _init(self, *args, **settings)

        monkeypatch.setattr(kind, "__init__", on_meta)


def test_the_twin_differs_in_nothing_but_its_regions() -> None:
    ours, twin = (
        yaml.safe_load((FOLDER / f"{name}_vitb448_sbd.yaml").read_text(encoding="utf-8"))
        for name in ("mis", "simpleclick")
    )
    assert twin["data"].pop("regions")["class_path"].endswith("TrueMasks")
    ours["data"].pop("regions")
    assert ours["trainer"].pop("default_root_dir") != twin["trainer"].pop("default_root_dir")
    assert ours == twin


def make(path: Path) -> tuple[MISCLI, Any]:
    """Everything a config describes, on the CPU and without a download; and the optimiser."""
    options = [f"--config={path}", "--trainer.accelerator=cpu", "--trainer.devices=1"]
    if "ViTFeatures" in path.read_text(encoding="utf-8"):
        options.append("--data.regions.init_args.extractor.init_args.pretrained=false")
    if "TrueMasks" in path.read_text(encoding="utf-8"):
        options.append(f"--data.regions.init_args.masks={FOLDER}")
    cli = run(options, run=False)
    made = cli.model.configure_optimizers()
    return cli, made if isinstance(made, dict) else {"optimizer": made}


@pytest.mark.usefixtures("weightless")
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_makes_everything(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIS_DATA_DIR", str(tmp_path))
    cli, made = make(path)
    assert isinstance(cli.model.model, ClickNetwork)
    assert isinstance(cli.datamodule, MISDataModule)
    parameters = [p for group in made["optimizer"].param_groups for p in group["params"]]
    assert len(parameters) == len(list(cli.model.model.parameters()))
    # The network's input, the crops of the augmentation and the patches fit each other.
    assert tuple(cli.datamodule.augment.size) == cli.model.input_size
    assert not list(tmp_path.iterdir()), "making things must not write anything yet"


@pytest.mark.usefixtures("weightless")
def test_the_papers_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The constants of docs/protocol.md#training-samples, as the config says them, against the text."""
    monkeypatch.chdir(tmp_path)
    cli, made = make(FOLDER / "mis_vitb448_sbd.yaml")
    module, data, optimizer = cli.model, cli.datamodule, made["optimizer"]
    assert sum(p.numel() for p in module.model.parameters()) == 97_067_969
    assert type(optimizer) is torch.optim.Adam
    (group,) = optimizer.param_groups
    assert {key: group[key] for key in ("lr", "betas", "eps", "weight_decay")} == {
        "lr": 5e-5,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0,
    }
    schedule = made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["interval"] == "epoch"
    assert (dict(schedule.milestones), schedule.gamma) == ({50: 1, 55: 1}, 0.1)
    assert (cli.trainer.max_epochs, data.batch_size) == (55, 32)
    assert (module.max_simulated_clicks, module.click_threshold) == (3, 0.49)
    assert (module.loss.bce_weight, module.loss.smoothness_weight) == (1.0, 10.0)
    assert (data.regions.decay, data.regions.min_share, data.min_object_area, data.regions_per_image) == (
        0.9,
        0.05,
        80,
        1,
    )
    assert (data.regions.max_draws, data.keep_background) == (100, 0.01)
    assert data.points == InitialPoints()  # the defaults are tested against the text
    assert data.augment == PaperAugmentation()
    assert module.model.config == ClickViT().config
    assert not cli.trainer.gradient_clip_val
    assert module.loss.smoothness.yuv == "reference"
    assert tuple(module.loss.smoothness.weights) == (3, 2, 16.0, 16.0, 8.0)
    jitter = module.colour_jitter
    assert (jitter.jitter_probability, jitter.grey_probability, jitter.blur_probability) == (0.3, 0.2, 0.2)
    for factor in (jitter.jitter.brightness, jitter.jitter.contrast, jitter.jitter.saturation):
        assert factor == pytest.approx((0.2, 1.8))
    assert jitter.jitter.hue == pytest.approx((-0.2, 0.2))
    assert (tuple(jitter.blur.kernel_size), tuple(jitter.blur.sigma)) == ((3, 3), (1.0, 2.0))


NOT_OF_THE_RECIPE = {
    *("checkpointing", "channels_last", "seed", "store", "skip_unreadable", "val_benchmarks"),
    *("share", "beside", "objects", "objects_share"),  # further training sets, of which it has none
    *("clicks", "clicks_folder", "reading"),  # 8-bit images are read as they are
    *("checkpoint", "pretrained", "max_tokens", "output", "scaling", "device"),  # of the extractor
}


def constructed(node: Any, name: str = "") -> Iterator[tuple[Any, dict[str, Any], str]]:
    """The classes of this project that a config names, with their arguments."""
    if isinstance(node, dict):
        path = node.get("class_path", "")
        if path.startswith("mis_lightning."):
            module, _, kind = path.rpartition(".")
            yield getattr(importlib.import_module(module), kind), node.get("init_args", {}), name
        for key, value in node.items():
            if key not in ("callbacks", "test_benchmarks"):
                yield from constructed(value, f"{name}.{key}")


@pytest.mark.parametrize("name", ["mis", "simpleclick"])
def test_every_constant_of_the_recipe_is_written_out(name: str) -> None:
    content = yaml.safe_load((FOLDER / f"{name}_vitb448_sbd.yaml").read_text(encoding="utf-8"))
    parts = [
        (InteractiveSegmentation, content["model"], "model"),
        (MISDataModule, content["data"], "data"),
        *constructed(content),
    ]
    assert len(parts) > 7
    for kind, given, place in parts:
        silent = set(inspect.signature(kind.__init__).parameters) - {"self"} - set(given) - NOT_OF_THE_RECIPE
        assert not silent, f"{place} does not say {silent}"
