"""One step of practice: views of lessons are clicked, every answer is compared with the object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from mis_lightning.clicks.iterative import answer_every_click
from mis_lightning.learning.lessons import Lesson, Views
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.losses.summed import mean_loss
from mis_lightning.models.precision import has_tiles
from mis_lightning.structures import Prompt

Batch = tuple[Tensor, Tensor, Tensor]
"""Images, float32 ``(B, 3, h, w)`` in ``[0, 1]``, masks, bool ``(B, 1, h, w)``, points, ``(B, 2K, 3)``."""


def draw_batch(
    lessons: Sequence[Lesson], views: Views, size: tuple[int, int], generator: np.random.Generator
) -> Batch:
    """One view of each lesson."""
    drawn = [views.draw(lesson, size, generator) for lesson in lessons]
    images, masks, points = (torch.stack(part) for part in zip(*drawn, strict=True))
    return images, masks, points


def practise(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    rounds: int,
    loss: ClickLoss,
    generator: torch.Generator,
    pause: Callable[[], None] = lambda: None,
) -> float:
    """Answer the first points and ``rounds`` simulated clicks, and take a step on their mean loss."""
    images, masks, points = batch

    def compared() -> Iterator[Tensor]:
        for logits in answer_every_click(_asked(model, images, pause), points, masks, rounds, generator):
            yield loss(logits, masks, images)[0]

    optimiser.zero_grad(set_to_none=True)
    total = mean_loss(compared(), rounds + 1, list(model.parameters()))
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(total.detach())


def agreement(
    model: nn.Module,
    batch: Batch,
    rounds: int,
    generator: torch.Generator,
    pause: Callable[[], None] = lambda: None,
) -> float:
    """Mean IoU of the answers to the first points and to ``rounds`` simulated clicks with the objects."""
    images, masks, points = batch
    found = []
    with torch.no_grad():
        for logits in answer_every_click(_asked(model, images, pause), points, masks, rounds, generator):
            inside = logits > 0
            common = (inside & masks).sum(dim=(1, 2, 3)).float()
            found.append(common / (inside | masks).sum(dim=(1, 2, 3)).clamp(min=1))
    return float(torch.stack(found).mean())


def _asked(model: nn.Module, images: Tensor, pause: Callable[[], None]) -> Callable[[Prompt], Tensor]:
    """The network on these images, in bfloat16 where the processor is faster so."""
    quick = images.device.type != "cpu" or has_tiles()

    def answer(prompt: Prompt) -> Tensor:
        pause()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=quick):
            return cast(Tensor, model(images, prompt)).float()

    return answer
