"""Simple feature pyramid: one token map -> four maps at 4, 2, 1 and 1/2 times its grid.

Rule: docs/protocol.md#feature-pyramid.
"""

from __future__ import annotations

from torch import Tensor, nn


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, channels)


class SimplePyramid(nn.Module):
    """Four parallel branches from the last token map.

    Args:
        dim: Channels of the token map.
        out_dims: Channels of the four outputs, finest first. The paper: (128, 256, 512, 1024).
    """

    def __init__(self, dim: int = 768, out_dims: tuple[int, int, int, int] = (128, 256, 512, 1024)) -> None:
        super().__init__()
        first = max(2 * out_dims[0], dim // 2)
        second = max(out_dims[0], first // 2)
        mid = max(out_dims[1], dim // 2)
        last = max(out_dims[3], 2 * dim)
        self.up4 = nn.Sequential(
            nn.ConvTranspose2d(dim, first, 2, 2),
            _norm(first),
            nn.GELU(),
            nn.ConvTranspose2d(first, second, 2, 2),
            _norm(second),
            nn.Conv2d(second, out_dims[0], 1),
            _norm(out_dims[0]),
            nn.GELU(),
        )
        self.up2 = nn.Sequential(
            nn.ConvTranspose2d(dim, mid, 2, 2),
            _norm(mid),
            nn.Conv2d(mid, out_dims[1], 1),
            _norm(out_dims[1]),
            nn.GELU(),
        )
        self.same = nn.Sequential(nn.Conv2d(dim, out_dims[2], 1), _norm(out_dims[2]), nn.GELU())
        self.down2 = nn.Sequential(
            nn.Conv2d(dim, last, 2, 2),
            _norm(last),
            nn.Conv2d(last, out_dims[3], 1),
            _norm(out_dims[3]),
            nn.GELU(),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(B, D, h, w)`` to ``(B, out_dims[i], s·h, s·w)`` with s = 4, 2, 1, 1/2."""
        return [self.up4(x), self.up2(x), self.same(x), self.down2(x)]
