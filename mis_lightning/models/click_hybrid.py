"""A small click model that learns from few images: convolutions for edges, a transformer for the whole."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mis_lightning.clicks.encoding import encode_points
from mis_lightning.errors import InputError
from mis_lightning.models.click_evidence import ClickEvidence
from mis_lightning.models.click_network import ClickNetwork, check_transformer
from mis_lightning.models.transformer_block import Block
from mis_lightning.models.vit import resize_position_table
from mis_lightning.structures import Prompt

STRIDE = 16  # of the transformer's tokens
_BUMPS = 16  # soft bins that a granularity is spread over


class Seen(NamedTuple):
    """What :class:`HybridClickViT` makes of an image alone; the same for every click on it.

    Attributes:
        half: ``(B, C2, H / 2, W / 2)``.
        quarter: ``(B, C4, H / 4, W / 4)``.
    """

    half: Tensor
    quarter: Tensor


class HybridClickViT(ClickNetwork):
    """Convolutional stem, a few transformer blocks at stride 16, and the way back up with skip connections.

    Not of the paper, whose plain ViT needs a pre-trained start. Differences that buy clicks per minute of
    training: convolutions and skip connections find edges from few images, and :class:`ClickEvidence` tells
    each pixel how much it looks like what was clicked and masked so far.

    Args:
        input_size: ``(height, width)`` the network is trained at, in multiples of 16 pixels.
        dims: Channels at strides 2, 4, 8.
        dim: Channels of a token.
        depth: Number of transformer blocks.
        heads: Attention heads.
        histograms: Of the evidence.
        codes: Of each histogram.
        click_radius: Radius of a click's disk, in pixels of the network input.
        position_grid: ``(h, w)`` of the stored position table, which is interpolated to the tokens there
            are; ``None``: that of ``input_size``. Weights trained at one size go on at another with the grid
            of the first.
        granularity: Whether it takes the size of the wanted region as an input, see :meth:`answer`.

    Raises:
        InputError: The arguments do not fit each other.
    """

    exact_points = True  # their disks differ by a pixel where float32 rounds a distance

    def __init__(
        self,
        input_size: tuple[int, int] = (128, 128),
        dims: tuple[int, int, int] = (32, 48, 96),
        dim: int = 192,
        depth: int = 4,
        heads: int = 6,
        histograms: int = 4,
        codes: int = 32,
        click_radius: float = 3.0,
        position_grid: tuple[int, int] | None = None,
        granularity: bool = False,
    ) -> None:
        config: dict[str, Any] = {
            "input_size": list(input_size),
            "dims": list(dims),
            "dim": dim,
            "depth": depth,
            "heads": heads,
            "histograms": histograms,
            "codes": codes,
            "click_radius": click_radius,
            "position_grid": list(position_grid) if position_grid is not None else None,
        }
        if granularity:  # left out where it is off, so that the configs of older weights stay as they are
            config["granularity"] = True
        check_transformer(config, "depth", "histograms", "codes")
        if position_grid is not None and min(position_grid) < 1:
            raise InputError(f"Expected `position_grid` of at least 1x1, but got {tuple(position_grid)}.")
        super().__init__(config, STRIDE, "tokens")
        half, quarter, eighth = dims
        self.click_radius = click_radius
        rows, cols = position_grid or (self.input_size[0] // STRIDE, self.input_size[1] // STRIDE)
        self.stored_grid = (rows, cols)
        self.image2 = nn.Sequential(nn.Conv2d(3, half, 3, 2, 1), nn.ReLU(), nn.Conv2d(half, half, 3, 1, 1))
        self.image4 = nn.Sequential(
            _norm(half), nn.ReLU(), nn.Conv2d(half, quarter, 3, 2, 1), Residual(quarter)
        )
        self.evidence = ClickEvidence(quarter, histograms, codes)
        self.clicks2 = nn.Conv2d(half + 3, half, 3, 1, 1)
        self.clicks4 = nn.Conv2d(quarter + 3 + self.evidence.out_channels, quarter, 3, 1, 1)
        self.down4 = nn.Sequential(nn.ReLU(), nn.Conv2d(half, quarter, 3, 2, 1))
        self.block4 = Residual(quarter)
        self.down8 = nn.Sequential(nn.ReLU(), nn.Conv2d(quarter, eighth, 3, 2, 1), Residual(eighth))
        self.down16 = nn.Sequential(nn.ReLU(), nn.Conv2d(eighth, dim, 3, 2, 1))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.stored_grid[0] * self.stored_grid[1], dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        # So few tokens: on a CPU the fused kernel's backward pass is slower.
        self.blocks = nn.Sequential(*(Block(dim, heads, fused=False) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.up8, self.fuse8 = nn.Conv2d(dim, eighth, 1), Residual(eighth)
        self.up4, self.fuse4 = nn.Conv2d(eighth, quarter, 1), Residual(quarter)
        self.up2, self.fuse2 = nn.Conv2d(quarter, half, 1), Residual(half)
        self.classify = nn.Sequential(_norm(half), nn.ReLU(), nn.Conv2d(half, 1, 1))
        self.granularity = GranularityBias((quarter, dim)) if granularity else None
        self.takes_granularity = granularity

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        """Answer the clicks.

        Args:
            image: ``(B, 3, H, W)``, float in [0, 1]; H and W multiples of 16.
            prompt: Clicks and previous mask, and the granularity where the network takes it.

        Returns:
            Logits, ``(B, 1, H, W)``.

        Raises:
            InputError: The image size is not a multiple of 16.
        """
        size = (image.shape[-2], image.shape[-1])
        disks = encode_points(prompt.points, size, self.click_radius).to(image.dtype)
        return self.answer(self.look(image), prompt.previous_mask, disks, prompt.granularity)

    def look(self, image: Tensor) -> Seen:
        """The part that depends on the image alone: a sixth of the work.

        Args:
            image: ``(B, 3, H, W)``, float in [0, 1]; H and W multiples of 16.
        """
        half = self.image2(self.normalise(image))
        return Seen(half, self.image4(half))

    def answer(
        self, seen: Seen, previous_mask: Tensor, disks: Tensor, granularity: Tensor | None = None
    ) -> Tensor:
        """The part that depends on the clicks.

        Args:
            seen: The image, from :meth:`look`.
            previous_mask: ``(B, 1, H, W)``, probabilities; zeros before the first click.
            disks: ``(B, 2, H, W)`` of 0 and 1: positive and negative clicks
                (:func:`~mis_lightning.clicks.encoding.encode_points`).
            granularity: ``(B,)``, from 0 (finest) to 1 (the whole view), see :func:`granularity_of`; NaN
                where an object has none. Not looked at by a network made without it.

        Returns:
            Logits, float32 ``(B, 1, H, W)``.
        """
        seen2, seen4 = seen
        size = (previous_mask.shape[-2], previous_mask.shape[-1])
        given2 = F.avg_pool2d(torch.cat([previous_mask, disks], dim=1), 2)
        given4 = F.avg_pool2d(given2, 2)

        evidence = self.evidence(seen4, given4[:, :1], given4[:, 1:])
        x2 = self.clicks2(torch.cat([F.relu(seen2), given2.to(seen2.dtype)], dim=1))
        x4 = self.clicks4(torch.cat([seen4, given4.to(seen4.dtype), evidence.to(seen4.dtype)], dim=1))
        wanted = None
        if self.granularity is not None and granularity is not None:
            wanted = self.granularity(granularity)
            x4 = x4 + wanted[0].to(x4.dtype)[:, :, None, None]
        x4 = self.block4(x4 + self.down4(x2))
        x8 = self.down8(x4)
        tokens = self.down16(x8)

        b, d, h, w = tokens.shape
        positions = resize_position_table(self.pos_embed, self.stored_grid, (h, w))
        sequence = tokens.flatten(2).transpose(1, 2) + positions
        if wanted is not None:
            sequence = sequence + wanted[1].to(sequence.dtype)[:, None]
        tokens = self.norm(self.blocks(sequence)).transpose(1, 2).reshape(b, d, h, w)

        y = self.fuse8(x8 + _double(self.up8(tokens)))
        y = self.fuse4(x4 + _double(self.up4(y)))
        y = self.fuse2(x2 + _double(self.up2(y)))
        return F.interpolate(self.classify(y).float(), size=size, mode="bilinear", align_corners=True)


def granularity_of(share: Tensor) -> Tensor:
    """The granularity of a region that covers this share of its view: ``1 + log10(share) / 3`` in [0, 1].

    So a thousandth of the view is 0, a tenth 2/3, and all of it 1, in every image alike.

    >>> granularity_of(torch.tensor([0.001, 0.1, 1.0]))
    tensor([0.0000, 0.6667, 1.0000])
    """
    return (1 + share.clamp(min=1e-6).log10() / 3).clamp(0, 1)


class GranularityBias(nn.Module):
    """One number -> something to add to each channel of some maps; nothing where there is no number.

    The last layer starts at zero, so weights trained without it go on as they were.

    Args:
        channels: Of the maps.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = nn.Linear(_BUMPS, 64)
        self.out = nn.Linear(64, sum(channels))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, granularity: Tensor) -> tuple[Tensor, ...]:
        """``(B,)`` in [0, 1], NaN where not given -> ``(B, C)`` for each number of channels, float32."""
        centres = torch.linspace(0, 1, _BUMPS, device=granularity.device)
        given = ~granularity.isnan()
        value = granularity.nan_to_num(0.0).clamp(0, 1).float()
        bumps = torch.exp(-(((value[:, None] - centres) * _BUMPS) ** 2) / 2)
        bias = self.out(F.gelu(self.hidden(bumps))).float() * given[:, None]
        return bias.split(self.channels, dim=1)


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity, which is what the block starts as.

    Args:
        channels: ``C`` of ``(B, C, h, w)``, in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.first = nn.Conv2d(channels, channels, 3, 1, 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)
        nn.init.normal_(self.second.weight, std=1e-3)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` to the same."""
        return x + self.second(F.relu(self.first(self.norm(x))))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, channels)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
