"""The whole network against docs/protocol.md#the-network in plain functions; its parameter count."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.structures import Prompt

Weights = dict[str, Tensor]


def disks(points: Tensor, size: tuple[int, int], radius: float) -> Tensor:
    """Positive and negative maps, pixel by pixel.

    Rule: docs/protocol.md#click-maps.
    """
    half = points.shape[1] // 2
    maps = torch.zeros(len(points), 2, *size)
    for sample, clicks in enumerate(points.tolist()):
        for number, (row, col, _) in enumerate(clicks):
            if max(row, col) >= 0:
                for r in range(size[0]):
                    for c in range(size[1]):
                        if (r - row) ** 2 + (c - col) ** 2 <= radius**2:
                            maps[sample, number // half, r, c] = 1
    return maps


def layer_norm(x: Tensor, w: Weights, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + 1e-6).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def block(x: Tensor, w: Weights, name: str, heads: int) -> Tensor:
    """Pre-norm block on tokens ``(B, n, D)``, all of which see each other."""
    b, n, d = x.shape
    q, k, v = linear(layer_norm(x, w, f"{name}.norm1"), w, f"{name}.attn.qkv").split(d, dim=-1)
    q, k, v = (part.reshape(b, n, heads, d // heads).transpose(1, 2) for part in (q, k, v))
    attention = (q @ k.transpose(-1, -2) / math.sqrt(d // heads)).softmax(-1)
    x = x + linear((attention @ v).transpose(1, 2).reshape(b, n, d), w, f"{name}.attn.proj")
    hidden = gelu(linear(layer_norm(x, w, f"{name}.norm2"), w, f"{name}.mlp.fc1"))
    return x + linear(hidden, w, f"{name}.mlp.fc2")


def window_members(grid: tuple[int, int], side: int) -> list[list[int]]:
    """For each window the numbers of its tokens in reading order."""
    tokens = [(row, col) for row in range(grid[0]) for col in range(grid[1])]
    places = sorted({(row // side, col // side) for row, col in tokens})
    return [
        [row * grid[1] + col for row, col in tokens if (row // side, col // side) == place]
        for place in places
    ]


def group_norm(x: Tensor, w: Weights, name: str) -> Tensor:
    centred = x - x.mean((1, 2, 3), keepdim=True)
    scaled = centred / (centred.square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()
    return scaled * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]


def plain_forward(
    w: Weights, config: dict[str, Any], image: Tensor, previous: Tensor, points: Tensor
) -> Tensor:
    """docs/protocol.md#the-network, line by line."""
    patch, size = config["patch_size"], (image.shape[-2], image.shape[-1])
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride=stride)

    def up(x: Tensor, name: str) -> Tensor:
        return F.conv_transpose2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride=2)

    coordinates = torch.cat([previous, disks(points, size, config["click_radius"])], dim=1)
    embedded = conv((image - mean) / std, "backbone.patch_embed", patch)
    embedded = embedded + conv(coordinates, "click_embed", patch)
    grid = (embedded.shape[-2], embedded.shape[-1])
    table = w["backbone.pos_embed"]
    stored = tuple(side // patch for side in config["input_size"])
    if stored != grid:
        square = table.reshape(1, *stored, -1).permute(0, 3, 1, 2)
        table = F.interpolate(square, grid, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    x = embedded.flatten(2).transpose(1, 2) + table

    for number in range(1, config["depth"] + 1):
        is_global = number % config["global_every"] == 0
        groups = [list(range(x.shape[1]))] if is_global else window_members(grid, config["window"])
        after = torch.empty_like(x)
        for group in groups:
            after[:, group] = block(x[:, group], w, f"backbone.blocks.{number - 1}", config["heads"])
        x = after
    x = x.transpose(1, 2).reshape(len(x), -1, *grid)

    quarter = group_norm(
        up(gelu(group_norm(up(x, "neck.up4.0"), w, "neck.up4.1")), "neck.up4.3"), w, "neck.up4.4"
    )
    maps = [
        gelu(group_norm(conv(quarter, "neck.up4.5"), w, "neck.up4.6")),
        gelu(
            group_norm(conv(group_norm(up(x, "neck.up2.0"), w, "neck.up2.1"), "neck.up2.2"), w, "neck.up2.3")
        ),
        gelu(group_norm(conv(x, "neck.same.0"), w, "neck.same.1")),
    ]
    half = group_norm(conv(x, "neck.down2.0", 2), w, "neck.down2.1")
    maps.append(gelu(group_norm(conv(half, "neck.down2.2"), w, "neck.down2.3")))

    finest = maps[0].shape[-2:]
    resized = [
        F.interpolate(conv(m, f"head.project.{i}").relu(), finest, mode="bilinear", align_corners=False)
        for i, m in enumerate(maps)
    ]
    logits = conv(conv(torch.cat(resized, 1), "head.fuse").relu(), "head.classify")
    return F.interpolate(logits, size, mode="bilinear", align_corners=True)


@pytest.mark.parametrize("size", [(32, 64), (48, 32)], ids=["trained size", "another size"])
def test_forward_follows_the_text(tiny_click_vit, size: tuple[int, int]) -> None:
    model: ClickViT = tiny_click_vit(input_size=(32, 64), depth=4).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=random)
        image = torch.rand(2, 3, *size, generator=random)
        previous = torch.rand(2, 1, *size, generator=random)
        points = torch.full((2, 6, 3), -1.0)
        points[0, 0] = torch.tensor([3.0, 4.0, 100.0])
        points[0, 3] = torch.tensor([20.5, 17.25, 1.0])
        points[1, 1] = torch.tensor([0.0, 31.0, 2.0])
        logits = model(image, Prompt(points, previous))
        expected = plain_forward(dict(model.named_parameters()), model.config, image, previous, points)
    assert logits.shape == (2, 1, *size)
    assert logits.dtype == torch.float32
    assert logits.std() > 0.01
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        model = ClickViT()
    # docs/protocol.md#checkpoint-files: 98,025,513 in 214 tensors, of which these are unused.
    class_token = 768
    position_of_class_token = 768
    old_head = 1000 * 768 + 1000
    fc_norm = 2 * 768
    up_conv1 = 256 * 128 * 4 + 128 + 2 * 128 + 128 * 128 + 128 + 2 * 128
    up_conv2 = 128 * 64 * 4 + 64 + 2 * 64 + 64 * 64 + 64 + 2 * 64
    unused = class_token + position_of_class_token + old_head + fc_norm + up_conv1 + up_conv2
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) == 98_025_513 - unused == 97_067_969
    assert len(parameters) == 214 - 1 - 2 - 2 - 8 - 8  # the position table stays one tensor
    assert sum(p.numel() for p in model.neck.parameters()) == 9_475_008
    assert sum(p.numel() for p in model.head.parameters()) == 940_673 - up_conv1 - up_conv2
    assert sum(p.numel() for p in model.click_embed.parameters()) == 590_592
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}


