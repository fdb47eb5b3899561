"""Colour changes just before the network, in training only.

Rule: docs/protocol.md#colour-jitter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms import ColorJitter, GaussianBlur
from torchvision.transforms.functional import rgb_to_grayscale


class ColourJitter(nn.Module):
    """Jitter, greyness and blur, each drawn anew for each image, in this order.

    Draws from torch's global generator, which the training module seeds for each step.

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
        # Mixed precision would round colours to the 8 bits of its products.
        with torch.autocast(image.device.type, enabled=False):
            return torch.stack([self._change(one) for one in image])

    def _change(self, image: Tensor) -> Tensor:
        # One transfer decides for the image; the draws are on the CPU whatever the device of the image.
        jitter, grey, blur = torch.rand(3).tolist()
        if jitter < self.jitter_probability:
            image = self.jitter(image)
        if grey < self.grey_probability:
            image = rgb_to_grayscale(image, num_output_channels=3)
        if blur < self.blur_probability:
            image = self.blur(image)
        return image
