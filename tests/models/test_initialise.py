"""Starting weights: an MAE encoder in the published form, made by hand, and models of our own.

Rule: docs/protocol.md#initial-weights.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import timm.models
import torch
from safetensors.torch import save_file
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.licences import touched
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.initialise import load_initial_weights
from mis_lightning.models.pretrained import CHECKPOINT_KEY, save_pretrained

DIM, DEPTH, PATCH = 16, 2, 16


def mae_encoder(**changes: Tensor | None) -> dict[str, Tensor]:
    """Names and shapes of `mae_pretrain_vit_*.pth`, a grid of 14 × 14 and a class token."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, DIM),
        "pos_embed": (1, 197, DIM),
        "patch_embed.proj.weight": (DIM, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (DIM,),
        "norm.weight": (DIM,),
        "norm.bias": (DIM,),
    }
    for i in range(DEPTH):
        parts = {"norm1": (DIM,), "norm2": (DIM,), "attn.qkv": (3 * DIM, DIM), "attn.proj": (DIM, DIM)}
        for part, shape in {**parts, "mlp.fc1": (4 * DIM, DIM), "mlp.fc2": (DIM, 4 * DIM)}.items():
            shapes[f"blocks.{i}.{part}.weight"] = shape
            shapes[f"blocks.{i}.{part}.bias"] = shape[:1]
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    merged: dict[str, Any] = {**state, **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.fixture
def model(tiny_click_vit) -> ClickViT:
    return tiny_click_vit(input_size=(448, 320), patch_size=PATCH, dim=DIM, depth=DEPTH, window=None)


@pytest.mark.parametrize("kind", ["pth", "bare pth", "safetensors"])
def test_mae_encoder(model: ClickViT, tmp_path: Path, kind: str) -> None:
    encoder = mae_encoder()
    path = tmp_path / ("mae.safetensors" if kind == "safetensors" else "mae.pth")
    if kind == "safetensors":
        save_file(encoder, path)
    else:
        torch.save({"model": encoder} if kind == "pth" else encoder, path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_initial_weights(model, str(path))

    for name, value in model.state_dict().items():
        if not name.startswith("backbone."):
            assert torch.equal(value, before[name]), name
        elif name != "backbone.pos_embed":
            published = name.removeprefix("backbone.").replace("patch_embed.", "patch_embed.proj.")
            assert torch.equal(value, encoder[published]), name
    # 14 × 14 positions after the class token's -> 28 × 20, as OpenCV's bicubic resize does it.
    square = encoder["pos_embed"][0, 1:].reshape(14, 14, DIM).numpy()
    expected = cv2.resize(square, (20, 28), interpolation=cv2.INTER_CUBIC)
    table = model.backbone.pos_embed.detach().numpy().reshape(28, 20, DIM)
    np.testing.assert_allclose(table, expected, atol=1e-5)


def test_equal_grids_keep_the_table(tiny_click_vit, tmp_path: Path) -> None:
    model = tiny_click_vit(input_size=(224, 224), patch_size=PATCH, dim=DIM, depth=DEPTH, window=14)
    encoder = mae_encoder()
    torch.save({"model": encoder}, tmp_path / "mae.pth")
    load_initial_weights(model, str(tmp_path / "mae.pth"))
    assert torch.equal(model.backbone.pos_embed, encoder["pos_embed"][:, 1:])


def test_dinov2_gives_the_same_function(model: ClickViT, tmp_path: Path) -> None:
    """Patches of 14 pixels, registers, layer scales: the blocks answer as timm's do."""
    torch.manual_seed(0)
    published = timm.models.VisionTransformer(
        img_size=98, patch_size=14, embed_dim=DIM, depth=DEPTH, num_heads=2, init_values=1.0, num_classes=0,
        reg_tokens=4, no_embed_class=True,
    )  # fmt: skip
    for name, value in published.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.uniform_(value, 0.2, 2.0)
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    load_initial_weights(model, str(tmp_path / "model.safetensors"))
    tokens = torch.randn(1, 12, DIM)
    ours = torch.nn.Sequential(*model.backbone.blocks)(tokens)
    assert torch.allclose(ours, published.blocks(tokens), atol=1e-4)
    assert model.backbone.patch_embed.weight.shape[-1] == PATCH
    grey = torch.full((1, 3, 28, 28), 0.5)  # a constant patch is embedded alike whatever its size
    theirs = published.patch_embed.proj(grey)[0, :, 0, 0]
    ours = model.backbone.patch_embed(torch.full((1, 3, PATCH, PATCH), 0.5))[0, :, 0, 0]
    assert torch.allclose(ours, theirs, atol=0.05)


def test_licences_of_what_was_loaded_are_noted(model: ClickViT, tmp_path: Path) -> None:
    torch.save({"model": mae_encoder()}, tmp_path / "mae_pretrain_vit_base.pth")
    load_initial_weights(model, str(tmp_path / "mae_pretrain_vit_base.pth"))
    assert {"what": "MAE ViT-B/16", "licence": "cc-by-nc-4.0"}.items() <= next(
        entry for entry in touched() if entry["what"] == "MAE ViT-B/16"
    ).items()


@pytest.mark.parametrize("kind", ["folder", "ckpt"])
def test_models_of_our_own(tiny_click_vit, tmp_path: Path, kind: str) -> None:
    source, model = tiny_click_vit(seed=1), tiny_click_vit(seed=2)
    path = tmp_path / "start"
    if kind == "folder":
        save_pretrained(source, path)
    else:
        path = tmp_path / "start.ckpt"
        state = {f"model.{name}": value for name, value in source.state_dict().items()}
        torch.save({"state_dict": state, CHECKPOINT_KEY: source.config}, path)
    load_initial_weights(model.train(), str(path))
    assert model.training
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name

    with pytest.raises(
        InputError, match=r"start.* do not fit the model: backbone\.pos_embed is .* instead of"
    ):
        load_initial_weights(
            tiny_click_vit(input_size=(32, 48), patch_size=4, dim=16, window=None), str(path)
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks__1__attn__qkv__bias": None}, r"mae\.pth .*: blocks\.1\.attn\.qkv\.bias is missing\."),
        ({"blocks__2__norm1__bias": torch.zeros(16)}, r"blocks\.2\.norm1\.bias has no place there"),
        ({"blocks__0__norm1__bias": torch.zeros(8)}, r"norm1\.bias is \(8,\) instead of \(16,\)"),
        ({"pos_embed": torch.zeros(1, 195, 16)}, r"`pos_embed` of shape .*mae\.pth, but got \(1, 195, 16\)"),
        ({"pos_embed": torch.zeros(16)}, r"`pos_embed` of shape .*but got \(16,\)"),
        ({"pos_embed": torch.zeros(1, 197, 8)}, r"pos_embed is \(1, 560, 8\) instead of \(1, 560, 16\)"),
        ({"pos_embed": None}, "pos_embed is missing"),
    ],
)
def test_encoders_that_do_not_fit(model: ClickViT, tmp_path: Path, changes: dict, message: str) -> None:
    torch.save({"model": mae_encoder(**changes)}, tmp_path / "mae.pth")
    with pytest.raises(InputError, match=message):
        load_initial_weights(model, str(tmp_path / "mae.pth"))


def test_an_encoder_that_was_wrapped(model: ClickViT, tmp_path: Path) -> None:
    encoder = mae_encoder()
    torch.save({"model": {f"module.{name}": value for name, value in encoder.items()}}, tmp_path / "a.pth")
    load_initial_weights(model, str(tmp_path / "a.pth"))
    assert torch.equal(
        model.backbone.state_dict()["blocks.1.attn.qkv.weight"], encoder["blocks.1.attn.qkv.weight"]
    )


def test_files_that_are_no_encoder(model: ClickViT, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing at .*nowhere\.pth"):
        load_initial_weights(model, str(tmp_path / "nowhere.pth"))
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("no weights", encoding="utf-8")
        with pytest.raises(InputError, match=f"{name} (holds no weights|is cut off|is empty|holds more)"):
            load_initial_weights(model, str(tmp_path / name))
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(InputError, match=r"Expected named tensors in .*list\.pth, but got list"):
        load_initial_weights(model, str(tmp_path / "list.pth"))


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_weights_file_is_refused_not_run(model: ClickViT, tmp_path: Path) -> None:
    torch.save({"model": mae_encoder(), "args": Hostile(tmp_path / "executed")}, tmp_path / "mae.pth")
    with pytest.raises(InputError, match=r"mae\.pth holds more than weights: an object of posix.mkdir"):
        load_initial_weights(model, str(tmp_path / "mae.pth"))
    assert not (tmp_path / "executed").exists()
