"""Click models on disk: safetensors with a config to share, Lightning checkpoints to read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mis_lightning.errors import InputError
from mis_lightning.models.click_vit import ClickViT

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CHECKPOINT_KEY = "click_vit"  # where a Lightning checkpoint keeps the model's config


def save_pretrained(model: ClickViT, folder: str | Path) -> Path:
    """Write ``model.safetensors`` and ``config.json`` into ``folder``; returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"architecture": "ClickViT", **model.config}, indent=2) + "\n")
    return folder


def load_pretrained(source: str | Path) -> ClickViT:
    """Read a click model, in evaluation mode on the CPU. Nothing in the file is executed.

    Args:
        source: A folder with ``model.safetensors`` and ``config.json``, or a Lightning ``.ckpt`` of this project
            (where weights were averaged, the averaged ones).

    Raises:
        InputError: There is no such file, or it does not hold a click model.
    """
    source = Path(source)
    if source.is_dir():
        config, state = _read_folder(source)
    elif source.is_file():
        config, state = _read_checkpoint(source)
    else:
        raise InputError(f"Expected a model folder or a .ckpt file, but there is nothing at {source}.")
    try:
        model = ClickViT(**config)
        model.load_state_dict(state)
    except (TypeError, RuntimeError) as error:
        raise InputError(f"The weights and the config in {source} do not fit each other: {error}") from error
    return model.eval()


def _read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} is no model folder: {' and '.join(missing)} missing.")
    try:
        config = dict(json.loads((folder / CONFIG).read_text()))
        state = load_file(folder / WEIGHTS)
    except Exception as error:
        raise InputError(f"The model in {folder} cannot be read: {error}") from error
    config.pop("architecture", None)
    return config, state


def _read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as a checkpoint of this project ({type(error).__name__}); "
            "a published .pth file needs `mis import-checkpoint` first."
        ) from error
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content:
        raise InputError(f"{path} is not a checkpoint of `mis fit`: it has no `{CHECKPOINT_KEY}` entry.")
    prefix = "model."
    state = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    return content[CHECKPOINT_KEY], state
