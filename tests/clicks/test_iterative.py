"""The rounds of click simulation, with an answering side whose every call is recorded.

Rule: docs/protocol.md#iterative-clicks.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mis_lightning.clicks.corrective import add_corrective_clicks
from mis_lightning.clicks.iterative import answer_every_click, simulate_clicks
from mis_lightning.structures import Prompt

K = 4


class Recorder:
    """Answers with a learned constant that grows by 1 with every call; keeps what it was asked."""

    def __init__(self, first: float = -2.0) -> None:
        self.logit = torch.nn.Parameter(torch.tensor(first))
        self.calls: list[tuple[Tensor, Tensor]] = []
        self.grad_modes: list[bool] = []

    def __call__(self, prompt: Prompt) -> Tensor:
        self.calls.append((prompt.previous_mask.clone(), prompt.points.clone()))
        self.grad_modes.append(torch.is_grad_enabled())
        return (self.logit + len(self.calls) - 1) * torch.ones_like(prompt.previous_mask)


def batch() -> tuple[Tensor, Tensor]:
    mask = torch.zeros(2, 1, 20, 24, dtype=torch.bool)
    mask[0, 0, 2:9, 3:12] = True
    mask[1, 0, 10:18, 5:20] = True
    points = torch.full((2, 2 * K, 3), -1.0)
    points[:, 0] = torch.tensor([[5.0, 6, 100], [14, 12, 100]])
    return points, mask


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_no_rounds() -> None:
    answer = Recorder()
    points, mask = batch()
    after, previous, _ = simulate_clicks(answer, points, mask, 0, seeded())
    assert answer.calls == []
    assert previous.dtype == torch.float32
    assert previous.shape == mask.shape
    assert not previous.any()
    assert torch.equal(after, points)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_previous_mask_is_the_answer_before_the_last_click(rounds: int) -> None:
    answer = Recorder()
    points, mask = batch()
    after, previous, _ = simulate_clicks(answer, points, mask, rounds, seeded())

    assert len(answer.calls) == rounds
    assert not answer.calls[0][0].any()
    assert torch.equal(answer.calls[0][1], points)
    for number in range(1, rounds):  # each question holds the answer to the one before
        expected = torch.sigmoid(torch.tensor(-2.0 + number - 1))
        torch.testing.assert_close(answer.calls[number][0], expected.expand(mask.shape))
    torch.testing.assert_close(previous, torch.sigmoid(torch.tensor(-2.0 + rounds - 1)).expand(mask.shape))

    # The last answer was given to the points without the last click, which is marked by its number.
    asked = answer.calls[-1][1]
    assert ((asked[..., 2] == rounds).sum(1) == 0).all()
    assert ((after[..., 2] == rounds).sum(1) == 1).all()
    assert torch.equal(after[after[..., 2] != rounds], asked[after[..., 2] != rounds])


def test_clicks_are_those_of_the_single_rounds() -> None:
    points, mask = batch()
    after, *_ = simulate_clicks(Recorder(), points, mask, 2, seeded())
    generator, expected = seeded(), points
    for order, logit in ((1, -2.0), (2, -1.0)):
        probability = torch.sigmoid(torch.full(mask.shape, logit))
        expected = add_corrective_clicks(expected, probability, mask, order, generator, 0.49)
    assert torch.equal(after, expected)
    # Everything was predicted as background, so both clicks are positive: rows K - 1 and K - 2.
    assert (after[:, [K - 1, K - 2], 2] == torch.tensor([1.0, 2.0])).all()
    assert (after[:, K:] == -1).all()


def test_no_gradient() -> None:
    answer = Recorder()
    points, mask = batch()
    assert torch.is_grad_enabled()
    after, previous, _ = simulate_clicks(answer, points, mask, 2, seeded())
    assert answer.grad_modes == [False, False]
    assert torch.is_grad_enabled()
    assert not previous.requires_grad
    assert not after.requires_grad


def test_threshold_is_handed_on() -> None:
    points, mask = batch()
    # Probability 0.5 everywhere: above the threshold the background is wrong, below it the object is missed.
    for threshold, half in ((0.49, slice(K, None)), (0.51, slice(0, K))):
        after, *_ = simulate_clicks(Recorder(first=0.0), points, mask, 1, seeded(), threshold)
        assert ((after[:, half, 2] == 1).sum(1) == 1).all()


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_every_click_is_answered_with_gradient_as_the_simulation_asks(rounds: int) -> None:
    answer, plain = Recorder(), Recorder()
    points, mask = batch()
    logits = list(answer_every_click(answer, points, mask, rounds, seeded()))
    after, previous, _ = simulate_clicks(plain, points, mask, rounds, seeded())

    assert len(logits) == rounds + 1
    assert all(answer.grad_modes)
    for (ours, our_points), (theirs, their_points) in zip(answer.calls, plain.calls, strict=False):
        assert torch.equal(ours, theirs)
        assert torch.equal(our_points, their_points)
    assert torch.equal(answer.calls[-1][0], previous)
    assert torch.equal(answer.calls[-1][1], after)
    assert not any(previous.requires_grad for previous, _ in answer.calls)
    torch.stack(logits).mean().backward()
    assert answer.logit.grad == 1
