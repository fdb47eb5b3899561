"""Schedule values in closed form, and who learns how fast under layer-wise decay.

Rules: docs/protocol.md#optimiser-and-schedule, docs/protocol.md#layer-wise-decay.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mis_lightning.errors import InputError
from mis_lightning.training.optim import WarmupCosine, layerwise_decay_groups, warmup_cosine


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0), (8, 0.1 + 0.9 * 0.5), (12, 0.1), (100, 0.1)],
)
def test_warmup_then_half_a_cosine(step: int, expected: float) -> None:
    assert warmup_cosine(step, warmup_steps=4, total_steps=12, final=0.1) == pytest.approx(expected)


def test_no_warmup_starts_at_the_top() -> None:
    values = [warmup_cosine(step, 0, 10) for step in range(11)]
    assert values == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 10)) for step in range(11)])


def test_scheduler_steps_the_learning_rate() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": 0.4}], lr=1.0)
    scheduler = WarmupCosine(optimizer, warmup_steps=2, total_steps=4)
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.2, 0.4, 0.4, 0.2, 0.0], abs=1e-12)


@pytest.mark.parametrize(("warmup", "total"), [(10, 10), (-1, 10), (0, -1)])
def test_schedules_that_cannot_be(warmup: int, total: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(InputError, match=f"warmup_steps < total_steps, but got {warmup} and {total}"):
        WarmupCosine(optimizer, warmup, total)


def test_every_parameter_is_in_one_group_at_its_rate(tiny_click_vit) -> None:
    model = tiny_click_vit(depth=3)
    groups = layerwise_decay_groups(model, lr=2.0, decay=0.5, weight_decay=0.02)
    found = {id(p): group for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found) == len(list(model.parameters()))

    # L = depth + 1 = 4: layer 0 at 2 · 0.5⁴, block i at 2 · 0.5³⁻ⁱ, neck and head at 2.
    expected_rate = {"backbone.blocks.0.": 0.25, "backbone.blocks.1.": 0.5, "backbone.blocks.2.": 1.0}
    expected_rate |= {"backbone.patch_embed.": 0.125, "backbone.pos_embed": 0.125, "click_embed.": 0.125}
    expected_rate |= {"neck.": 2.0, "head.": 2.0}
    for name, parameter in model.named_parameters():
        (rate,) = (rate for prefix, rate in expected_rate.items() if name.startswith(prefix))
        assert found[id(parameter)]["lr"] == rate, name
        if name.startswith(("neck.", "head.")):
            decays = True
        else:
            decays = name.endswith("weight") and ".norm" not in name
        assert found[id(parameter)]["weight_decay"] == (0.02 if decays else 0.0), name


def test_scale_of_the_paper() -> None:
    from mis_lightning.models.click_vit import ClickViT

    with torch.device("meta"):
        model = ClickViT()
    groups = layerwise_decay_groups(model, lr=5e-5)
    rates = {group["layer"]: group["lr"] for group in groups}
    assert rates == {layer: pytest.approx(5e-5 * 0.75 ** (13 - layer)) for layer in range(14)}


def test_the_click_embedding_learns(tiny_click_vit) -> None:
    # The reference leaves it out of every group, which freezes it (docs/protocol.md#layer-wise-decay).
    model = tiny_click_vit()
    before = model.click_embed.weight.clone()
    optimizer = torch.optim.Adam(layerwise_decay_groups(model, lr=0.1))
    model.click_embed(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.click_embed.weight, before)


def test_no_decay_is_one_rate(tiny_click_vit) -> None:
    groups = layerwise_decay_groups(tiny_click_vit(), lr=0.3, decay=1.0)
    assert {group["lr"] for group in groups} == {0.3}


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5])
def test_decay_out_of_range(tiny_click_vit, decay: float) -> None:
    with pytest.raises(InputError, match=rf"`decay` in \(0, 1\], but got {decay}"):
        layerwise_decay_groups(tiny_click_vit(), lr=1.0, decay=decay)


def test_layerwise_decay_needs_a_backbone() -> None:
    with pytest.raises(InputError, match="Expected a ClickViT for layer-wise decay, but got a Linear"):
        layerwise_decay_groups(nn.Linear(2, 2), lr=1.0)
