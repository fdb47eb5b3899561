"""The block against timm's: the same weights under the same names, the same answers to the bit."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import Block as TimmBlock

from mis_lightning.models.transformer_block import Block


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_it_is_the_block_of_timm(fused: bool, drop_path: float) -> None:
    torch.manual_seed(0)
    ours = Block(24, 3, 4.0, drop_path, fused)
    torch.manual_seed(0)
    theirs = TimmBlock(24, 3, 4.0, qkv_bias=True, drop_path=drop_path)
    theirs.attn.fused_attn = fused
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)
    tokens = torch.randn(8, 10, 24)
    for training in (False, True):
        answers = []
        for block in (ours.train(training), theirs.train(training)):
            torch.manual_seed(1)
            answer = block(tokens)
            block.zero_grad()
            answer.square().sum().backward()
            answers.append([answer, *(one.grad for one in block.parameters())])
        for mine, other in zip(*answers, strict=True):
            assert torch.equal(mine, other)
