"""Iterative click simulation of one training batch.

Rule: docs/protocol.md#iterative-clicks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mis_lightning.clicks.corrective import add_corrective_clicks
from mis_lightning.structures import Prompt


def simulate_clicks(
    answer: Callable[[Prompt], Tensor],
    points: Tensor,
    mask: Tensor,
    rounds: int,
    generator: torch.Generator,
    threshold: float = 0.49,
) -> Prompt:
    """Let the model answer ``rounds`` times without gradient, clicking its largest error after each answer.

    Args:
        answer: ``answer(prompt) -> logits``, the click model in evaluation mode on this batch.
        points: Initial points, float32 ``(B, 2K, 3)``.
        mask: The regions, bool ``(B, 1, H, W)``.
        rounds: Clicks to add per sample; 0 leaves the points as they are.
        generator: Chooses each click among the candidates.
        threshold: A pixel counts as predicted where its probability is above this.

    Returns:
        The points with the new clicks, and as the previous mask the last answer's probabilities, zeros when
        there was none. It is the answer *before* the most recent click.
    """
    prompt = _first_prompt(points, mask)
    for order in range(1, rounds + 1):
        with torch.no_grad():
            logits = answer(prompt)
        prompt = _next_prompt(prompt, logits, mask, order, generator, threshold)
    return prompt


def answer_every_click(
    answer: Callable[[Prompt], Tensor],
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
        answer: ``answer(prompt) -> logits``, the click model on this batch.
        points: Initial points, float32 ``(B, 2K, 3)``.
        mask: The regions, bool ``(B, 1, H, W)``.
        rounds: Clicks to add per sample.
        generator: Chooses each click among the candidates.
        threshold: A pixel counts as predicted where its probability is above this.

    Yields:
        Logits ``(B, 1, H, W)``, ``rounds + 1`` times.
    """
    prompt = _first_prompt(points, mask)
    for order in range(1, rounds + 2):
        logits = answer(prompt)
        yield logits
        if order <= rounds:
            prompt = _next_prompt(prompt, logits, mask, order, generator, threshold)


def _first_prompt(points: Tensor, mask: Tensor) -> Prompt:
    return Prompt(points, torch.zeros(mask.shape, device=mask.device))


def _next_prompt(
    prompt: Prompt,
    logits: Tensor,
    mask: Tensor,
    order: int,
    generator: torch.Generator,
    threshold: float,
) -> Prompt:
    """The prompt after an answer: its probabilities, and a click on its largest error."""
    previous = torch.sigmoid(logits.detach().float())
    points = add_corrective_clicks(prompt.points, previous, mask, order, generator, threshold)
    return prompt._replace(points=points, previous_mask=previous)
