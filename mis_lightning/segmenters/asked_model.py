"""What a click model is, and how any callable or module is asked as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mis_lightning.errors import InputError
from mis_lightning.structures import Prompt

ClickModel = Callable[[Tensor, Prompt], Tensor]
"""``model(image, prompt) -> logits``, see :mod:`mis_lightning.structures`."""


def input_size(model: ClickModel, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """``size``, or ``model.input_size`` where it is ``None`` and the model has one, or ``(448, 448)``."""
    height, width = size if size is not None else getattr(model, "input_size", None) or (448, 448)
    if height < 1 or width < 1:
        raise InputError(f"Expected the input size (height, width) positive, but got {(height, width)}.")
    return int(height), int(width)


@contextmanager
def evaluation_mode(model: ClickModel) -> Iterator[None]:
    """Every submodule in evaluation mode inside the block, and exactly as it was after it."""
    training = [m for m in model.modules() if m.training] if isinstance(model, nn.Module) else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def device_of(model: ClickModel) -> torch.device:
    """Where the first parameter of a module lies; the CPU for everything else."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return parameter.device if parameter is not None else torch.device("cpu")
