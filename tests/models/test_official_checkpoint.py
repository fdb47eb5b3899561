"""Published checkpoints: the imported network computes what the published one does, and nothing is left "
"over."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image

from mis_lightning import ClickPredictor
from mis_lightning.cli import main
from mis_lightning.clicks.encoding import encode_points
from mis_lightning.commands.import_checkpoint import CONFIGS
from mis_lightning.data.benchmarks import GrabCut
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.metrics.curves import read_curves
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.initialise import load_initial_weights
from mis_lightning.models.official_checkpoint import import_official, official_config, official_weights
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Prompt

_spec = importlib.util.spec_from_file_location("official", Path(__file__).with_name("official.py"))
official = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(official)

SMALL = {"dim": 24, "depth": 12, "patch": 112, "side": 4, "outs": (4, 8, 16, 32), "width": 8}
SIMPLECLICK = "isegm.model.is_plainvit_model.PlainVitModel"


def config_of(heads, loss=None):
    def value(content, kind="builtin", specified=True):
        return {"type": kind, "value": content, "specified": specified}

    return {
        "class": SIMPLECLICK,
        "params": {
            "use_disks": value(True),
            "norm_radius": value(5),
            "with_prev_mask": value(True),
            "backbone_params": value({"img_size": (448, 448), "patch_size": (112, 112), "num_heads": heads}),
            "head_params": value({"channels": 8, "upsample": "x1", "loss_decode": loss}),
            "norm_mean_std": value(([0.485], [0.229]), specified=False),
            "backbone": value("isegm.model.modeling.models_vit.VisionTransformer", kind="class"),
        },
    }


@pytest.fixture
def published_loss(monkeypatch):
    """The live loss object that SimpleClick files hold, of modules that exist only while the file is "
    "written."""
    name = "isegm.model.modeling.transformer_helper.cross_entropy_loss"
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    module = sys.modules[name]
    source = (
        "import torch\n"
        "def binary(): raise RuntimeError('executed')\n"
        "class CrossEntropyLoss(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.criterion = binary\n"
    )
    exec(compile(source, name, "exec"), module.__dict__)
    module.CrossEntropyLoss.__module__ = module.binary.__module__ = name
    loss = module.CrossEntropyLoss()
    yield loss
    for end in range(1, len(parts) + 1):
        sys.modules.pop(".".join(parts[:end]), None)


@pytest.fixture
def published(tmp_path, published_loss):
    state = official.random_state(**SMALL)
    torch.save({"state_dict": state, "config": config_of(4, published_loss)}, tmp_path / "official.pth")
    for name in [name for name in sys.modules if name.split(".")[0] == "isegm"]:
        del sys.modules[name]
    return tmp_path / "official.pth", state


def answers(state, model, size, heads, global_every, window, batch=2):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(batch, 3, *size, generator=generator)
    previous = torch.rand(batch, 1, *size, generator=generator)
    points = torch.full((batch, 4, 3), -1.0)
    points[:, 0] = torch.tensor([size[0] / 3, size[1] / 4, 0])
    points[0, 2] = torch.tensor([20.0, 30.0, 1])
    disks = encode_points(points, size, 5.0)
    with torch.no_grad():
        ours = model(image, Prompt(points, previous))
        theirs = official.forward(
            state,
            image,
            previous,
            disks[:, :1],
            disks[:, 1:],
            heads=heads,
            global_every=global_every,
            window=window,
        )
    return ours, theirs


