"""Click models on disk: round trips, damaged files, and a file that tries to run code."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.pretrained import CHECKPOINT_KEY, load_pretrained, save_pretrained
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click, Prompt
from mis_lightning.training.module import InteractiveSegmentation


def answer(model: ClickViT) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    image, previous = (torch.rand(1, c, 32, 48, generator=generator) for c in (3, 1))
    points = torch.tensor([[[5.0, 6, 0], [20, 30, 1]]])
    with torch.no_grad():
        return model.eval()(image, Prompt(points, previous))


def checkpoint(model: ClickViT, **changes: Any) -> dict[str, Any]:
    """What Lightning writes, as far as it matters here."""
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    return {
        "epoch": 3,
        "state_dict": {**state, "loss.extra": torch.zeros(1)},
        CHECKPOINT_KEY: model.config,
        **changes,
    }


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_folder_round_trip(tiny_click_vit, tmp_path: Path, layout: torch.memory_format) -> None:
    model = tiny_click_vit(window=None).to(memory_format=layout).train()
    folder = save_pretrained(model, tmp_path / "a" / "b")
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json"}
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["architecture"] == "ClickViT"
    loaded = load_pretrained(str(folder))
    assert not loaded.training
    assert loaded.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    torch.testing.assert_close(answer(loaded), answer(model), atol=1e-6, rtol=0)


@pytest.mark.skipif(os.name != "posix", reason="permissions are of POSIX")
def test_the_weights_may_be_read_by_whom_any_new_file_may(tiny_click_vit, tmp_path: Path) -> None:
    save_pretrained(tiny_click_vit(), tmp_path)
    (tmp_path / "plain").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_checkpoint_of_a_training_run(tiny_click_vit, tmp_path: Path) -> None:
    model = tiny_click_vit().to(memory_format=torch.channels_last)  # as it is loaded
    torch.save(checkpoint(model), tmp_path / "last.ckpt")
    loaded = load_pretrained(tmp_path / "last.ckpt")
    assert not loaded.training
    assert torch.equal(answer(loaded), answer(model))
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in convolutions(loaded))


def convolutions(model: torch.nn.Module) -> list[torch.Tensor]:
    return [value for value in model.state_dict().values() if value.dim() == 4]


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_refused_not_run(tiny_click_vit, tmp_path: Path, how: str) -> None:
    trace, path = tmp_path / "executed", tmp_path / "hostile.ckpt"
    content = checkpoint(tiny_click_vit(), callbacks=Hostile(trace))
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps({"model": Hostile(trace)}))
    with pytest.raises(InputError, match=r"hostile\.ckpt holds (more than|no) weights"):
        load_pretrained(path)
    assert not trace.exists()
    # The file is what it pretends to be: an unsafe loader would have run it.
    if how == "torch":
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert trace.exists()


def test_damaged_checkpoints(tiny_click_vit, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(checkpoint(tiny_click_vit()), path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a checkpoint\n"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"last\.ckpt (is cut off or damaged|holds no weights|is empty)"):
            load_pretrained(path)


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"state_dict": {}},
        {CHECKPOINT_KEY: {"dim": 16}},
        {CHECKPOINT_KEY: 5, "state_dict": {}},
        {CHECKPOINT_KEY: {}, "state_dict": torch.zeros(2)},
    ],
)
def test_other_files_of_tensors_are_no_checkpoint(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"other\.ckpt is not a checkpoint of `mis fit`"):
        load_pretrained(tmp_path / "other.ckpt")


def test_weights_that_do_not_fit_their_config(tiny_click_vit, tmp_path: Path) -> None:
    model, path = tiny_click_vit(), tmp_path / "last.ckpt"
    torch.save(checkpoint(model, **{CHECKPOINT_KEY: tiny_click_vit(dim=32).config}), path)
    with pytest.raises(InputError) as caught:
        load_pretrained(path)
    assert "last.ckpt do not fit the model: backbone.pos_embed is (1, 24, 16) instead of (1, 24, 32)" in str(
        caught.value
    )
    assert "more)" in str(caught.value)
    assert len(str(caught.value)) < 500

    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state["model.surplus"] = state.pop("model.click_embed.bias")
    torch.save(checkpoint(model, state_dict=state), path)
    with pytest.raises(InputError, match=r"click_embed\.bias is missing; surplus has no place there"):
        load_pretrained(path)

    state["model.click_embed.bias"] = 5  # type: ignore[assignment]
    torch.save(checkpoint(model, state_dict=state), path)
    with pytest.raises(InputError, match=r"click_embed\.bias is no tensor instead of \(16,\)"):
        load_pretrained(path)


@pytest.mark.parametrize(
    "config", [{"dim": 15}, {"colour": "blue"}, {"input_size": 5}, {"neck_dims": [1]}, {"dim": "wide"}]
)
def test_configs_of_no_model(tiny_click_vit, tmp_path: Path, config: dict[str, Any]) -> None:
    model = tiny_click_vit()
    torch.save(checkpoint(model, **{CHECKPOINT_KEY: {**model.config, **config}}), tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"config in .*last\.ckpt does not describe a ClickViT"):
        load_pretrained(tmp_path / "last.ckpt")


@pytest.mark.parametrize("name", ["mis-smal", "mis_small", "MIS-small"])
def test_a_wrong_name_brings_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match="Did you mean mis-small"):
        load_pretrained(name)


def test_damaged_folders(tiny_click_vit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing at .*nowhere"):
        load_pretrained(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"not a model folder: config\.json and model\.safetensors missing"):
        load_pretrained(tmp_path)

    folder = save_pretrained(tiny_click_vit(), tmp_path / "model")
    weights, config = folder / "model.safetensors", folder / "config.json"
    whole, text = weights.read_bytes(), config.read_text(encoding="utf-8")

    weights.write_bytes(whole[:100])
    with pytest.raises(InputError, match=r"model in .*cannot be read|cut off"):
        load_pretrained(folder)
    weights.write_bytes(whole)

    for damaged in ("{", "[1, 2]", "5"):
        config.write_text(damaged, encoding="utf-8")
        with pytest.raises(InputError, match=r"model in .*cannot be read|cut off"):
            load_pretrained(folder)

    config.write_text(text.replace('"ClickViT"', '"HRNet"'), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"architecture in .* one of ClickViT, HybridClickViT or .*, but got HRNet"
    ):
        load_pretrained(folder)

    weights.unlink()
    with pytest.raises(InputError, match=r"not a model folder: model\.safetensors missing"):
        load_pretrained(folder)


class OwnNetwork(ClickNetwork):
    """A network of somebody's own: one convolution."""

    def __init__(self, input_size: tuple[int, int] = (16, 16), width: int = 2) -> None:
        super().__init__({"input_size": list(input_size), "width": width}, 1, "none")
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(4, width, 3, 1, 1), torch.nn.Conv2d(width, 1, 1))

    def forward(self, image: torch.Tensor, prompt: Prompt) -> torch.Tensor:
        return self.layers(torch.cat([self.normalise(image), prompt.previous_mask], 1))


class NoNetwork:
    """Not a network."""


def test_a_network_of_ones_own_is_opened_by_its_dotted_name(tmp_path: Path, quiet_trainer) -> None:
    model = OwnNetwork(width=3)
    folder = save_pretrained(model, tmp_path / "own")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config == {"architecture": f"{__name__}.OwnNetwork", "input_size": [16, 16], "width": 3}
    trainer = quiet_trainer()
    trainer.strategy.connect(InteractiveSegmentation(model, ClickLoss()))
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    for source in (folder, tmp_path / "own.ckpt"):
        opened = load_pretrained(source)
        assert isinstance(opened, OwnNetwork)
        torch.testing.assert_close(answer(opened), answer(model))
        segmenter = open_segmenter(source)
        (state,) = segmenter.click([segmenter.begin(np.zeros((20, 30, 3), np.uint8))], [[Click(5, 5, True)]])
        assert segmenter.mask(state).shape == (20, 30)
    for name, message in (("NoNetwork", "ClickNetwork"), ("Missing", "cannot be imported")):
        config["architecture"] = f"{__name__}.{name}"
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            load_pretrained(folder)
