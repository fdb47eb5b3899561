"""All-MLP head: four maps -> one logit map at the finest of their resolutions.

Rule: docs/protocol.md#segmentation-head.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class MLPHead(nn.Module):
    """Project every map to a common width, resize to the finest, fuse, classify.

    Args:
        in_dims: Channels of the maps, finest first.
        dim: Common width. The paper: 256.
        dropout: Channel dropout before the classifier. The paper: 0.1.
    """

    def __init__(self, in_dims: tuple[int, ...], dim: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(channels, dim, 1) for channels in in_dims)
        self.fuse = nn.Conv2d(dim * len(in_dims), dim, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(dim, 1, 1)
        for conv in (*self.project, self.fuse):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map the pyramid to logits ``(B, 1, h₀, w₀)``, ``(h₀, w₀)`` being the size of ``maps[0]``."""
        # The fusing 1×1 convolution of concatenated, resized maps equals the sum of each map's share of it,
        # applied before resizing: both are linear, and resizing weights sum to one. No wide concatenation.
        shares = self.fuse.weight.chunk(len(self.project), dim=1)
        fused = F.conv2d(F.relu(self.project[0](maps[0])), shares[0], self.fuse.bias)
        for conv, share, feature in zip(self.project[1:], shares[1:], maps[1:], strict=True):
            part = F.conv2d(F.relu(conv(feature)), share)
            fused = fused + F.interpolate(part, size=fused.shape[-2:], mode="bilinear", align_corners=False)
        return self.classify(self.dropout(F.relu(fused)))
