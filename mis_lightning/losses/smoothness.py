"""Edge-aware smoothness of the logits: neighbours of similar colour should get similar scores.

Rule: docs/protocol.md#smoothness-loss.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, prod, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mis_lightning.errors import InputError

Yuv = Literal["reference", "standard"]

_STANDARD_YUV = ((0.299, 0.587, 0.114), (-0.147, -0.289, 0.436), (0.615, -0.515, -0.100))
_YUV: dict[str, tuple[tuple[float, ...], ...]] = {
    "standard": _STANDARD_YUV,
    # The published code contracts the wrong index of the matrix: docs/protocol.md#smoothness-colours.
    "reference": tuple(zip(*_STANDARD_YUV, strict=True)),
}

_AT_ONCE = 4  # samples, on a CPU: few enough that their maps stay near it, enough to keep its threads busy


class _Weights(NamedTuple):
    """What defines the kernel K besides the image."""

    kernel: int
    dilation: int
    sigma_position: float
    sigma_luma: float
    sigma_chroma: float


def smoothness_loss(
    logits: Tensor,
    image: Tensor,
    yuv: Yuv = "reference",
    kernel: int = 3,
    dilation: int = 2,
    sigma_position: float = 16.0,
    sigma_luma: float = 16.0,
    sigma_chroma: float = 8.0,
) -> Tensor:
    """Mean of ``K_ij (x_i - x_j)²`` over samples, pixels ``i`` and their dilated neighbours ``j``.

    ``K_ij = exp(-|pos_i - pos_j|²/(2 sigma_position) - (y_i - y_j)²/(2 sigma_luma) - |uv_i - uv_j|²/(2
    sigma_chroma))`` with the image in 0..255; the sigmas are not squared (as published). A neighbour outside
    the image is moved to the nearest pixel inside (replicate border, positions included).

    ``K`` is symmetric, so each pair inside the image is visited once with weight 2; the moved neighbours at
    the border are a short list of pairs. Loss and gradient come from one pass over views of the maps, without
    unfolded copies. No gradient flows into the image.

    Args:
        logits: ``(B, 1, H, W)``; computed in float32 at least.
        image: ``(B, 3, H, W)`` in [0, 1], RGB, before any jitter or normalisation.
        yuv: The colour matrix: as published (transposed by mistake) or as intended.
        kernel: Side of the neighbourhood in samples, odd.
        dilation: Pixels between the samples.
        sigma_position: In squared pixels.
        sigma_luma: In squared grey levels of 0..255.
        sigma_chroma: In squared levels of 0..255.

    Returns:
        A scalar.

    Raises:
        InputError: Shapes do not fit, or an option is out of range.

    Example:
        >>> smoothness_loss(torch.full((1, 1, 8, 8), 3.0), torch.rand(1, 3, 8, 8)).item()
        0.0
    """
    if logits.ndim != 4 or logits.shape[1] != 1 or image.shape != (len(logits), 3, *logits.shape[2:]):
        raise InputError(
            "Expected `logits` (B, 1, H, W) and `image` (B, 3, H, W) of the same B, H and W, but got "
            f"{tuple(logits.shape)} and {tuple(image.shape)}."
        )
    if yuv not in _YUV:
        raise InputError(f"Expected `yuv` to be one of {', '.join(_YUV)}, but got {yuv!r}.")
    if kernel < 3 or kernel % 2 == 0 or dilation < 1:
        raise InputError(
            f"Expected an odd `kernel` >= 3 and `dilation` >= 1, but got {kernel} and {dilation}."
        )
    weights = _Weights(kernel, dilation, sigma_position, sigma_luma, sigma_chroma)
    precise = torch.promote_types(logits.dtype, torch.float32)
    with torch.autocast(logits.device.type, enabled=False):
        result: Tensor = _Smoothness.apply(logits.to(precise), image.detach(), yuv, weights)
    return result


class SmoothnessLoss(nn.Module):
    """:func:`smoothness_loss` with its options bound."""

    def __init__(
        self,
        yuv: Yuv = "reference",
        kernel: int = 3,
        dilation: int = 2,
        sigma_position: float = 16.0,
        sigma_luma: float = 16.0,
        sigma_chroma: float = 8.0,
    ) -> None:
        super().__init__()
        self.yuv: Yuv = yuv
        self.weights = _Weights(kernel, dilation, sigma_position, sigma_luma, sigma_chroma)

    def forward(self, logits: Tensor, image: Tensor) -> Tensor:
        """Return the scalar loss of ``logits`` ``(B, 1, H, W)`` and ``image`` ``(B, 3, H, W)``."""
        return smoothness_loss(logits, image, self.yuv, *self.weights)


class _Smoothness(torch.autograd.Function):
    """Loss and, while at it, its gradient: the loss is a quadratic form, so both share all the work."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, image: Tensor, yuv: str, weights: _Weights) -> Tensor:
        height, width = logits.shape[2:]
        scale = 1.0 / (logits.numel() * (weights.kernel**2 - 1))
        matrix = _colour_matrix(yuv, weights)
        gradient = torch.zeros_like(logits, memory_format=torch.contiguous_format)
        total = logits.new_zeros(())
        # Fresh memory for every intermediate map would cost more than the arithmetic.
        at_once = _AT_ONCE if logits.device.type == "cpu" else len(logits)  # a GPU wants few, large calls
        workspace = logits.new_empty(7, at_once * height * width)
        for start in range(0, len(logits), at_once):
            some = slice(start, start + at_once)
            x, grad = logits[some], gradient[some]
            colour = _blend(matrix, image[some], _view(workspace[:3], (len(x), 3, height, width)))
            for (down, right), weight in _half_offsets(weights):
                rows, cols = _slices(height, down), _slices(width, right)
                here, there = (..., rows[0], cols[0]), (..., rows[1], cols[1])
                shape = x[here].shape
                difference = torch.sub(x[here], x[there], out=_view(workspace[3], shape))
                spread = _view(workspace[4:], (len(x), 3, *shape[2:]))
                pull = _affinity(torch.sub(colour[here], colour[there], out=spread)).mul_(difference)
                grad[here].add_(pull, alpha=4 * weight * scale)
                grad[there].sub_(pull, alpha=4 * weight * scale)
                total += difference.mul_(pull).sum() * (2 * weight)

        first, second, weight_of = _border_pairs(height, width, weights, logits.device, logits.dtype)
        x, rgb, grad = logits.flatten(2), image.flatten(2), gradient.flatten(2)
        difference = x[..., first] - x[..., second]
        colour = _blend(matrix, rgb[..., first] - rgb[..., second], difference.repeat(1, 3, 1))
        pull = _affinity(colour).mul_(difference).mul_(weight_of)
        grad.index_add_(2, first, pull, alpha=2 * scale)
        grad.index_add_(2, second, pull, alpha=-2 * scale)
        total += difference.mul_(pull).sum()
        ctx.save_for_backward(gradient)
        return total * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None, None


