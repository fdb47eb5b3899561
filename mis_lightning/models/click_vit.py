"""The click-conditioned ViT: image, previous mask and clicks in, logits out.

Rule: docs/protocol.md#the-network.
"""

from __future__ import annotations

from math import lcm
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mis_lightning.clicks.encoding import encode_points
from mis_lightning.models.click_network import ClickNetwork, check_transformer
from mis_lightning.models.head import MLPHead
from mis_lightning.models.neck import SimplePyramid
from mis_lightning.models.vit import PlainViT
from mis_lightning.structures import Prompt


class ClickViT(ClickNetwork):
    """Plain ViT + click embedding + simple feature pyramid + MLP head.

    The previous mask and the two disk maps of the clicks pass through a patch embedding of their own, which
    is added to the image's. The defaults are the paper's ViT-B/448. Sides of an image must be whole windows,
    and an even number of patches for the coarsest map of the pyramid.

    Args:
        input_size: ``(height, width)`` the network is trained at; clicks and benchmarks use it as zoom-in
            size.
        patch_size: Patch side in pixels.
        dim: Channels of a token.
        depth: Number of transformer blocks.
        heads: Attention heads.
        window: Window side in tokens, ``None`` for global attention everywhere.
        global_every: Every how many blocks attention is global.
        neck_dims: Channels of the pyramid, finest first.
        head_dim: Width of the head.
        dropout: Channel dropout in the head.
        drop_path: Stochastic depth of the last block.
        click_radius: Radius of a click's disk, in pixels of the network input.
        checkpointing: Recompute activations in the backward pass, to save memory.

    Raises:
        InputError: The arguments do not fit each other.
    """

    exact_points = True  # their disks differ by a pixel where float32 rounds a distance

    def __init__(
        self,
        input_size: tuple[int, int] = (448, 448),
        patch_size: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        window: int | None = 14,
        global_every: int = 6,
        neck_dims: tuple[int, int, int, int] = (128, 256, 512, 1024),
        head_dim: int = 256,
        dropout: float = 0.1,
        drop_path: float = 0.0,
        click_radius: float = 5.0,
        checkpointing: bool = False,
    ) -> None:
        neck_dims = (neck_dims[0], neck_dims[1], neck_dims[2], neck_dims[3])
        config: dict[str, Any] = {
            "input_size": list(input_size),
            "patch_size": patch_size,
            "dim": dim,
            "depth": depth,
            "heads": heads,
            "window": window,
            "global_every": global_every,
            "neck_dims": list(neck_dims),
            "head_dim": head_dim,
            "dropout": dropout,
            "drop_path": drop_path,
            "click_radius": click_radius,
        }
        check_transformer(config, "patch_size", "depth", "window", "global_every")
        windows = "" if window is None else f" in windows of {window}"
        super().__init__(
            config,
            patch_size * lcm(window or 1, 2),
            f"an even number of patches of {patch_size} pixels{windows}",
        )
        self.click_radius = click_radius
        self.backbone = PlainViT(
            self.input_size,
            patch_size,
            dim,
            depth,
            heads,
            window=window,
            global_every=global_every,
            drop_path=drop_path,
            checkpointing=checkpointing,
        )
        self.click_embed = nn.Conv2d(3, dim, patch_size, patch_size)
        self.neck = SimplePyramid(dim, neck_dims)
        self.head = MLPHead(neck_dims, head_dim, dropout)

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        """Answer the clicks.

        Args:
            image: ``(B, 3, H, W)``, float in [0, 1]; H and W multiples of ``multiple_of``.
            prompt: Clicks and previous mask.

        Returns:
            Logits, ``(B, 1, H, W)``.

        Raises:
            InputError: The image size is not a multiple of ``multiple_of``.
        """
        normalised = self.normalise(image)
        size = (image.shape[-2], image.shape[-1])
        disks = encode_points(prompt.points, size, self.click_radius).to(image.dtype)
        clicks = self.click_embed(torch.cat([prompt.previous_mask, disks], dim=1))
        logits = self.head(self.neck(self.backbone(normalised, clicks)))
        return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=True)
