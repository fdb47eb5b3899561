"""Interpolation of a ViT's position table as DINO, DINOv2 and MoCo v3 do it.

Rule: docs/protocol.md#extractor-positions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mis_lightning.errors import InputError

# The published extractors add this to the wanted grid before dividing by the stored side, and hand the
# resampler that factor; it then samples at slightly other places than the plain ratio would.
KLUDGE = 0.1


def interpolate_reference(patch_positions: Tensor, grid: tuple[int, int], bilinear: bool = False) -> Tensor:
    """Interpolate the patch part of a position table to another grid.

    Args:
        patch_positions: ``(1, M * M, D)``, without CLS and register rows.
        grid: Wanted token grid ``(h, w)``.
        bilinear: As the supplement of MIS says, where the published extractors are bicubic.

    Returns:
        ``(1, h * w, D)``; the table itself where it fits already and the grid is square. Else row ``i`` is
        taken at ``(i + 0.5) * M / (h + 0.1) - 0.5`` of the table, columns alike: Keys' cubic with a = -0.75,
        the border repeated, not antialiased, in float32.

    Raises:
        InputError: The stored table is not square.
    """
    count = patch_positions.shape[1]
    side = math.isqrt(count)
    if side * side != count:
        raise InputError(
            f"Expected a square position table, but got {count} positions; use interpolation='timm'."
        )
    if grid[0] * grid[1] == count and grid[0] == grid[1]:
        return patch_positions
    square = patch_positions.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factors = ((grid[0] + KLUDGE) / side, (grid[1] + KLUDGE) / side)
    resized = F.interpolate(
        square.float(),
        scale_factor=factors,
        mode="bilinear" if bilinear else "bicubic",
        align_corners=False,
        recompute_scale_factor=False,
    )
    if resized.shape[-2:] != grid:
        raise InputError(
            f"Expected a grid of {grid}, but the reference interpolation gave {resized.shape[-2:]}."
        )
    return resized.flatten(2).transpose(1, 2).to(patch_positions.dtype)


def sincos_table(side: int, dim: int) -> Tensor:
    """The fixed position table of MoCo v3, for files that leave it out.

    Rule: docs/protocol.md#moco-v3-files.

    Args:
        side: Patches on each axis.
        dim: Channels, a multiple of 4.

    Returns:
        float32 ``(1, 1 + side * side, dim)``: zeros for the class token, then row-major the sine and cosine
        of the row, and those of the column, a quarter of the channels each.
    """
    omega = 10_000.0 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    waves = torch.arange(side, dtype=torch.float64)[:, None] * omega
    one_axis = torch.cat([waves.sin(), waves.cos()], dim=1)
    rows = one_axis[:, None].expand(side, side, -1)
    table = torch.cat([rows, rows.transpose(0, 1)], dim=2).reshape(1, side * side, dim)
    return torch.cat([table.new_zeros(1, 1, dim), table], dim=1).float()