def _view(memory: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The first elements of ``memory`` in a shape."""
    return memory.view(-1)[: prod(shape)].view(shape)


def _blend(matrix: list[list[float]], rgb: Tensor, out: Tensor) -> Tensor:
    """Apply a colour matrix to ``(B, 3, ...)``. Not a matrix product: a GPU may round its factors."""
    for channel, factors in enumerate(matrix):
        torch.mul(rgb[:, 0], factors[0], out=out[:, channel])
        out[:, channel].add_(rgb[:, 1], alpha=factors[1]).add_(rgb[:, 2], alpha=factors[2])
    return out


def _affinity(spread: Tensor) -> Tensor:
    """``exp(-|d|²)``, ``(B, 1, ...)``, of scaled colour differences ``(B, 3, ...)``; overwrites them."""
    first, second, third = spread.split(1, dim=1)
    return first.mul_(first).addcmul_(second, second).addcmul_(third, third).neg_().exp_()


def _colour_matrix(yuv: str, weights: _Weights) -> list[list[float]]:
    """RGB in [0, 1] -> colour in which squared distance is the exponent of K."""
    sigmas = (weights.sigma_luma, weights.sigma_chroma, weights.sigma_chroma)
    return [[f * 255 / sqrt(2 * sigma) for f in row] for row, sigma in zip(_YUV[yuv], sigmas, strict=True)]


def _half_offsets(weights: _Weights) -> list[tuple[tuple[int, int], float]]:
    """One of each pair of opposite offsets, in pixels, with its spatial weight."""
    reach = weights.kernel // 2
    steps = range(-reach * weights.dilation, reach * weights.dilation + 1, weights.dilation)
    return [
        ((row, col), exp(-(row * row + col * col) / (2 * weights.sigma_position)))
        for row in steps
        for col in steps
        if (row, col) > (0, 0)
    ]


def _slices(size: int, offset: int) -> tuple[slice, slice]:
    """Slices that pair every index ``i`` with ``i + offset`` where both are inside."""
    span = max(size - abs(offset), 0)
    start = max(-offset, 0)
    return slice(start, start + span), slice(start + offset, start + offset + span)


class _Pairs(NamedTuple):
    """Flat indices of pixel pairs and their weights (spatial weight x multiplicity)."""

    first: Tensor
    second: Tensor
    weight: Tensor


@lru_cache(maxsize=8)
def _border_pairs(
    height: int, width: int, weights: _Weights, device: torch.device, dtype: torch.dtype
) -> _Pairs:
    """Pairs of a pixel and a neighbour that replicate padding moved inside; each unordered pair once.

    Kept on the device: sending them at every step would make the CPU wait for the forward pass.
    """
    row, col = np.divmod(np.arange(height * width), width)
    reach = weights.kernel // 2 * weights.dilation
    near = (np.minimum(row, height - 1 - row) < reach) | (np.minimum(col, width - 1 - col) < reach)
    row, col = row[near], col[near]
    found = []
    for (down, right), _ in _half_offsets(weights):
        for sign in (1, -1):
            to_row, to_col = row + sign * down, col + sign * right
            moved_row, moved_col = to_row.clip(0, height - 1), to_col.clip(0, width - 1)
            moved = (to_row != moved_row) | (to_col != moved_col)
            here, there = row * width + col, moved_row * width + moved_col
            moved &= here != there
            found.append(np.sort(np.stack([here[moved], there[moved]]), axis=0))
    pairs, times = np.unique(np.concatenate(found, axis=1), axis=1, return_counts=True)
    rows, cols = np.divmod(pairs, width)
    square = (rows[0] - rows[1]) ** 2 + (cols[0] - cols[1]) ** 2
    weight = times * np.exp(-square / (2 * weights.sigma_position))
    first, second = (torch.from_numpy(part.copy()).to(device) for part in pairs)
    return _Pairs(first, second, torch.from_numpy(weight).to(device, dtype))