def test_the_imported_network_computes_what_the_published_one_does(published):
    path, state = published
    assert len(state) == 214
    model = import_official(path)
    assert model.config["heads"] == 4
    assert (model.input_size, model.config["window"], model.config["global_every"]) == ((448, 448), 2, 6)
    ours, theirs = answers(state, model, (448, 448), heads=4, global_every=6, window=2)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_published_network_that_was_wrapped(published, tmp_path):
    path, state = published
    wrapped = {f"module.{name}": value for name, value in state.items()}
    beside = {"args": argparse.Namespace(lr=1), "best": np.float64(0.9)}
    torch.save({"config": config_of(4), "state_dict": wrapped, **beside}, tmp_path / "wrapped.pth")
    one, other = (import_official(file).state_dict() for file in (path, tmp_path / "wrapped.pth"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_order_of_the_click_maps_matters_to_the_check(published):
    path, state = published
    model = import_official(path)
    state["patch_embed_coords.proj.weight"] = state["patch_embed_coords.proj.weight"][:, [0, 2, 1]]
    ours, theirs = answers(state, model, (448, 448), heads=4, global_every=6, window=2)
    assert not torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_vit_b_448_at_full_size(tmp_path):
    state = official.random_state()
    assert (len(state), sum(value.numel() for value in state.values())) == (214, 98_025_513)
    torch.save({"state_dict": state, "config": {"class": "mis.model.is_model.MISModel"}}, tmp_path / "b.pth")
    model = import_official(tmp_path / "b.pth")
    assert model.config == ClickViT().config | {"dropout": 0.1}
    ours, theirs = answers(state, model, (448, 448), heads=12, global_every=6, window=14, batch=1)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "heads", "window", "every"),
    [
        ({}, 12, 14, 6),
        ({"dim": 1024, "depth": 24, "outs": (192, 384, 768, 1536)}, 16, 14, 6),
        ({"dim": 1280, "depth": 32, "patch": 14, "side": 32, "outs": (240, 480, 960, 1920)}, 16, 16, 8),
    ],
    ids=["B", "L", "H"],
)
def test_names_and_shapes_of_all_sizes(shape, heads, window, every):
    state = official.random_state(**shape, device="meta")
    config = official_config(state, None, "a file")
    assert (config["heads"], config["window"], config["global_every"]) == (heads, window, every)
    assert config["input_size"] == (448, 448)
    with torch.device("meta"):
        wanted = ClickViT(**config).state_dict()
    given = official_weights({name: value for name, value in state.items()})
    assert {name: value.shape for name, value in given.items()} == {
        name: value.shape for name, value in wanted.items()
    }


@pytest.mark.parametrize(
    ("shape", "window", "every"),
    [({"depth": 24}, 14, 6), ({"depth": 32, "patch": 14, "side": 32}, 16, 8)],
    ids=["L", "H"],
)
def test_geometry_of_l_and_h_with_few_channels(tmp_path, shape, window, every):
    """Patches, windows and global blocks of the large networks; only the channels are fewer."""
    state = official.random_state(dim=16, outs=(4, 8, 16, 32), width=8, **shape)
    torch.save({"state_dict": state, "config": config_of(2)}, tmp_path / "x.pth")
    model = import_official(tmp_path / "x.pth")
    assert (model.input_size, model.config["window"], model.config["global_every"]) == (
        (448, 448),
        window,
        every,
    )
    ours, theirs = answers(state, model, (448, 448), heads=2, global_every=every, window=window, batch=1)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    _, wrong = answers(state, model, (448, 448), heads=2, global_every=4, window=window, batch=1)
    assert not torch.allclose(ours, wrong, atol=1e-4, rtol=1e-4)  # which blocks are global shows


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ("l", {"dim": 1024, "depth": 24, "outs": (192, 384, 768, 1536)}),
        ("h", {"dim": 1280, "depth": 32, "patch": 14, "side": 32, "outs": (240, 480, 960, 1920)}),
    ],
)
def test_the_configs_of_l_and_h_are_those_of_their_files(size, shape):
    config = official_config(official.random_state(**shape, device="meta"), None, "a file")
    path = Path(__file__).parents[2] / "configs" / "networks" / f"simpleclick_vit{size}448.yaml"
    written = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["model"]["init_args"]
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}
    assert plain == {**written, "click_radius": 5.0}
    assert f"networks/simpleclick_vit{size}448" in CONFIGS[shape["dim"]]