def test_config_rebuilds_the_same_network(tiny_click_vit) -> None:
    model = tiny_click_vit(dropout=0.2, drop_path=0.1, window=None)
    again = ClickViT(**json.loads(json.dumps(model.config)))
    assert again.config == model.config
    assert again.input_size == (32, 48)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }


@pytest.mark.parametrize(
    ("changes", "multiple"),
    [({}, 16), ({"window": None}, 16), ({"window": 3, "input_size": (48, 48)}, 48)],
)
def test_image_sizes_that_do_not_fit(tiny_click_vit, changes: dict[str, Any], multiple: int) -> None:
    # A window of 3 patches alone would allow an odd grid, whose last row the coarsest map would lose.
    model = tiny_click_vit(**changes)
    assert model.multiple_of == multiple
    size = (2 * multiple, multiple + 8)
    with pytest.raises(InputError, match=f"multiples of {multiple} pixels, but got .{size[0]}, {size[1]}"):
        model(torch.zeros(1, 3, *size), Prompt(torch.full((1, 2, 3), -1.0), torch.zeros(1, 1, *size)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": (32, 40)}, r"`input_size` in multiples of 16 pixels .*windows of 2.*\(32, 40\)"),
        ({"dim": 15}, "`dim` to be a multiple of `heads`, but got 15 and 2"),
        ({"heads": 0}, "`heads` of at least 1, but got 0"),
        ({"window": 0}, "`window` of at least 1, but got 0"),
        ({"global_every": 0}, "`global_every` of at least 1, but got 0"),
        ({"depth": 0}, "`depth` of at least 1"),
    ],
)
def test_arguments_that_do_not_fit(tiny_click_vit, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny_click_vit(**changes)
