"""Click models on disk: safetensors with a config to share, Lightning checkpoints to read from."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import nn

from mis_lightning import licences
from mis_lightning.errors import InputError
from mis_lightning.files import written_whole
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.hub import FILES, local_copy
from mis_lightning.models.shipped import DEFAULT, shipped_folder, shipped_models
from mis_lightning.weight_files import read_weights

CONFIG, WEIGHTS = FILES
ARCHITECTURES: dict[str, type[ClickNetwork]] = {"ClickViT": ClickViT, "HybridClickViT": HybridClickViT}
CHECKPOINT_KEY = "click_vit"  # where a Lightning checkpoint keeps the model's config


def save_pretrained(model: ClickNetwork, target: str | Path) -> Path:
    """Write ``model.safetensors`` and ``config.json`` into a folder.

    Args:
        model: The model.
        target: The folder; or the name of a ``.safetensors`` file, ``config.json`` then goes beside it.

    Returns:
        ``target``.
    """
    target = Path(target)
    folder, weights = _parts(target)
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / weights) as temporary:
        tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
        temporary.write_bytes(save(tensors))  # `save_file` makes a file that nobody else may read
    with written_whole(folder / CONFIG) as temporary:
        made_from = {"made_from": model.made_from} if model.made_from else {}
        text = json.dumps({**describe(model), **made_from}, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")
    return target


def describe(model: ClickNetwork) -> dict[str, Any]:
    """Return everything that fixes a network's shape: its architecture and its arguments, as JSON values."""
    kind = type(model)
    name = (
        kind.__name__
        if ARCHITECTURES.get(kind.__name__) is kind
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    recommended = {"recommended": model.recommended} if model.recommended else {}
    return {"architecture": name, **model.config, **recommended}


def load_pretrained(source: str | Path = DEFAULT) -> ClickNetwork:
    """Read a click model, in evaluation mode on the CPU. Nothing in the file is executed.

    Args:
        source: The name of a shipped model (:mod:`~mis_lightning.models.shipped`); a folder with
            ``model.safetensors`` and ``config.json``; a ``.safetensors`` file with ``config.json`` beside it;
            a Lightning ``.ckpt`` of this project (where weights were averaged, the averaged ones); or
            ``owner/name`` on the hub (:func:`~mis_lightning.models.hub.local_copy`).

    Raises:
        InputError: There is no such file, or it does not hold a click model.
    """
    source = shipped_folder(source) or local_copy(source)
    if source.is_dir() or source.suffix == ".safetensors":
        config, state = _read_folder(*_parts(source))
    elif source.is_file():
        config, state, _ = read_checkpoint(source)
    else:
        near = get_close_matches(str(source), shipped_models(), n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(near)}?" if near else f" Shipped: {', '.join(shipped_models())}."
        raise InputError(f"Expected a model folder or a .ckpt file, but there is nothing at {source}.{hint}")
    model = build_network(config, str(source))
    fit_weights(model, state, str(source))
    licences.touch(*licences.recalled(model.made_from))
    # Convolutions are faster in this layout: docs/speed.md#sharpening-an-answer.
    laid_out: ClickNetwork = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return laid_out.eval()


def build_network(config: Mapping[str, Any], source: str) -> ClickNetwork:
    """Make the network that a config describes, with fresh weights.

    Args:
        config: What :func:`describe` gave: ``architecture``, one of this project or the dotted name of a
            subclass of :class:`~mis_lightning.models.click_network.ClickNetwork` that can be imported;
            ``recommended``, how the model wants to be asked, if it says so; ``made_from``, licences of
            what it was made from; and the arguments.
        source: For the messages.

    Raises:
        InputError: It describes no network.
    """
    arguments = dict(config)
    recommended = arguments.pop("recommended", {})
    made_from = arguments.pop("made_from", [])
    name = arguments.pop("architecture", "ClickViT")  # checkpoints had no other before there was another
    kind = ARCHITECTURES.get(name) or _own_architecture(name, source)
    try:
        model = kind(**arguments)
    except Exception as error:
        raise InputError(f"The config in {source} does not describe a {name}: {error}") from error
    model.recommended = dict(recommended)
    model.made_from = [licence._asdict() for licence in licences.recalled(made_from)]
    return model


def _own_architecture(name: str, source: str) -> type[ClickNetwork]:
    module, _, attribute = str(name).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute) if module else None
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"The network {name} of {source} cannot be imported here: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, ClickNetwork)):
        raise InputError(
            f"Expected the architecture in {source} to be one of {', '.join(ARCHITECTURES)} or the dotted "
            f"name of a ClickNetwork, but got {name}."
        )
    return found


def fit_weights(module: nn.Module, state: Mapping[str, Any], source: str) -> None:
    """Copy weights into a module; each one must be there, fit, and be used.

    Raises:
        InputError: One does not; ``source`` and the first few names are in the message.
    """
    wanted = module.state_dict()
    problems = [f"{name} is missing" for name in wanted if name not in state]
    problems += [f"{name} has no place there" for name in state if name not in wanted]
    for name in [name for name in wanted if name in state]:
        got, shape = getattr(state[name], "shape", None), wanted[name].shape
        if got != shape:
            problems.append(
                f"{name} is {'no tensor' if got is None else tuple(got)} instead of {tuple(shape)}"
            )
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise InputError(f"The weights in {source} do not fit the model: {'; '.join(problems[:3])}{more}.")
    module.load_state_dict(state)


def _parts(path: Path) -> tuple[Path, str]:
    """The folder of a model, and the name of its weights in it."""
    return (path.parent, path.name) if path.suffix == ".safetensors" else (path, WEIGHTS)


def _read_folder(folder: Path, weights: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    missing = [name for name in (CONFIG, weights) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} is not a model folder: {' and '.join(missing)} missing.")
    try:
        config = dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        state = read_weights(folder / weights)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"The model in {folder} cannot be read: {error}") from error
    return config, state


class Checkpoint(NamedTuple):
    """What a checkpoint of ``mis fit`` says of its network.

    Attributes:
        config: What :func:`describe` gave.
        weights: By name; the averaged ones where weights were averaged.
        hyperparameters: Of the training module; empty in checkpoints from before they were kept.
    """

    config: dict[str, Any]
    weights: dict[str, torch.Tensor]
    hyperparameters: dict[str, Any]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read config and weights of the click model in a checkpoint of ``mis fit``. Nothing in it is executed.

    Raises:
        InputError: The file is damaged, holds more than tensors and plain values, or is no such checkpoint.
    """
    try:
        content = read_weights(path, mmap=True)
    except InputError as error:
        raise InputError(
            f"Expected a checkpoint of `mis fit`, but {error} (A published click model needs "
            "`mis import-checkpoint` first.)"
        ) from error
    content = content if isinstance(content, dict) else {}
    config, weights = content.get(CHECKPOINT_KEY), content.get("state_dict")
    if not isinstance(config, dict) or not isinstance(weights, dict):
        raise InputError(f"{path} is not a checkpoint of `mis fit`: it has no `{CHECKPOINT_KEY}` entry.")
    prefix = "model."
    weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    kept = content.get("hyper_parameters")
    return Checkpoint(config, weights, dict(kept) if isinstance(kept, dict) else {})
