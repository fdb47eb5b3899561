"""Learning-rate schedules and layer-wise decay.

Rules: docs/protocol.md#optimiser-and-schedule, docs/protocol.md#layer-wise-decay.
"""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mis_lightning.errors import InputError


def warmup_cosine(step: int, warmup_steps: int, total_steps: int, final: float = 0.0) -> float:
    """Return the factor on the learning rate: linear warm-up to 1, then half a cosine down to ``final``.

    >>> [round(warmup_cosine(step, 10, 110), 3) for step in (0, 5, 10, 60, 110)]
    [0.1, 0.6, 1.0, 0.5, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    share = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * share))


class WarmupCosine(LambdaLR):
    """:func:`warmup_cosine` as a scheduler, stepped once per optimisation step."""

    def __init__(self, optimizer: Optimizer, warmup_steps: int, total_steps: int, final: float = 0.0) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise InputError(
                f"Expected 0 <= warmup_steps < total_steps, but got {warmup_steps} and {total_steps}."
            )
        super().__init__(optimizer, lambda step: warmup_cosine(step, warmup_steps, total_steps, final))


def layerwise_decay_groups(
    model: nn.Module, lr: float, decay: float = 0.75, weight_decay: float = 0.02
) -> list[dict[str, Any]]:
    """Group a :class:`~mis_lightning.models.click_vit.ClickViT`'s parameters by depth.

    Rule: docs/protocol.md#layer-wise-decay.

    Layer 0 holds the position table and the patch embeddings, block ``i`` is layer ``i + 1``; a layer ``l``
    of ``L = depth + 1`` learns at ``lr * decay ** (L - l)``. Neck and head learn at ``lr``. In the backbone
    only parameters with two or more dimensions decay, except the position table. The reference leaves the
    click embedding out of every group, which freezes it (docs/protocol.md#layer-wise-decay); here it is in
    layer 0.

    Args:
        model: Has ``backbone.blocks``, ``click_embed``, ``neck`` and ``head``.
        lr: Learning rate of the head.
        decay: Factor from one layer to the one before it, in (0, 1].
        weight_decay: Weight decay of the parameters that decay.

    Returns:
        Parameter groups for an optimiser; every parameter is in exactly one.

    Raises:
        InputError: ``decay`` is out of range, or the model has no backbone of blocks.
    """
    if not 0 < decay <= 1:
        raise InputError(f"Expected `decay` in (0, 1], but got {decay}.")
    if not hasattr(model, "backbone"):
        raise InputError(f"Expected a ClickViT for layer-wise decay, but got a {type(model).__name__}.")
    last = len(model.backbone.blocks) + 1  # type: ignore[union-attr, arg-type]
    groups: dict[tuple[int, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if name.startswith("backbone.blocks."):
            layer = int(name.split(".")[2]) + 1
        elif name.startswith(("backbone.", "click_embed.")):
            layer = 0
        else:
            layer = last
        plain = layer < last and (parameter.ndim < 2 or name.endswith("pos_embed"))
        key = (layer, 0.0 if plain else weight_decay)
        group = groups.setdefault(
            key, {"params": [], "lr": lr * decay ** (last - layer), "weight_decay": key[1], "layer": layer}
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]
