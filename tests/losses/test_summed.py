"""Backward passes taken one by one: the same gradients, a fraction of the memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mis_lightning.losses.summed import mean_loss


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 1))


def losses(model: nn.Module, count: int) -> Iterator[Tensor]:
    """Each input depends on the answer before it, as a previous mask does."""
    x = torch.linspace(-1, 1, 40).reshape(5, 8)
    for _ in range(count):
        answer = model(x)
        yield (answer - 0.3).square().mean()
        x = x + 0.1 * answer.detach()


def test_gradients_are_those_of_the_mean() -> None:
    expected, model = network(), network()
    torch.stack(list(losses(expected, 4))).mean().backward()
    frozen = nn.Parameter(torch.ones(3), requires_grad=False)
    unused = nn.Parameter(torch.ones(3))
    loss = mean_loss(losses(model, 4), 4, [*model.parameters(), frozen, unused])
    assert all(parameter.grad is None for parameter in model.parameters())
    (3 * loss).backward()
    torch.testing.assert_close(loss.detach(), torch.stack(list(losses(network(), 4))).mean().detach())
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one.grad, 3 * other.grad)
    assert frozen.grad is None
    assert unused.grad is None


class Saved:
    """Counts what backward passes hold on to."""

    def __init__(self) -> None:
        self.most, self.alive = 0, weakref.WeakSet[Any]()

    def pack(self, tensor: Tensor) -> Any:
        class Box:
            content = tensor.detach()

        box = Box()
        self.alive.add(box)
        self.most = max(self.most, len(self.alive))
        return box

    @staticmethod
    def unpack(box: Any) -> Tensor:
        return box.content


def test_the_activations_of_one_loss_are_held_at_a_time() -> None:
    model, most = network(), []
    for count in (1, 6):
        saved = Saved()
        with torch.autograd.graph.saved_tensors_hooks(saved.pack, saved.unpack):
            mean_loss(losses(model, count), count, list(model.parameters()))
        most.append(saved.most)
    assert most[0] == most[1] > 0
