"""Weights to start training from: a click model of ours, or a masked autoencoder's encoder (spec A7)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from mis_lightning.errors import InputError
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.models.vit import resize_position_table

# MAE entries without a place in the click model: it has no class token and no final norm.
UNUSED = ("cls_token", "norm.", "fc_norm.", "head.", "decoder", "mask_token")


def load_initial_weights(model: ClickViT, source: str) -> None:
    """Load starting weights into ``model``, in place.

    Args:
        model: The model.
        source: A model folder or ``.ckpt`` of this project (every weight must fit), or an MAE encoder as ``.pth``
            (its ``model`` entry) or ``.safetensors``, whose weights go to the backbone; the position table is
            resized bicubically to the model's grid.

    Raises:
        InputError: No such file, or its weights do not fit.
    """
    path = Path(source)
    if path.is_dir() or path.suffix == ".ckpt":
        _load(model, load_pretrained(path).state_dict(), source)
    else:
        load_mae(model, _read_encoder(path))


def load_mae(model: ClickViT, encoder: dict[str, Any]) -> None:
    """Copy an MAE encoder (timm names) into the backbone; every backbone weight must be found."""
    state: dict[str, torch.Tensor] = {}
    for name, value in encoder.items():
        if name.startswith(UNUSED):
            continue
        if name == "pos_embed":
            side = math.isqrt(value.shape[1] - 1)
            state[name] = resize_position_table(value[:, 1:], (side, side), model.backbone.stored_grid)
        else:
            state[name.replace("patch_embed.proj.", "patch_embed.")] = value
    _load(model.backbone, state, "the MAE encoder")


def _load(target: torch.nn.Module, state: dict[str, torch.Tensor], source: str) -> None:
    try:
        target.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"The weights of {source} do not fit the model: {error}") from error


def _read_encoder(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"No weights file at {path}.")
    try:
        content = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:
        raise InputError(f"{path} cannot be read as weights ({type(error).__name__}: {error}).") from error
    return dict(content.get("model", content))
