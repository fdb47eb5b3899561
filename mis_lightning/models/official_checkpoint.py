"""Published SimpleClick and MIS checkpoints -> our click model: names, shapes, nothing else.

Rule: docs/protocol.md#checkpoint-files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.pretrained import fit_weights
from mis_lightning.models.restricted_unpickle import read_published
from mis_lightning.weight_files import without_wrappers

HEADS = {768: 12, 1024: 16, 1280: 16}  # of ViT-B, L and H, by width
WINDOW_PIXELS = 224
CLICK_RADIUS = 5.0

NAMES = (
    (r"patch_embed_coords\.proj\.", "click_embed."),
    (r"backbone\.patch_embed\.proj\.", "backbone.patch_embed."),
    (r"neck\.down_4\.", "neck.up4."),
    (r"neck\.down_8\.", "neck.up2."),
    (r"neck\.down_16\.", "neck.same."),
    (r"neck\.down_32\.", "neck.down2."),
    (r"head\.convs\.(\d)\.conv\.", r"head.project.\1."),
    (r"head\.fusion_conv\.conv\.", "head.fuse."),
    (r"head\.conv_seg\.", "head.classify."),
)
"""Beginnings of names there and here; ``backbone.blocks.`` and ``backbone.pos_embed`` are alike."""

UNUSED = re.compile(r"backbone\.(cls_token|fc_norm\.|head\.)|head\.up_conv[12]\.")
"""In the file, but never used by the published network."""


def import_official(path: str | Path) -> ClickViT:
    """Read a published checkpoint.

    Args:
        path: A ``.pth`` file of SimpleClick or MIS with a plain ViT-B, L or H.

    Returns:
        The network, in evaluation mode, on the CPU.

    Raises:
        InputError: The file is damaged or harmful, or holds another network.
    """
    content = read_published(path)
    stages = content if isinstance(content, list) else [content]
    if len(stages) != 1 or not isinstance(stages[0], Mapping) or "state_dict" not in stages[0]:
        raise InputError(
            f"Expected one network with a `state_dict` in {path}, but got "
            f"{len(stages)} × {type(stages[0]).__name__ if stages else 'nothing'}."
        )
    state = stages[0]["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"Expected tensors by name in the `state_dict` of {path}.")
    state = without_wrappers(state)
    config = stages[0].get("config")
    kind = config.get("class", "") if isinstance(config, Mapping) else ""
    if "backbone.patch_embed.proj.weight" not in state or "patch_embed_coords.proj.weight" not in state:
        raise InputError(
            f"{path} holds {kind or 'another network'}, not a plain ViT with click embedding "
            "(isegm.model.is_plainvit_model.PlainVitModel or mis.model.is_model.MISModel); HRNet, Swin and "
            "SegFormer checkpoints are not read."
        )
    model = ClickViT(**official_config(state, config, str(path)))
    fit_weights(model, official_weights(state), str(path))
    return model.eval()


def official_config(state: Mapping[str, Tensor], config: Any, source: str) -> dict[str, Any]:
    """Work out the arguments of :class:`ClickViT` from the shapes, and the click radius from the config.

    Raises:
        InputError: The shapes are those of no network we know.
    """
    dim, _, patch, _ = state["backbone.patch_embed.proj.weight"].shape
    blocks = {int(match[1]) for name in state if (match := re.match(r"backbone\.blocks\.(\d+)\.", name))}
    depth = max(blocks, default=-1) + 1
    rows = int(state["backbone.pos_embed"].shape[1]) - 1 if "backbone.pos_embed" in state else 0
    side = math.isqrt(max(rows, 0))
    parameters = _parameters(config)
    heads = parameters.get("backbone_params", {}).get("num_heads") or HEADS.get(dim)
    if blocks != set(range(depth)) or not depth or side * side != rows or not heads:
        raise InputError(
            f"{source} has {len(blocks)} blocks of width {dim} and {rows} positions; expected a ViT-B, L "
            "or H on a square grid."
        )
    missing = [f"head.convs.{i}.conv.weight" for i in range(4) if f"head.convs.{i}.conv.weight" not in state]
    if missing or "head.conv_seg.weight" not in state or "head.fusion_conv.conv.weight" not in state:
        raise InputError(f"{source} has no all-MLP head: {', '.join(missing) or 'its classifier'} missing.")
    width = int(state["head.fusion_conv.conv.weight"].shape[0])
    if state["head.conv_seg.weight"].shape[1] != width:
        raise InputError(f"{source} has a head that up-samples (x2 or x4); only x1 is read.")
    radius = parameters.get("norm_radius")
    return {
        "input_size": (side * patch, side * patch),
        "patch_size": int(patch),
        "dim": int(dim),
        "depth": depth,
        "heads": int(heads),
        "window": WINDOW_PIXELS // int(patch),
        "global_every": 6 if depth == 12 else max(depth // 4, 1),
        "neck_dims": tuple(int(state[f"head.convs.{i}.conv.weight"].shape[1]) for i in range(4)),
        "head_dim": width,
        "click_radius": float(radius) if isinstance(radius, (int, float)) else CLICK_RADIUS,
    }


def official_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights our names; what the published network never used is left out."""
    weights = {}
    for name, value in state.items():
        if UNUSED.match(name):
            continue
        for there, here in NAMES:
            name = re.sub(f"^{there}", here, name)
        value = value.detach().float()
        # Row 0 of the table is the class token's, which takes no part.
        weights[name] = value[:, 1:].contiguous() if name == "backbone.pos_embed" else value
    return weights


def _parameters(config: Any) -> dict[str, Any]:
    """The values of the config's parameters, as far as they are plain."""
    entries = config.get("params") if isinstance(config, Mapping) else None
    if not isinstance(entries, Mapping):
        return {}
    found = {}
    for name, entry in entries.items():
        value = entry.get("value") if isinstance(entry, Mapping) else None
        if isinstance(value, (int, float, str, dict, torch.Size)):
            found[str(name)] = value
    return found
