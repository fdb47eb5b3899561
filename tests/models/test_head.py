"""The head equals its literal form: project, resize, concatenate, fuse, classify.

Rule: docs/protocol.md#segmentation-head.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mis_lightning.models.head import MLPHead

DIMS = (3, 5, 4, 7)


def literal(head: MLPHead, maps: list[Tensor]) -> Tensor:
    size = maps[0].shape[-2:]
    projected = [F.relu(conv(m)) for conv, m in zip(head.project, maps, strict=True)]
    resized = [F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in projected]
    return head.classify(head.dropout(F.relu(head.fuse(torch.cat(resized, dim=1)))))


@pytest.fixture
def head() -> MLPHead:
    torch.manual_seed(0)
    head = MLPHead(DIMS, 16, dropout=0.5).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def pyramid() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2)]
    return [
        torch.randn(2, d, *s, generator=generator, dtype=torch.float64)
        for d, s in zip(DIMS, sizes, strict=True)
    ]


@pytest.mark.parametrize("training", [False, True])
def test_equals_the_literal_form_and_so_do_its_gradients(head: MLPHead, training: bool) -> None:
    head.train(training)
    results = []
    for form in (head, lambda maps: literal(head, maps)):
        head.zero_grad()
        torch.manual_seed(2)  # the same channels drop out
        out = form(pyramid())
        out.square().mean().backward()
        results.append([out.detach(), *(p.grad.clone() for p in head.parameters())])
    assert results[0][0].shape == (2, 1, 8, 12)
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-9, rtol=1e-9)


def test_whole_channels_drop_out(head: MLPHead) -> None:
    seen: list[Tensor] = []
    head.classify.register_forward_hook(lambda _module, args, _out: seen.append(args[0]))
    head.train()(pyramid())
    head.eval()(pyramid())
    trained, evaluated = (features.flatten(2) for features in seen)
    dropped = (trained == 0).all(-1)
    assert (dropped & (evaluated > 0).any(-1)).any()
    assert not dropped.all()
    torch.testing.assert_close(trained[~dropped], 2 * evaluated[~dropped])


def test_initial_weights() -> None:
    torch.manual_seed(0)
    head = MLPHead((128, 256, 512, 1024))
    for conv in (*head.project, head.fuse):
        assert conv.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.03)
        assert not conv.bias.any()
