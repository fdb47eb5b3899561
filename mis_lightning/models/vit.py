"""Plain vision transformer whose blocks attend inside windows, a few of them globally.

Rule: docs/protocol.md#windowed-attention.

Symbols: ``B`` images, ``D`` channels, ``(h, w)`` the token grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mis_lightning.models.transformer_block import Block


def resize_position_table(table: Tensor, stored: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Resize position embeddings to another token grid.

    Bicubic, corners not aligned, explicit target size: the rule of the click network
    (docs/protocol.md#network-positions), which is not the one of the DINO extractors
    (docs/protocol.md#extractor-positions).

    Args:
        table: Position embeddings without CLS, ``(1, stored_h * stored_w, D)``.
        stored: Token grid ``(h, w)`` of ``table``.
        grid: Token grid wanted.

    Returns:
        ``(1, h * w, D)``; ``table`` itself when the grids are equal.
    """
    if stored == grid:
        return table
    square = table.reshape(1, *stored, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(square, size=grid, mode="bicubic", align_corners=False)
    return resized.flatten(2).transpose(1, 2)


def to_windows(x: Tensor, side: int) -> Tensor:
    """Cut tokens ``(B, h, w, D)`` into windows ``(B * windows, side * side, D)``, row-major throughout."""
    b, h, w, d = x.shape
    x = x.reshape(b, h // side, side, w // side, side, d).transpose(2, 3)
    return x.reshape(-1, side * side, d)


def from_windows(x: Tensor, side: int, shape: tuple[int, int, int]) -> Tensor:
    """Undo :func:`to_windows`; ``shape`` is ``(B, h, w)``."""
    b, h, w = shape
    x = x.reshape(b, h // side, w // side, side, side, -1).transpose(2, 3)
    return x.reshape(b, h, w, -1)


class PlainViT(nn.Module):
    """Patch embedding, learned positions, pre-norm blocks; no class token and no final norm.

    Args:
        input_size: ``(height, width)`` in pixels for which positions are stored; others are interpolated.
        patch_size: Patch side in pixels.
        dim: Channels of a token.
        depth: Number of blocks.
        heads: Attention heads.
        mlp_ratio: Hidden width of the MLPs in units of ``dim``.
        window: Window side in tokens, or ``None`` for global attention everywhere. The paper: 224 /
            patch_size.
        global_every: Blocks whose 1-based index is a multiple of this attend globally.
        drop_path: Stochastic depth of the last block, growing linearly from 0. The paper: 0.
        checkpointing: Recompute activations in the backward pass, to save memory.
    """

    def __init__(
        self,
        input_size: tuple[int, int] = (448, 448),
        patch_size: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        window: int | None = 14,
        global_every: int = 6,
        drop_path: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.dim = dim
        self.window = window
        self.global_every = global_every
        self.checkpointing = checkpointing
        self.stored_grid = (input_size[0] // patch_size, input_size[1] // patch_size)
        self.patch_embed = nn.Conv2d(3, dim, patch_size, patch_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.stored_grid[0] * self.stored_grid[1], dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.blocks = nn.ModuleList(
            Block(dim, heads, mlp_ratio, drop_path=drop_path * i / max(depth - 1, 1)) for i in range(depth)
        )
        for block in self.blocks.modules():
            if isinstance(block, nn.Linear):
                nn.init.xavier_uniform_(block.weight)
                nn.init.zeros_(block.bias)

    def forward(self, image: Tensor, extra: Tensor) -> Tensor:
        """Run the transformer.

        Args:
            image: Normalised image, ``(B, 3, H, W)``; H and W multiples of the patch (times the window).
            extra: Embedding added to the patch embedding (the clicks), ``(B, D, h, w)``.

        Returns:
            ``(B, D, h, w)``.
        """
        x = (self.patch_embed(image) + extra).permute(0, 2, 3, 1)
        b, h, w, d = x.shape
        positions = resize_position_table(self.pos_embed, self.stored_grid, (h, w))
        x = x + positions.reshape(1, h, w, d).to(x.dtype)
        windowed = False
        for index, block in enumerate(self.blocks, start=1):
            local = self.window is not None and index % self.global_every != 0
            # Consecutive windowed blocks share one re-ordering of the tokens.
            if self.window is not None and local and not windowed:
                x = to_windows(x.reshape(b, h, w, d), self.window)
            elif self.window is not None and windowed and not local:
                x = from_windows(x, self.window, (b, h, w))
            windowed = local
            if not local:
                x = x.reshape(b, h * w, d)
            x = (
                checkpoint(block, x, use_reentrant=False)
                if self.checkpointing and self.training
                else block(x)
            )
        if self.window is not None and windowed:
            x = from_windows(x, self.window, (b, h, w))
        return x.reshape(b, h, w, d).permute(0, 3, 1, 2)
