"""Iterative click simulation of one training batch (spec A6.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mis_lightning.clicks.corrective import add_corrective_clicks


def simulate_clicks(
    answer: Callable[[Tensor, Tensor], Tensor],
    points: Tensor,
    mask: Tensor,
    rounds: int,
    generator: torch.Generator,
    threshold: float = 0.49,
) -> tuple[Tensor, Tensor]:
    """Let the model answer ``rounds`` times without gradient, clicking its largest error after each answer.

    Args:
        answer: ``answer(previous_mask, points) -> logits``, the click model in evaluation mode on this batch.
        points: Initial points, float32 ``(B, 2K, 3)``.
        mask: The regions, bool ``(B, 1, H, W)``.
        rounds: Clicks to add per sample; 0 leaves the points as they are.
        generator: Chooses each click among the candidates.
        threshold: A pixel counts as predicted where its probability is above this.

    Returns:
        The previous mask ``(B, 1, H, W)``: the last answer's probabilities, zeros when there was none. It
        is the answer *before* the most recent click. And the points with the new clicks.
    """
    previous = torch.zeros(mask.shape, device=mask.device)
    for order in range(1, rounds + 1):
        with torch.no_grad():
            previous = torch.sigmoid(answer(previous, points).float())
        points = add_corrective_clicks(points, previous, mask, order, generator, threshold)
    return previous, points


def answer_every_click(
    answer: Callable[[Tensor, Tensor], Tensor],
    points: Tensor,
    mask: Tensor,
    rounds: int,
    generator: torch.Generator,
    threshold: float = 0.49,
) -> Iterator[Tensor]:
    """Let the model answer the initial points and then each of ``rounds`` corrective clicks, with gradient.

    Not of the paper, which learns from the last answer alone. Every forward pass is learned from, and first
    clicks are seen as often as late ones. No gradient flows from an answer to the one before it.

    Args:
        answer: ``answer(previous_mask, points) -> logits``, the click model on this batch.
        points: Initial points, float32 ``(B, 2K, 3)``.
        mask: The regions, bool ``(B, 1, H, W)``.
        rounds: Clicks to add per sample.
        generator: Chooses each click among the candidates.
        threshold: A pixel counts as predicted where its probability is above this.

    Yields:
        Logits ``(B, 1, H, W)``, ``rounds + 1`` times.
    """
    previous = torch.zeros(mask.shape, device=mask.device)
    for order in range(1, rounds + 2):
        logits = answer(previous, points)
        yield logits
        if order <= rounds:
            previous = torch.sigmoid(logits.detach().float())
            points = add_corrective_clicks(points, previous, mask, order, generator, threshold)
