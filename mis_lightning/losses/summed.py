"""The mean of several losses, each with a backward pass of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def mean_loss(losses: Iterator[Tensor], count: int, parameters: Sequence[Tensor]) -> Tensor:
    """The mean of ``count`` losses, whose gradients are taken as they come.

    What belongs to one loss is let go before the next one is made, so that the activations of one are held at
    a time instead of all of them. ``backward()`` of the result adds to the gradients what that of
    ``torch.stack(losses).mean()`` would add, to rounding.

    Args:
        losses: Scalars, made one after the other; none of them may need the graph of an earlier one.
        count: Their number.
        parameters: What the gradients are for, in float32; a parameter that no loss depends on gets none.

    Returns:
        A scalar that depends on the parameters.
    """
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    gradients: list[Tensor | None] = [None] * len(wanted)
    total = torch.zeros((), device=wanted[0].device)
    for loss in losses:
        with torch.autocast(loss.device.type, enabled=False):  # as where Lightning calls backward()
            found = torch.autograd.grad(loss / count, wanted, allow_unused=True)
        for index, new in enumerate(found):
            if new is not None:
                old = gradients[index]
                gradients[index] = new if old is None else old.add_(new)
        total += loss.detach() / count
    used = [(g, p) for g, p in zip(gradients, wanted, strict=True) if g is not None]
    result: Tensor = _Known.apply(total, len(used), *(g for g, _ in used), *(p for _, p in used))
    return result


class _Known(torch.autograd.Function):
    """A number whose gradients are known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, count: int, *tensors: Tensor) -> Tensor:
        ctx.gradients = tensors[:count]
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        passed = tuple(gradient * upstream for gradient in ctx.gradients)
        return (None, None, *(None for _ in passed), *passed)
