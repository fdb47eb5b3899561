"""A click model as an ONNX file, click maps included (``torch.onnx.export`` on a ``torch.export`` graph)."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from mis_lightning.errors import InputError
from mis_lightning.export.graph import checked, exported_program, metadata
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.segmenters.onnx_model import GRANULARITY, INPUTS, OUTPUT, OnnxClickModel

OPSET = 20
"""The first with an operator for GELU."""
OPSETS = range(18, 24)
"""What the exporter writes."""
ONE_FILE = 1_900_000_000
"""Bytes of weights that go into the file itself; protobuf ends at 2 GiB, more go into ``<name>.data``."""


def export_onnx(model: ClickNetwork, path: str | Path, opset: int = OPSET) -> float:
    """Write ``(image, previous_mask, points) -> logits`` as one flat graph; B and K stay free.

    A model that takes it has a fourth input ``granularity``, float32, ``(B,)``, NaN where an image has none;
    it may be left out.

    The file is compared with the model before it gets its name.

    Args:
        model: The model; it is put into evaluation mode.
        path: The file, ``.onnx``; beyond ``ONE_FILE`` the weights go to ``<path>.data``.
        opset: Version of ONNX's operators.

    Returns:
        The difference that was found (:func:`~mis_lightning.export.graph.difference`), at most its
        ``TOLERANCE``.

    Raises:
        InputError: An extra is missing, the opset is not known, or the graph answers otherwise.
    """
    path = Path(path)
    if opset not in OPSETS:
        raise InputError(f"Expected `opset` from {OPSETS[0]} to {OPSETS[-1]}, but got {opset}.")
    if path.suffix != ".onnx":
        raise InputError(f"Expected a name that ends in .onnx, but got {path}.")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError(
            'Exporting to ONNX needs onnx, onnxscript and onnxruntime: pip install "mis-lightning[export]"'
        ) from None
    with _quietly():
        program = torch.onnx.export(
            exported_program(model),
            input_names=(*INPUTS, GRANULARITY) if model.takes_granularity else INPUTS,
            output_names=[OUTPUT],
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # dynamo=True returns it
    written = program.model.opset_imports.get("")
    if written != opset:
        raise InputError(
            f"torch {torch.__version__} writes opset {written} instead of {opset}; ask for {written}."
        )
    said = metadata(model, opset=opset)
    _strip(program.model)
    if model.takes_granularity:
        _make_optional(program.model, GRANULARITY)
    program.model.metadata_props.update({key: json.dumps(value) for key, value in said.items()})
    size = sum(value.nbytes for value in model.state_dict().values())
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".", suffix=".tmp", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        program.save(temporary, external_data=size > ONE_FILE)
        found = checked(model, OnnxClickModel(temporary))
        data = path.with_name(path.name + ".data")
        if size > ONE_FILE:
            os.replace(temporary.with_name(data.name), data)
        else:
            data.unlink(missing_ok=True)
        os.replace(temporary, path)
    return found


def _make_optional(model: Any, name: str) -> None:
    """Give an input a value that it has where it is left out: NaN, for the whole batch."""
    import onnx_ir

    (given,) = (value for value in model.graph.inputs if value.name == name)
    given.const_value = onnx_ir.tensor(np.array([np.nan], np.float32), name=name)
    model.graph.register_initializer(given)


def _strip(model: Any) -> None:
    """Take the exporter's notes off every node: stack traces, which name folders of this machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's notes about what it leaves unoptimised."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
