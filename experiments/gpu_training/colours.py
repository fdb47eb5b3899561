"""Colours of a batch changed on the GPU: brightness, contrast, tint, grey, noise and blur."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_GREY = (0.299, 0.587, 0.114)


def change_colours(image: Tensor, generator: torch.Generator) -> Tensor:
    """Change a batch ``(B, 3, P, P)`` in [0, 1], each sample in its own way."""
    count = len(image)

    def uniform(low: float = 0.0, high: float = 1.0, channels: int = 1) -> Tensor:
        drawn = torch.rand((count, channels, 1, 1), generator=generator, device=image.device)
        return low + (high - low) * drawn

    def chance(probability: float) -> Tensor:
        return uniform() < probability

    red, green, blue = (image[:, channel : channel + 1] * weight for channel, weight in enumerate(_GREY))
    grey = red + green + blue
    saturation = torch.where(chance(0.4), uniform(0.3, 1.6), torch.ones_like(uniform()))
    saturation = torch.where(chance(0.18), torch.zeros_like(saturation), saturation)
    image = grey + saturation * (image - grey)
    mean = image.mean((2, 3), keepdim=True)
    contrast = torch.where(chance(0.5), uniform(0.65, 1.4), torch.ones_like(mean[:, :1]))
    contrast = torch.where(chance(0.1), uniform(0.15, 0.6), contrast)
    image = mean + contrast * (image - mean)
    image = image + torch.where(chance(0.5), uniform(-0.18, 0.18), torch.zeros_like(contrast))
    tint = uniform(-0.07, 0.07, 3) * (saturation > 0)
    image = image + torch.where(chance(0.4), tint, torch.zeros_like(tint))
    image = torch.where(chance(0.06), 1 - image, image)
    smooth = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
    image = torch.where(chance(0.12), smooth, image)
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    noise = torch.where(saturation > 0, noise, noise[:, :1])
    level = torch.where(chance(0.25), uniform(0.005, 0.06), torch.zeros_like(contrast))
    return (image + noise * level).clamp(0, 1)


def shift_colours(image: Tensor, generator: torch.Generator, amount: float) -> Tensor:
    """Move brightness by up to ``amount`` and each channel by up to half as much, and stretch contrast."""
    count = len(image)
    drawn = torch.rand((count, 5, 1, 1), generator=generator, device=image.device) * 2 - 1
    mean = image.mean((2, 3), keepdim=True)
    moved = mean + (image - mean) * (1 + 0.4 * drawn[:, 4:])
    return moved + amount * (drawn[:, :1] + 0.5 * drawn[:, 1:4])
