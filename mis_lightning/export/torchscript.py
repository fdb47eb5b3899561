"""A click model as a traced TorchScript file for libtorch, and as the ``.pt2`` that is to replace it.

``torch.jit`` is deprecated, but it is what ``torch::jit::load`` in C++ reads; a traced click model keeps
batch size and number of clicks free, as its ``torch.export`` graph does.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Optional

import torch
from torch import Tensor, nn

from mis_lightning.errors import InputError
from mis_lightning.export.graph import (
    checked,
    example_inputs,
    exported_program,
    flat_model,
    metadata,
    of_flat,
)
from mis_lightning.files import written_whole
from mis_lightning.models.click_network import ClickNetwork

METADATA = "metadata.json"
"""Extra file inside both kinds of file: what :func:`~mis_lightning.export.graph.metadata` says."""


class _MaySay(nn.Module):
    """A traced graph whose fourth input may be left out."""

    def __init__(self, traced: nn.Module) -> None:
        super().__init__()
        self.traced = traced

    def forward(
        self,
        image: Tensor,
        previous_mask: Tensor,
        points: Tensor,
        granularity: Optional[Tensor] = None,  # noqa: UP045 (TorchScript reads no other spelling)
    ) -> Tensor:
        if granularity is None:
            granularity = torch.full([image.shape[0]], float("nan"), device=image.device)
        logits: Tensor = self.traced(image, previous_mask, points, granularity)
        return logits


def export_torchscript(model: ClickNetwork, path: str | Path) -> float:
    """Trace the model and save it for ``torch.jit.load`` in Python or ``torch::jit::load`` in C++.

    Its inputs are image, previous mask and points; where the model takes it also ``granularity``, ``(B,)``,
    which may be NaN, and be left out.

    Args:
        model: The model; it is put into evaluation mode.
        path: The file.

    Returns:
        The largest difference between the file's logits and the model's
        (:func:`~mis_lightning.export.graph.difference`), at most ``TOLERANCE``.

    Raises:
        InputError: This Python has no TorchScript any more, or the graph answers otherwise than the model.
    """
    path = Path(path)
    with warnings.catch_warnings(), torch.no_grad(), written_whole(path) as temporary:
        warnings.simplefilter("ignore")  # that it is deprecated; and shapes that tracing fixes, checked below
        try:
            traced = torch.jit.trace(flat_model(model), example_inputs(model), check_trace=False)
            if model.takes_granularity:
                traced = torch.jit.script(_MaySay(traced))
            extra = {METADATA: json.dumps(metadata(model))}
            torch.jit.save(traced, str(temporary), _extra_files=extra)
            loaded = torch.jit.load(str(temporary))
        except RuntimeError as error:
            raise InputError(
                f"torch {torch.__version__} cannot trace the model here ({str(error).splitlines()[0]}); use "
                "the format pt2."
            ) from error
        return checked(model, of_flat(loaded))


def export_pt2(model: ClickNetwork, path: str | Path) -> float:
    """Save the ``torch.export`` graph for ``torch.export.load(path).module()``.

    Its inputs are those of :func:`export_torchscript`; none can be left out.

    Args:
        model: The model; it is put into evaluation mode.
        path: The file, ``.pt2``.

    Returns:
        As :func:`export_torchscript`.

    Raises:
        InputError: The name does not end in .pt2, or the graph answers otherwise than the model.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise InputError(f"Expected a name that ends in .pt2, but got {path}.")
    program = exported_program(model)
    with written_whole(path) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file, extra_files={METADATA: json.dumps(metadata(model))})
        file.flush()
        with temporary.open("rb") as saved:
            loaded = torch.export.load(saved).module()
        return checked(model, of_flat(_MaySay(loaded) if model.takes_granularity else loaded))
