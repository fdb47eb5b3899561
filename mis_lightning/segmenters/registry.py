"""Names of segmenters: every command and the Python API use the same names."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from mis_lightning.errors import InputError
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.models.shipped import DEFAULT, FOLDER, shipped_models
from mis_lightning.segmenters.attention_chain import AttentionChainSegmenter, attention_of
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.grabcut import GrabCutSegmenter
from mis_lightning.segmenters.identity import model_identity
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter
from mis_lightning.segmenters.names import CHAIN, PUBLISHED
from mis_lightning.segmenters.onnx_model import OnnxClickModel
from mis_lightning.segmenters.prediction_settings import PredictionSettings

WITHOUT_TRAINING: Mapping[str, Callable[[], Segmenter[Any]]] = {
    "merge-tree": MergeTreeSegmenter,
    "cv2.grabCut": GrabCutSegmenter,
    "cv2.grabCut-plain": lambda: GrabCutSegmenter(click_radius=2, iterations=1),
}
"""Segmenters without weights."""


def open_segmenter(
    name: str | Path = DEFAULT, *, device: str | None = None, threshold: float | None = None, **settings: Any
) -> Segmenter[Any]:
    """Open a segmenter by its name.

    Args:
        name: ``"merge-tree"``, ``"cv2.grabCut"``, ``"cv2.grabCut-plain"``; ``"attention-chain"``, of DINO
            ViT-S/8, or ``"attention-chain:MODEL"`` of a timm ViT, with weights of a local file
            ``"attention-chain:MODEL@FILE"``; the name of a shipped model; a
            model folder, a ``.safetensors`` file with ``config.json`` beside it, a ``.ckpt`` of ``mis fit``,
            an ``.onnx`` file of ``mis export``, or ``owner/name`` on the hub
            (:func:`~mis_lightning.models.pretrained.load_pretrained`); or ``module.Class``, a subclass of
            :class:`~mis_lightning.segmenters.base.Segmenter` that is made without arguments. A model is asked
            as its ``config.json`` recommends; ``:published`` behind its name asks it by the published
            protocol.
        device: Where a model computes; the CPU unless given.
        threshold: A pixel belongs to the mask where its probability is above this, in [0, 1); that of the
            segmenter unless given.
        **settings: Of :class:`~mis_lightning.segmenters.prediction_settings.PredictionSettings`, in place of
            those of the model.

    Raises:
        InputError: There is no such segmenter, it cannot be opened, or the settings do not fit it.
    """
    text = str(name)
    if threshold is not None and not 0 <= threshold < 1:
        raise InputError(f"Expected `threshold` in [0, 1), but got {threshold}.")
    make = WITHOUT_TRAINING.get(text) or _chain(text, device) or _own_class(text)
    if make is not None:
        _refuse(settings, text)
        segmenter = make()
        segmenter.threshold = threshold if threshold is not None else segmenter.threshold
        return segmenter
    source = text.removesuffix(PUBLISHED)
    model: Any = OnnxClickModel(source, device or "cpu") if source.endswith(".onnx") else _model(source)
    prediction = PredictionSettings()
    if source == text:
        prediction = PredictionSettings.from_json(getattr(model, "recommended", {}))
    known = [field.name for field in fields(prediction)]
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        raise InputError(f"Expected settings of {', '.join(known)}, but got {unknown}.")
    if threshold is not None:
        settings["threshold"] = threshold
    return ClickModelSegmenter(model, replace(prediction, **settings), device)


def shipped_as(identity: str) -> str | None:
    """The name of the shipped model with this identity, as click logs record it; ``None``: no such one."""
    return next(
        (name for name in shipped_models() if model_identity(load_pretrained(FOLDER / name)) == identity),
        None,
    )


def label_of(name: str) -> str:
    """What a table calls a segmenter: its name, of a path the last part without its suffix.

    A checkpoint of a run is called after both: ``runs/cpu/checkpoints/last.ckpt`` is ``cpu/last``.
    """
    if name in WITHOUT_TRAINING:
        return name
    source, published, _ = name.partition(PUBLISHED)
    path = Path(source)
    run = f"{path.absolute().parents[1].name}/" if path.parent.name == "checkpoints" else ""
    return f"{run}{path.stem if path.suffix else path.name}{published}"


def _chain(name: str, device: str | None) -> Callable[[], Segmenter[Any]] | None:
    """Makes the segmenter of a ViT's attention; ``None`` where the name is another's."""
    kind, _, rest = name.partition(":")
    if kind != CHAIN:
        return None
    model, _, weights = (rest or "vit_small_patch8_224.dino").partition("@")
    return lambda: AttentionChainSegmenter(attention_of(model, weights or None, device or "cpu"))


def _model(source: str) -> Any:
    try:
        return load_pretrained(source)
    except InputError as error:
        known = [*WITHOUT_TRAINING, *shipped_models()]
        near = difflib.get_close_matches(source, known, n=2, cutoff=0.5)
        if Path(source).exists() or not near or "Did you mean" in str(error):
            raise
        raise InputError(f"{error} Did you mean {' or '.join(near)}?") from error


def _refuse(settings: Mapping[str, Any], name: str) -> None:
    if settings:
        raise InputError(f"Expected no settings of a click model for {name}, but got {', '.join(settings)}.")


def _own_class(name: str) -> type[Segmenter[Any]] | None:
    """The class that a dotted name means; ``None`` where the name is no such thing.

    Modules in the working directory are found, as by ``python -m``.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name) or Path(name).exists():
        return None
    module, _, attribute = name.rpartition(".")
    if not attribute[0].isupper():  # a file name such as model.ckpt
        return None
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"Expected the Segmenter class {name}, but it cannot be imported: {error}."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Segmenter)):
        raise InputError(f"Expected {name} to be a subclass of mis_lightning.Segmenter, but it is {found!r}.")
    return found
