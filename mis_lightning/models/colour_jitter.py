"""Colour changes just before the network, in training only.

Rule: docs/protocol.md#colour-jitter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad
from torchvision.transforms import ColorJitter, GaussianBlur
from torchvision.transforms.functional import rgb_to_grayscale


@dataclass(frozen=True)
class _Change:
    """What happens to one image: four changes by number in this order, greyness, the blur's σ in pixels."""

    order: tuple[int, ...]
    amounts: tuple[float, ...]
    grey: bool
    sigma: float | None


class ColourJitter(nn.Module):
    """Jitter, greyness and blur, each drawn independently per image, in this order.

    Draws from torch's global generator, which the training module seeds for each step, as torchvision's
    transforms do. Images that undergo the same change go through it together: one by one, their hundreds of
    small calls took a GPU 13 ms a batch of 32.

    Args:
        jitter_probability: Chance of the four changes that follow, in random order.
        grey_probability: Chance of three equal channels.
        blur_probability: Chance of a 3×3 Gaussian blur.
        brightness: Factor U(1 − brightness, 1 + brightness), not below 0.
        contrast: The same of the contrast,
        saturation: and of the saturation.
        hue: Shift U(−hue, hue), in turns.
        blur_sigma: Range of the blur's σ, in pixels.
    """

    def __init__(
        self,
        jitter_probability: float = 0.3,
        grey_probability: float = 0.2,
        blur_probability: float = 0.2,
        brightness: float = 0.8,
        contrast: float = 0.8,
        saturation: float = 0.8,
        hue: float = 0.2,
        blur_sigma: tuple[float, float] = (1.0, 2.0),
    ) -> None:
        super().__init__()
        self.jitter_probability = jitter_probability
        self.grey_probability = grey_probability
        self.blur_probability = blur_probability
        self.jitter = ColorJitter(brightness, contrast, saturation, hue)
        self.blur = GaussianBlur(3, blur_sigma)

    def forward(self, image: Tensor) -> Tensor:
        """Change the colours of ``(B, 3, H, W)`` in [0, 1]; a new tensor."""
        changes = [self._draw() for _ in image]
        image = image.clone()
        # Mixed precision would round colours to the 8 bits of its products.
        with torch.autocast(image.device.type, enabled=False):
            for place in range(4):
                for number, change in enumerate(CHANGES):
                    some = [i for i, c in enumerate(changes) if c.order and c.order[place] == number]
                    _apply(change, image, some, [changes[i].amounts[number] for i in some])
            some = [i for i, c in enumerate(changes) if c.grey]
            _apply(lambda these, _: rgb_to_grayscale(these, 3), image, some, [0.0] * len(some))
            some = [i for i, c in enumerate(changes) if c.sigma is not None]
            _apply(blur, image, some, [changes[i].sigma or 0.0 for i in some])
        return image

    def _draw(self) -> _Change:
        # The draws are on the CPU whatever the device of the image.
        jitter, grey, blurred = torch.rand(3).tolist()
        order: tuple[int, ...] = ()
        amounts: tuple[float, ...] = ()
        if jitter < self.jitter_probability:
            of = self.jitter
            drawn = of.get_params(of.brightness, of.contrast, of.saturation, of.hue)
            order = tuple(drawn[0].tolist())
            neutral = (1.0, 1.0, 1.0, 0.0)
            amounts = tuple(n if a is None else float(a) for a, n in zip(drawn[1:], neutral, strict=True))
        sigma = self.blur.get_params(*self.blur.sigma) if blurred < self.blur_probability else None
        return _Change(order, amounts, grey < self.grey_probability, sigma)


def _apply(
    change: Callable[[Tensor, Tensor], Tensor], image: Tensor, some: Sequence[int], amounts: Sequence[float]
) -> None:
    """Change some images of the batch in place; sends numbers to a GPU without waiting for it."""
    if not some:
        return
    place, amount = torch.tensor(some), torch.tensor(amounts, dtype=image.dtype)
    if image.device.type == "cuda":
        place, amount = (part.pin_memory().to(image.device, non_blocking=True) for part in (place, amount))
    image.index_copy_(0, place, change(image.index_select(0, place), amount.view(-1, 1, 1, 1)))


def brightness(image: Tensor, factor: Tensor) -> Tensor:
    """Multiply ``(B, 3, H, W)`` by ``(B, 1, 1, 1)``; within [0, 1], as all of these."""
    return (image * factor).clamp(0, 1)


def contrast(image: Tensor, factor: Tensor) -> Tensor:
    """Move colours away from the mean grey of their image."""
    mean = rgb_to_grayscale(image).mean(dim=(1, 2, 3), keepdim=True)
    return (factor * image + (1 - factor) * mean).clamp(0, 1)


def saturation(image: Tensor, factor: Tensor) -> Tensor:
    """Move colours away from their grey."""
    return (factor * image + (1 - factor) * rgb_to_grayscale(image)).clamp(0, 1)


def hue(image: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of HSV; value and chroma stay."""
    most, least = image.amax(1, keepdim=True), image.amin(1, keepdim=True)
    chroma = most - least
    red, green, blue = image.split(1, dim=1)
    safe = chroma.where(chroma > 0, 1.0)
    sixth = torch.where(
        red == most,
        (green - blue) / safe,
        torch.where(green == most, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    turned = sixth + 6 * turns
    channels = []
    for offset in (5, 3, 1):
        way = (turned + offset) % 6
        channels.append(most - chroma * torch.minimum(way, 4 - way).clamp(0, 1))
    return torch.cat(channels, dim=1).clamp(0, 1)


def blur(image: Tensor, sigma: Tensor) -> Tensor:
    """3×3 Gaussian, σ in pixels, the image mirrored at its border."""
    count, channels, height, width = image.shape
    side = torch.exp(-0.5 / sigma.view(-1, 1).square())
    line = torch.cat([side, torch.ones_like(side), side], dim=1)
    line = line / line.sum(dim=1, keepdim=True)
    kernel = (line[:, :, None] * line[:, None, :])[:, None].repeat_interleave(channels, dim=0)
    mirrored = pad(image, (1, 1, 1, 1), mode="reflect").reshape(1, count * channels, height + 2, width + 2)
    return conv2d(mirrored, kernel, groups=count * channels).view(count, channels, height, width)


CHANGES = (brightness, contrast, saturation, hue)
"""By the numbers of torchvision's ``ColorJitter.get_params``."""
