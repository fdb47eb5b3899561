"""Image -> how much each patch attends to each other, from the attention maps of a frozen ViT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.features.vit import ViTFeatures


class AttentionMaps(Protocol):
    """Anything that turns an image into attention between its patches."""

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Return non-negative weights float32 ``(n, n)``, row-major over the grid ``(h, w)``, n = h * w."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return everything that fixes the weights, as JSON values."""
        ...


class ViTAttention:
    """Attention of some blocks, averaged over heads and blocks; class and register tokens left out.

    Args:
        extractor: The ViT; its ``max_tokens`` bounds the weights, which grow with the square of the patches.
        blocks: Which blocks, counted from the end (1: the last).

    Raises:
        InputError: A block that is not there.
    """

    def __init__(self, extractor: ViTFeatures, blocks: Sequence[int] = (1, 2, 3, 4)) -> None:
        depth = len(extractor.model.blocks)
        if not blocks or not all(1 <= block <= depth for block in blocks):
            raise InputError(
                f"Expected `blocks` in 1..{depth}, counted from the end, but got {list(blocks)}."
            )
        self.extractor = extractor
        self.blocks = tuple(blocks)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Return the weights ``(n, n)`` and the grid."""
        extractor = self.extractor
        seen: list[tuple[Any, Tensor]] = []
        hooks = [
            block.attn.qkv.register_forward_hook(
                lambda _module, _inputs, projected, attention=block.attn: seen.append((attention, projected))
            )
            for block in (extractor.model.blocks[-number] for number in self.blocks)
        ]
        try:
            _, grid = extractor(image)
        finally:
            for hook in hooks:
                hook.remove()
        if len(seen) < len(self.blocks):
            raise InputError(f"{extractor.model_name} does not expose its attention; choose another ViT.")
        with torch.inference_mode():
            total = sum(self._weights(attention, projected[0]) for attention, projected in seen)
        assert isinstance(total, Tensor)
        return (total / len(seen)).cpu().numpy(), grid

    def _weights(self, attention: Any, projected: Tensor) -> Tensor:
        """Softmax of queries and keys over the patches, mean over heads, float32 ``(n, n)``."""
        prefix = self.extractor.model.num_prefix_tokens
        tokens = projected[prefix:].float().unflatten(1, (3, attention.num_heads, -1))
        query, key, _ = tokens.permute(1, 2, 0, 3)
        query, key = attention.q_norm(query), attention.k_norm(key)
        mean = query.new_zeros(query.shape[1], query.shape[1])
        for one, other in zip(query, key, strict=True):  # one head at a time: each is n² numbers
            mean += torch.softmax(one @ other.T * attention.scale, dim=1)
        return mean / len(query)

    def settings(self) -> dict[str, Any]:
        """Return the extractor's settings and the blocks."""
        return {**self.extractor.settings(), "output": "attention", "blocks": list(self.blocks)}
