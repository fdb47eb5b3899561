"""The plain transformer against brute force: windows, global blocks, position table.

Rule: docs/protocol.md#windowed-attention.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from mis_lightning.models.vit import PlainViT, from_windows, resize_position_table, to_windows


def vit(**changes) -> PlainViT:
    """Tokens of 4 × 4 pixels on a grid of 4 × 6, windows of 2 × 2."""
    torch.manual_seed(0)
    shape = {"input_size": (16, 24), "patch_size": 4, "dim": 8, "depth": 2, "heads": 2, "window": 2}
    return PlainViT(**{**shape, "global_every": 6, **changes}).eval()


def inputs(size=(16, 24), batch: int = 1, patch: int = 4, dim: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(batch, 3, *size, generator=generator)
    return image, torch.randn(batch, dim, size[0] // patch, size[1] // patch, generator=generator)


@pytest.mark.parametrize(("shape", "side"), [((2, 4, 6, 3), 2), ((1, 6, 3, 2), 3), ((2, 5, 5, 1), 5)])
def test_windows_are_the_tiles_in_reading_order(shape, side: int) -> None:
    x = torch.arange(float(np.prod(shape))).reshape(shape)
    tiles = [
        x[image, top : top + side, left : left + side].reshape(side * side, -1)
        for image in range(shape[0])
        for top in range(0, shape[1], side)
        for left in range(0, shape[2], side)
    ]
    windows = to_windows(x, side)
    assert torch.equal(windows, torch.stack(tiles))
    assert torch.equal(from_windows(windows, side, shape[:3]), x)


def test_a_windowed_block_sees_its_window_only() -> None:
    model = vit()
    image, extra = inputs()
    changed = image.clone()
    changed[0, :, 9, 13] += 5.0  # token (2, 3), window (1, 1): rows 2-3, columns 2-3
    with torch.no_grad():
        difference = (model(image, extra) - model(changed, extra))[0].abs().amax(0)
    inside = torch.zeros(4, 6, dtype=torch.bool)
    inside[2:4, 2:4] = True
    assert (difference[inside] > 0).all()
    assert (difference[~inside] == 0).all()


def test_a_global_block_sees_everything() -> None:
    image, extra = inputs()
    changed = image.clone()
    changed[0, :, 9, 13] += 5.0
    for model in (vit(global_every=2), vit(window=None)):
        with torch.no_grad():
            difference = (model(image, extra) - model(changed, extra))[0].abs().amax(0)
        assert (difference > 0).all()


@pytest.mark.parametrize(
    ("depth", "every", "window", "expected"),
    [(12, 6, 2, {6, 12}), (8, 2, 2, {2, 4, 6, 8}), (3, 2, 2, {2}), (2, 6, None, {1, 2})],
)
def test_global_blocks_are_the_multiples(depth: int, every: int, window: int | None, expected: set) -> None:
    model = vit(depth=depth, global_every=every, window=window)
    shapes: list[tuple[int, ...]] = []
    for block in model.blocks:
        block.register_forward_hook(lambda _module, args, _out: shapes.append(tuple(args[0].shape)))
    with torch.no_grad():
        model(*inputs(batch=2))
    assert {i for i, shape in enumerate(shapes, start=1) if shape == (2, 24, 8)} == expected
    assert all(shape == (2 * 6, 4, 8) for i, shape in enumerate(shapes, start=1) if i not in expected)


def test_images_of_a_batch_do_not_mix() -> None:
    model = vit(global_every=2)
    image, extra = inputs(batch=2)
    with torch.no_grad():
        together = model(image, extra)
        apart = torch.cat([model(image[i : i + 1], extra[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_position_table_of_the_same_grid_is_left_alone() -> None:
    table = torch.randn(1, 12, 5)
    assert resize_position_table(table, (3, 4), (3, 4)) is table


@pytest.mark.parametrize("grid", [(6, 5), (7, 8), (2, 3)])
def test_position_table_is_resized_as_opencv_does(grid) -> None:
    # OpenCV's bicubic kernel (A = -0.75, repeated border, no antialias) is the one of the rule.
    table = torch.randn(1, 12, 3, generator=torch.Generator().manual_seed(0))
    expected = cv2.resize(table.numpy().reshape(3, 4, 3), grid[::-1], interpolation=cv2.INTER_CUBIC)
    resized = resize_position_table(table, (3, 4), grid)
    assert resized.shape == (1, grid[0] * grid[1], 3)
    np.testing.assert_allclose(resized.numpy().reshape(*grid, 3), expected, atol=1e-5)


def test_other_sizes_use_the_resized_table() -> None:
    model = vit(depth=0)
    image, extra = inputs(size=(32, 32))
    with torch.no_grad():
        tokens = model.patch_embed(image) + extra
        table = resize_position_table(model.pos_embed, (4, 6), (8, 8))
        expected = tokens + table.transpose(1, 2).reshape(1, 8, 8, 8)
        torch.testing.assert_close(model(image, extra), expected)


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_checkpointing_changes_memory_only(drop_path: float) -> None:
    image, extra = inputs(batch=4)
    results = []
    for checkpointing in (False, True):
        model = vit(global_every=2, drop_path=drop_path, checkpointing=checkpointing).train()
        torch.manual_seed(2)
        out = model(image, extra)
        out.square().sum().backward()
        results.append([out.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, checkpointed in zip(*results, strict=True):
        assert torch.equal(plain, checkpointed)


def test_stochastic_depth_grows_linearly() -> None:
    blocks = vit(depth=3, drop_path=0.2).blocks
    rates = [block.drop_path.drop_prob for block in blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2])
