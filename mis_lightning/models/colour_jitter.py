"""Colour changes just before the network, in training only (spec A5.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms import ColorJitter, GaussianBlur
from torchvision.transforms.functional import rgb_to_grayscale


class ColourJitter(nn.Module):
    """Jitter, greyness and blur, each drawn anew for each image, in this order.

    Draws from torch's global generator, which the training module seeds for each step.

    Args:
        jitter_probability: Chance of brightness, contrast and saturation factors U(0.2, 1.8) and a hue shift
            U(−0.2, 0.2), in random order.
        grey_probability: Chance of three equal channels.
        blur_probability: Chance of a 3×3 Gaussian blur with σ ~ U(1, 2).
    """

    def __init__(
        self, jitter_probability: float = 0.3, grey_probability: float = 0.2, blur_probability: float = 0.2
    ) -> None:
        super().__init__()
        self.jitter_probability = jitter_probability
        self.grey_probability = grey_probability
        self.blur_probability = blur_probability
        self.jitter = ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
        self.blur = GaussianBlur(3, (1.0, 2.0))

    def forward(self, image: Tensor) -> Tensor:
        """Change the colours of ``(B, 3, H, W)`` in [0, 1]; a new tensor."""
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
