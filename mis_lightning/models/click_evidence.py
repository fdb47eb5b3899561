"""What the clicked and the masked pixels look like, and which other pixels look like them.

GrabCut's idea, learned: instead of mixtures of Gaussians over colours, soft histograms over codes of local
features, and instead of a graph cut, whatever the network makes of the likelihoods.

Symbols: ``B`` images, ``C`` channels, ``K`` codes per histogram, ``V`` kinds of evidence, ``N = h * w``.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

KINDS = 4
"""Kinds of evidence: inside and outside the previous mask, positive clicks, negative clicks."""


class ClickEvidence(nn.Module):
    """Log-likelihood ratios of every pixel under soft histograms of marked pixels.

    Every pixel is spread over ``K`` codes by a softmax of a linear map of its features. For each kind of
    evidence, the codes of its pixels are averaged to a histogram, and every pixel reads the log-ratio of that
    histogram to the one of the whole image. Where a kind has no pixels, its ratios are 0.

    Args:
        channels: ``C``.
        histograms: Number of independent histograms.
        codes: ``K``.
        pseudo_pixels: Pixels of the whole image's histogram that are added to each kind.
    """

    def __init__(
        self, channels: int, histograms: int = 4, codes: int = 32, pseudo_pixels: float = 1.0
    ) -> None:
        super().__init__()
        self.histograms = histograms
        self.codes = codes
        self.pseudo_pixels = pseudo_pixels
        self.out_channels = histograms * KINDS
        self.to_codes = nn.Conv2d(channels, histograms * codes, 1)
        nn.init.normal_(self.to_codes.weight, std=2 / sqrt(channels))

    def forward(self, features: Tensor, previous_mask: Tensor, disks: Tensor) -> Tensor:
        """Read the evidence.

        Args:
            features: Of the image alone, ``(B, C, h, w)``.
            previous_mask: ``(B, 1, h, w)``, probabilities; zeros before the first click.
            disks: ``(B, 2, h, w)``, share of each pixel covered by positive and by negative clicks.

        Returns:
            ``(B, histograms * V, h, w)``, float32.
        """
        b, _, h, w = features.shape
        answered = (previous_mask.amax(dim=(2, 3), keepdim=True) > 0).to(previous_mask.dtype)
        kinds = torch.cat([previous_mask, (1 - previous_mask) * answered, disks], dim=1).float()
        weights = kinds.flatten(2).transpose(1, 2)  # (B, N, V)
        codes = self.to_codes(features).float().reshape(b, self.histograms, self.codes, h * w).softmax(dim=2)
        everywhere = codes.mean(dim=3, keepdim=True)  # (B, histograms, K, 1)
        marked = codes @ weights.unsqueeze(1)  # (B, histograms, K, V)
        count = weights.sum(dim=1).reshape(b, 1, 1, KINDS)
        histogram = (marked + self.pseudo_pixels * everywhere) / (count + self.pseudo_pixels)
        ratio = torch.log(histogram + 1e-4) - torch.log(everywhere + 1e-4)
        read = codes.transpose(2, 3) @ ratio  # (B, histograms, N, V)
        return read.transpose(2, 3).reshape(b, self.out_channels, h, w)
