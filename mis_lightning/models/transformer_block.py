"""The pre-norm transformer block of the vision transformers, with the names and the arithmetic of timm's.

Importing timm brings torchvision, PyTorch's compiler and, where it is installed, wandb: 270 MiB that a click
model never uses.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention of all tokens.

    Args:
        dim: Channels of a token, a multiple of ``heads``.
        heads: Number of heads.
        fused: Whether PyTorch's fused kernel computes it.
    """

    def __init__(self, dim: int, heads: int, fused: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.fused = fused
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n, D)`` to the same."""
        b, n, d = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        if self.fused:
            x = F.scaled_dot_product_attention(query, key, value)
        else:
            query = query * (d // self.heads) ** -0.5
            x = (query @ key.transpose(-2, -1)).softmax(dim=-1) @ value
        out: Tensor = self.proj(x.transpose(1, 2).reshape(b, n, d))
        return out


class MLP(nn.Module):
    """Two linear layers with a GELU between them.

    Args:
        dim: Channels of a token.
        hidden: Channels between the layers.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n, D)`` to the same."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class DropPath(nn.Module):
    """Stochastic depth: while training, a sample's branch is left out at random, and the others grow.

    Args:
        drop_prob: Probability that it is left out, in [0, 1).
    """

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """``(B, …)`` to the same."""
        if not self.training or self.drop_prob == 0:
            return x
        kept = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1 - self.drop_prob)
        return x * kept.div_(1 - self.drop_prob)


class Block(nn.Module):
    """Attention and an MLP, each after a layer norm and beside the identity.

    Args:
        dim: Channels of a token, a multiple of ``heads``.
        heads: Attention heads.
        mlp_ratio: Hidden width of the MLP in units of ``dim``.
        drop_path: Probability that a branch is left out of a training step.
        fused: Whether PyTorch's fused kernel computes the attention.
    """

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0, fused: bool = True
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, fused)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLP(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n, D)`` to the same."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))