def test_an_imported_file_goes_through_mis_test(published, tmp_path, monkeypatch):
    """With the paper's config on top of which only the network is smaller; no extractor is fetched."""
    path, _ = published
    assert main(["import-checkpoint", str(path), str(tmp_path / "model")]) == 0
    monkeypatch.setattr(timm, "create_model", lambda *_args, **_options: pytest.fail("an extractor was made"))
    for folder, value in (("data_GT", 90), ("boundary_GT", 255)):
        (tmp_path / "GrabCut" / folder).mkdir(parents=True)
        pixels = np.zeros((60, 80), np.uint8)
        pixels[20:50, 10:40] = value
        Image.fromarray(pixels).save(tmp_path / "GrabCut" / folder / "a.png")
    network = {
        "patch_size": 112,
        "dim": 24,
        "heads": 4,
        "window": 2,
        "neck_dims": [4, 8, 16, 32],
        "head_dim": 8,
    }
    overlay = {
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_progress_bar": False,
            "callbacks": [
                {
                    "class_path": "mis_lightning.training.noc_evaluation.NoCEvaluation",
                    "init_args": {"settings": {"max_clicks": 2, "target_iou": None}, "folder": str(tmp_path)},
                }
            ],
        },
        "model": {
            "model": {"class_path": "mis_lightning.models.click_vit.ClickViT", "init_args": network},
            "initial_weights": str(tmp_path / "model"),
        },
        "data": {
            "test_benchmarks": [
                {
                    "class_path": "mis_lightning.data.benchmarks.GrabCut",
                    "init_args": {"root": str(tmp_path), "allow_incomplete": True},
                }
            ]
        },
    }
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    recipe = Path(__file__).parents[2] / "configs" / "mis_vitb448_sbd.yaml"
    assert main(["test", f"--config={recipe}", f"--config={tmp_path}/overlay.yaml"]) == 0
    curves = read_curves(tmp_path / "curves.csv")["GrabCut"]["a"]
    sample = GrabCut(tmp_path, allow_incomplete=True)[0]
    settings = EvaluationSettings(max_clicks=2, target_iou=None)
    np.testing.assert_allclose(
        curves,
        simulate_session(ClickModelSegmenter(import_official(path)), sample, settings).ious,
        atol=1e-6,
    )
    config = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["settings"]["config"]
    assert config["data"]["regions"]["class_path"].endswith("MergeTreeRegions")  # as given, though not made


@pytest.mark.parametrize("out", ["model", "model.safetensors"])
def test_the_command_writes_what_everything_else_reads(published, tmp_path, capsys, out):
    path, _ = published
    target = tmp_path / "out" / out
    assert main(["import-checkpoint", str(path), str(target)]) == 0
    assert "12 blocks of 24" in capsys.readouterr().out
    expected = import_official(path).state_dict()
    loaded = load_pretrained(target)
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    again = ClickViT(**loaded.config)
    load_initial_weights(again, str(target))
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
    predictor = ClickPredictor.from_pretrained(target, flip=False)
    predictor.set_image(np.zeros((60, 80, 3), np.uint8))
    assert predictor.click(30, 40).shape == (60, 80)


def test_other_files_are_told_apart(tmp_path):
    state = official.random_state(**SMALL)

    def imported(content, message):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(InputError, match=message):
            import_official(tmp_path / "x.pth")

    imported(
        {"state_dict": {"feature_extractor.stage2.weight": torch.zeros(2)}}, "not a plain ViT with click"
    )
    imported({"model": {}}, "Expected one network with a `state_dict`")
    imported([{"state_dict": state}] * 2, r"got 2 × dict")
    imported(
        {"state_dict": {**state, "extra.weight": torch.zeros(1)}, "config": config_of(4)},
        r"extra\.weight has no place",
    )
    fewer = {name: value for name, value in state.items() if name != "neck.down_8.2.bias"}
    imported({"state_dict": fewer, "config": config_of(4)}, r"neck\.up2\.2\.bias is missing")
    twice = {**state, "head.conv_seg.weight": torch.zeros(1, 4, 1, 1)}
    imported({"state_dict": twice, "config": config_of(4)}, "up-samples")
    unknown_width = {name: value for name, value in state.items()}
    imported({"state_dict": unknown_width}, "12 blocks of width 24")  # without a config: heads unknown
    torch.save([{"state_dict": state, "config": config_of(4)}], tmp_path / "list.pth")
    assert import_official(tmp_path / "list.pth").config["depth"] == 12
