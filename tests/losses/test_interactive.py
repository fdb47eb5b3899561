"""The training loss against its terms."""

from __future__ import annotations

import pytest
import torch

from mis_lightning.losses import interactive
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.losses.smoothness import smoothness_loss


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 9, 8, generator=generator, requires_grad=True)
    mask = torch.rand(2, 1, 9, 8, generator=generator) > 0.5
    return logits, mask, torch.rand(2, 3, 9, 8, generator=generator)


@pytest.mark.parametrize("yuv", ["reference", "standard"])
def test_weighted_sum(batch, yuv):
    logits, mask, image = batch
    total, terms = ClickLoss(bce_weight=0.5, smoothness_weight=3.0, yuv=yuv)(logits, mask, image)
    probability = logits.sigmoid()
    bce = -torch.where(mask, probability, 1 - probability).log().mean()
    smoothness = smoothness_loss(logits, image, yuv)
    assert terms["bce"].item() == pytest.approx(bce.item(), rel=1e-5)
    assert terms["smoothness"].item() == smoothness.item()
    assert total.item() == pytest.approx((0.5 * bce + 3 * smoothness).item(), rel=1e-5)
    assert not any(term.requires_grad for term in terms.values())
    (gradient,) = torch.autograd.grad(total, logits)
    (expected,) = torch.autograd.grad(0.5 * bce + 3 * smoothness, logits)
    torch.testing.assert_close(gradient, expected)


def test_published_weights(batch):
    total, terms = ClickLoss()(*batch)
    assert total.item() == pytest.approx((terms["bce"] + 10 * terms["smoothness"]).item())


def test_float_mask_is_the_same(batch):
    logits, mask, image = batch
    assert ClickLoss()(logits, mask, image)[0] == ClickLoss()(logits, mask.float(), image)[0]


def test_zero_weight_skips_the_term(batch, monkeypatch):
    loss = ClickLoss(smoothness_weight=0)
    monkeypatch.setattr(interactive.SmoothnessLoss, "forward", None)  # calling it would fail
    total, terms = loss(*batch)
    assert list(terms) == ["bce"]
    assert total == terms["bce"]
