"""Weights to start training from: a click model of ours, or a masked autoencoder's encoder.

Rule: docs/protocol.md#initial-weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from timm.layers.patch_embed import resample_patch_embed

from mis_lightning import licences
from mis_lightning.errors import InputError
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.hub import local_copy
from mis_lightning.models.pretrained import CONFIG, fit_weights, load_pretrained
from mis_lightning.models.shipped import shipped_folder
from mis_lightning.models.vit import resize_position_table
from mis_lightning.weight_files import read_weights, without_wrappers

# Entries without a place in the click model: it has no class token, no registers and no final norm.
UNUSED = ("cls_token", "reg_token", "register_tokens", "norm.", "fc_norm.", "head.", "decoder", "mask_token")
SCALED = {"ls1.gamma": "attn.proj", "ls2.gamma": "mlp.fc2"}  # DINOv2 scales what leaves these layers


def load_initial_weights(model: ClickNetwork, source: str) -> None:
    """Load starting weights into ``model``, in place.

    Args:
        model: The model.
        source: What :func:`~mis_lightning.models.pretrained.load_pretrained` opens (every weight must fit;
            how that model wants to be asked goes along, unless ``model`` says so itself);
            or an encoder of MAE, DINO or DINOv2 as ``.pth`` (its ``model`` entry, if it has one) or
            ``.safetensors`` (timm's file), whose weights go to the
            backbone; the position table is resized bicubically to the model's grid.

    Raises:
        InputError: No such file, or its weights do not fit.
    """
    path = shipped_folder(source) or local_copy(source)
    if path.is_dir() or path.suffix == ".ckpt" or (path.suffix == ".safetensors" and _has_config(path)):
        start = load_pretrained(path)
        fit_weights(model, start.state_dict(), source)
        model.recommended = model.recommended or start.recommended
    elif isinstance(model, ClickViT):
        load_encoder(model, _read_encoder(path), source)
        licences.touch(licences.of_file(path, "initial weights"))
    else:
        raise InputError(
            f"Expected a model folder or a .ckpt of `mis fit` for a {type(model).__name__}, "
            f"but got {source}; an encoder fits a ClickViT only."
        )


def _has_config(path: Path) -> bool:
    """Whether a config of a click model lies beside the weights."""
    return (path.parent / CONFIG).is_file()


def load_encoder(model: ClickViT, encoder: Mapping[str, Any], source: str = "the encoder") -> None:
    """Copy a plain ViT (timm names) into the backbone; every backbone weight must be found.

    The position table is resized, and so is the patch embedding where patches have another size (DINOv2: 14).
    Layer scales (DINOv2) are multiplied into the layers whose output they scale: the function is the same.

    Args:
        model: The model, changed in place.
        encoder: Tensors by name; ``pos_embed`` is ``(1, side² or 1 + side², D)``, in the second case its
            first row is that of the class token.
        source: Where it comes from, for messages.

    Raises:
        InputError: A weight is missing, does not fit or has no place.
    """
    encoder = _without_layer_scales(encoder, source)
    state: dict[str, Any] = {}
    for name, value in encoder.items():
        if name.startswith(UNUSED):
            continue
        if name == "pos_embed":
            state[name] = _resize_table(value, model.backbone.stored_grid, source)
        elif name == "patch_embed.proj.weight" and getattr(value, "ndim", 0) == 4:
            side = model.backbone.patch_size
            state["patch_embed.weight"] = resample_patch_embed(value.float(), [side, side])
        else:
            state[name.replace("patch_embed.proj.", "patch_embed.")] = value
    fit_weights(model.backbone, state, source)


def _without_layer_scales(encoder: Mapping[str, Any], source: str) -> dict[str, Any]:
    scales = {name: value for name, value in encoder.items() if name.endswith(tuple(SCALED))}
    plain = {name: value for name, value in encoder.items() if name not in scales}
    for name, scale in scales.items():
        block, _, kind = name.rpartition("ls")
        layer = f"{block}{SCALED['ls' + kind]}"
        for entry, shape in ((f"{layer}.weight", (-1, 1)), (f"{layer}.bias", (-1,))):
            if getattr(plain.get(entry), "shape", (None,))[0] != len(scale):
                raise InputError(f"Expected {entry} of the size of {name} in {source}.")
            plain[entry] = plain[entry] * scale.reshape(shape)
    return plain


def _resize_table(table: Any, grid: tuple[int, int], source: str) -> torch.Tensor:
    shape = tuple(getattr(table, "shape", ()))
    side = math.isqrt(shape[1]) if len(shape) == 3 else 0
    first = shape[1] - side * side if side else 0  # 1 where the class token has a place
    if not side or shape[0] != 1 or first not in (0, 1):
        raise InputError(
            f"Expected `pos_embed` of shape (1, side² or 1 + side², channels) in {source}, "
            f"but got {shape or 'no tensor'}."
        )
    return resize_position_table(table[:, first:].float(), (side, side), grid)


def _read_encoder(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise InputError(
            "Expected a model folder, a .ckpt of `mis fit` or an encoder, "
            f"but there is nothing at {path}. {licences.how_to_get(path)}".rstrip()
        )
    content = read_weights(path)
    weights = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise InputError(
            f"Expected named tensors in {path}, but got {type(content).__name__}. A published click model "
            "needs `mis import-checkpoint` first."
        )
    return without_wrappers(weights)
