"""The training loss: pixel-wise cross-entropy with the pseudo-mask plus smoothness.

Rule: docs/protocol.md#training-loss.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mis_lightning.losses.smoothness import SmoothnessLoss, Yuv


class ClickLoss(nn.Module):
    """``bce_weight`` x cross-entropy + ``smoothness_weight`` x smoothness over all pixels, padding too.

    Attributes:
        config: The arguments, as JSON values.
    """

    def __init__(
        self,
        bce_weight: float = 1.0,
        smoothness_weight: float = 10.0,
        yuv: Yuv = "reference",
        kernel: int = 3,
        dilation: int = 2,
        sigma_position: float = 16.0,
        sigma_luma: float = 16.0,
        sigma_chroma: float = 8.0,
    ) -> None:
        """Bind the weights; ``smoothness_weight=0`` skips that term, its cost included.

        The others are those of :func:`~mis_lightning.losses.smoothness.smoothness_loss`.
        """
        super().__init__()
        self.config = {
            "bce_weight": bce_weight,
            "smoothness_weight": smoothness_weight,
            "yuv": yuv,
            "kernel": kernel,
            "dilation": dilation,
            "sigma_position": sigma_position,
            "sigma_luma": sigma_luma,
            "sigma_chroma": sigma_chroma,
        }
        self.bce_weight = bce_weight
        self.smoothness_weight = smoothness_weight
        self.smoothness = SmoothnessLoss(yuv, kernel, dilation, sigma_position, sigma_luma, sigma_chroma)

    def forward(self, logits: Tensor, mask: Tensor, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare the logits with the mask and the image.

        Args:
            logits: ``(B, 1, H, W)``.
            mask: ``(B, 1, H, W)``, bool or 0 and 1.
            image: ``(B, 3, H, W)`` in [0, 1], before the colour jitter of the network.

        Returns:
            The weighted sum, and its terms before weighting, without gradient: ``"bce"`` and, unless its
            weight is 0, ``"smoothness"``.
        """
        bce = binary_cross_entropy_with_logits(logits, mask.to(logits.dtype))
        total, terms = self.bce_weight * bce, {"bce": bce.detach()}
        if self.smoothness_weight:
            smoothness = self.smoothness(logits, image)
            total = total + self.smoothness_weight * smoothness
            terms["smoothness"] = smoothness.detach()
        return total, terms
