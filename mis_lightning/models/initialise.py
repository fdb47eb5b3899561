"""Weights to start training from: a click model of ours, or a masked autoencoder's encoder.

Rule: docs/protocol.md#initial-weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mis_lightning.errors import InputError
from mis_lightning.features.published_weights import how_to_get
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.hub import local_copy
from mis_lightning.models.pretrained import CONFIG, fit_weights, load_pretrained
from mis_lightning.models.shipped import shipped_folder
from mis_lightning.models.vit import resize_position_table
from mis_lightning.weight_files import read_weights, without_wrappers

# MAE entries without a place in the click model: it has no class token and no final norm.
UNUSED = ("cls_token", "norm.", "fc_norm.", "head.", "decoder", "mask_token")


def load_initial_weights(model: ClickNetwork, source: str) -> None:
    """Load starting weights into ``model``, in place.

    Args:
        model: The model.
        source: What :func:`~mis_lightning.models.pretrained.load_pretrained` opens (every weight must fit);
            or an MAE encoder as ``.pth`` (its ``model`` entry) or ``.safetensors``, whose weights go to the
            backbone; the position table is resized bicubically to the model's grid.

    Raises:
        InputError: No such file, or its weights do not fit.
    """
    path = shipped_folder(source) or local_copy(source)
    if path.is_dir() or path.suffix == ".ckpt" or (path.suffix == ".safetensors" and _has_config(path)):
        fit_weights(model, load_pretrained(path).state_dict(), source)
    elif isinstance(model, ClickViT):
        load_mae(model, _read_encoder(path), source)
    else:
        raise InputError(
            f"Expected a model folder or a .ckpt of `mis fit` for a {type(model).__name__}, "
            f"but got {source}; an MAE encoder fits a ClickViT only."
        )


def _has_config(path: Path) -> bool:
    """Whether a config of a click model lies beside the weights."""
    return (path.parent / CONFIG).is_file()


def load_mae(model: ClickViT, encoder: Mapping[str, Any], source: str = "the MAE encoder") -> None:
    """Copy an MAE encoder (timm names) into the backbone; every backbone weight must be found.

    Args:
        model: The model, changed in place.
        encoder: Tensors by name; ``pos_embed`` is ``(1, 1 + side², D)``, its first row that of the class
            token.
        source: Where it comes from, for messages.

    Raises:
        InputError: A weight is missing, does not fit or has no place.
    """
    state: dict[str, Any] = {}
    for name, value in encoder.items():
        if name.startswith(UNUSED):
            continue
        if name == "pos_embed":
            state[name] = _resize_table(value, model.backbone.stored_grid, source)
        else:
            state[name.replace("patch_embed.proj.", "patch_embed.")] = value
    fit_weights(model.backbone, state, source)


def _resize_table(table: Any, grid: tuple[int, int], source: str) -> torch.Tensor:
    shape = tuple(getattr(table, "shape", ()))
    side = math.isqrt(shape[1] - 1) if len(shape) == 3 and shape[1] > 1 else 0
    if not side or shape[:2] != (1, side * side + 1):
        raise InputError(
            f"Expected `pos_embed` of shape (1, 1 + side², channels) in {source}, "
            f"but got {shape or 'no tensor'}."
        )
    return resize_position_table(table[:, 1:].float(), (side, side), grid)


def _read_encoder(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise InputError(
            "Expected a model folder, a .ckpt of `mis fit` or an MAE encoder, "
            f"but there is nothing at {path}. {how_to_get(path)}".rstrip()
        )
    content = read_weights(path)
    weights = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise InputError(
            f"Expected named tensors in {path}, but got {type(content).__name__}. A published click model "
            "needs `mis import-checkpoint` first."
        )
    return without_wrappers(weights)
