"""Every extractor of the paper and beyond: the plain forward pass, published files, and the grid; no network.

Blocks are alike, so two of each network are enough here; test_vit.py runs whole ones.
"""

from __future__ import annotations

import importlib.util
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from mis_lightning.errors import InputError
from mis_lightning.features import vit
from mis_lightning.features.vit import ViTFeatures

_spec = importlib.util.spec_from_file_location("plain_vit", Path(__file__).with_name("test_vit.py"))
plain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plain)

IMAGE = plain.IMAGE  # 25 x 40 pixels, 4 x 5 patches


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch):
    """Sets the number of blocks of all networks to come."""

    def limit(depth: int) -> None:
        monkeypatch.setattr(vit.timm, "create_model", partial(timm.create_model, depth=depth))

    return limit


@pytest.mark.parametrize(
    ("name", "patch", "heads", "channels"),
    [
        ("vit_small_patch8_224.dino", 8, 6, 384),
        ("vit_small_patch16_224.dino", 16, 6, 384),
        ("vit_base_patch8_224.dino", 8, 12, 768),
        ("vit_base_patch16_224.dino", 16, 12, 768),
        ("vit_small_patch14_dinov2.lvd142m", 14, 6, 384),
        ("vit_base_patch14_dinov2.lvd142m", 14, 12, 768),
        ("vit_base_patch14_reg4_dinov2.lvd142m", 14, 12, 768),
        ("vit_large_patch14_dinov2.lvd142m", 14, 16, 1024),
        ("vit_giant_patch14_dinov2.lvd142m", 14, 24, 1536),
    ],
)
def test_tokens_of_dino_and_dinov2(blocks, name, patch, heads, channels) -> None:
    blocks(2)
    extractor = plain.make_random(ViTFeatures(name, pretrained=False))
    features, grid = extractor(IMAGE)
    expected, expected_grid = plain.plain_tokens(extractor.model.state_dict(), IMAGE, patch, heads)
    assert grid == expected_grid == (4, 5)
    assert features.shape == (20, channels)
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-4)


def sine_table(side: int, dim: int) -> torch.Tensor:
    """docs/protocol.md#moco-v3-files, entry by entry."""
    quarter = dim // 4
    table = torch.zeros(1, 1 + side * side, dim)
    for row in range(side):
        for col in range(side):
            for block, function in enumerate((math.sin, math.cos, math.sin, math.cos)):
                place = row if block < 2 else col
                values = [function(place * 10_000 ** (-k / quarter)) for k in range(quarter)]
                table[0, 1 + side * row + col, block * quarter : (block + 1) * quarter] = torch.tensor(values)
    return table


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(
    ("name", "file"), [("small", "vit-s-300ep.pth.tar"), ("base", "vit-b-300ep.pth.tar")]
)
def test_moco_files_in_their_published_form(blocks, tmp_path, name, file, stored) -> None:
    """Key rules: momentum encoder, heads and predictors go; 12 heads in either size; a fixed sine table."""
    blocks(2)
    model = f"vit_{name}_patch16_224"
    encoder = plain.make_random(ViTFeatures(model, pretrained=False), seed=3).model.state_dict()
    encoder["pos_embed"] = sine_table(14, encoder["pos_embed"].shape[2])
    published = {k: v for k, v in encoder.items() if stored or k != "pos_embed"}
    state = {f"module.base_encoder.{k}": v for k, v in published.items()}
    state |= {f"module.momentum_encoder.{k}": torch.zeros_like(v) for k, v in published.items()}
    for key in ("module.base_encoder.head.0.weight", "module.predictor.0.weight"):
        state[key] = torch.zeros(3, 3)
    torch.save({"epoch": 300, "arch": "vit", "state_dict": state}, tmp_path / file)
    extractor = ViTFeatures(model, checkpoint=str(tmp_path / file))
    features, _ = extractor(IMAGE)
    expected, _ = plain.plain_tokens(encoder, IMAGE, 16, heads=12)
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-4)
    six, _ = plain.plain_tokens(encoder, IMAGE, 16, heads=6)
    assert name == "base" or np.abs(features - six.numpy()).max() > 1e-2  # timm's small has 6


def test_a_missing_moco_file_is_named_with_its_source() -> None:
    with pytest.raises(InputError) as error:
        ViTFeatures("vit_base_patch16_224", checkpoint="weights/vit-b-300ep.pth.tar")
    message = str(error.value)
    assert "No weights file at weights/vit-b-300ep.pth.tar" in message
    assert "https://dl.fbaipublicfiles.com/moco-v3/vit-b-300ep/vit-b-300ep.pth.tar" in message
    assert "put it at weights/vit-b-300ep.pth.tar" in message


@pytest.mark.parametrize("patch", [8, 14, 16])
def test_grid_of_a_500_by_375_picture(blocks, patch) -> None:
    blocks(1)
    tag = "patch14_dinov2.lvd142m" if patch == 14 else f"patch{patch}_224.dino"
    features, grid = ViTFeatures(f"vit_small_{tag}", pretrained=False)(np.zeros((375, 500, 3), np.uint8))
    assert grid == (47, 63)
    assert features.shape == (47 * 63, 384)


def test_dinov3_and_its_registers(blocks) -> None:
    blocks(2)
    name = "vit_small_patch16_dinov3"
    with pytest.raises(InputError, match="interpolation='timm'"):  # rotary positions: there is no table
        ViTFeatures(name, pretrained=False)
    extractor = ViTFeatures(name, pretrained=False, interpolation="timm")
    features, grid = extractor(IMAGE)
    assert grid == (4, 5)
    assert extractor.model.num_prefix_tokens == 5  # the class token and four registers
    seen = []
    extractor.model.norm.register_forward_hook(lambda _m, _i, output: seen.append(output))
    extractor(IMAGE)
    np.testing.assert_array_equal(features, seen[0][0, 5:].numpy())
