"""What a click model is, and how any callable or module is asked as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mis_lightning.clicks.encoding import pack_points
from mis_lightning.errors import InputError
from mis_lightning.structures import Click, Prompt

ClickModel = Callable[[Tensor, Prompt], Tensor]
"""``model(image, prompt) -> logits``, see :mod:`mis_lightning.structures`."""


def input_size(model: ClickModel, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """``size``, or ``model.input_size`` where it is ``None`` and the model has one, or ``(448, 448)``."""
    height, width = size if size is not None else getattr(model, "input_size", None) or (448, 448)
    if height < 1 or width < 1:
        raise InputError(f"Expected the input size (height, width) positive, but got {(height, width)}.")
    return int(height), int(width)


def takes_granularity(model: ClickModel) -> bool:
    """Whether a model takes a granularity, which its attribute of this name says; most do not."""
    return bool(getattr(model, "takes_granularity", False))


def ask(
    model: ClickModel,
    device: torch.device,
    views: Tensor,
    previous: Tensor,
    clicks: Sequence[Sequence[Click]],
    flip: bool,
    granularity: Tensor | None = None,
) -> Tensor:
    """Logits of a model in evaluation mode, float32, ``(B, h, w)``.

    Args:
        model: It is handed float32 points, as in training, unless its attribute ``exact_points`` is true.
        device: Where it computes.
        views: Crops, ``(B, 3, h, w)``.
        previous: The previous mask in them, ``(B, 1, h, w)``.
        clicks: In their pixels.
        flip: Average with the mirrored input.
        granularity: Of the views, float32, ``(B,)``, NaN where one has none; ``None``: none has one.

    Raises:
        InputError: It returned something other than logits ``(B, 1, h, w)``.
    """
    width, asked = views.shape[-1], [list(one) for one in clicks]
    if flip:
        views, previous = (torch.cat([one, one.flip(-1)]) for one in (views, previous))
        asked += [[c._replace(col=width - c.col - 1) for c in one] for one in asked]
        granularity = torch.cat([granularity] * 2) if granularity is not None else None
    points = pack_points(asked)
    if not getattr(model, "exact_points", False) or device.type == "mps":  # which has no float64
        points = points.float()
    with evaluation_mode(model):
        logits = model(views, Prompt(points.to(device), previous, granularity))
    if logits.shape != previous.shape:
        raise InputError(
            f"Expected logits of shape {tuple(previous.shape)} from the model, but got {tuple(logits.shape)}."
        )
    logits = logits[:, 0].float()
    if flip:
        straight, mirrored = logits.chunk(2)
        logits = 0.5 * (straight + mirrored.flip(-1))
    return logits


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
