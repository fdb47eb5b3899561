"""``mis bench loss``: the smoothness loss against its formulation with unfolded neighbours.

Rule: docs/protocol.md#smoothness-loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad, unfold

from mis_lightning.bench.compare import compare, parser, report, set_up
from mis_lightning.bench.figure import Figure
from mis_lightning.losses.smoothness import smoothness_loss

STANDARD_YUV = [[0.299, 0.587, 0.114], [-0.147, -0.289, 0.436], [0.615, -0.515, -0.100]]

TIME_GOAL, MEMORY_GOAL = 1 / 3, 1 / 4  # of the plain formulation


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench loss``.

    Args:
        argv: The words after the command.

    Returns:
        0.

    Raises:
        InputError: An option is out of range.
    """
    given = parser("mis bench loss", "Time the smoothness loss, forward and backward.").parse_args(argv)
    device = set_up(given)
    logits, image = (part.to(device) for part in workload(given.batch, given.size))
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "smoothness": smoothness_loss,
        "smoothness, plain": plain_smoothness_loss,
    }
    calls = {name: partial(forward_and_backward, way, logits, image) for name, way in ways.items()}
    costs = compare(calls, given.repeats, device)
    ours, plain = costs["smoothness"], costs["smoothness, plain"]
    figures = [Figure("of the plain formulation's time", ours.seconds / plain.seconds, "x", TIME_GOAL)]
    if ours.peak_mebibytes is not None and plain.peak_mebibytes is not None:
        share = ours.peak_mebibytes / plain.peak_mebibytes
        figures.append(Figure("of the plain formulation's peak memory", share, "x", MEMORY_GOAL))
    report(costs, given, figures)
    return 0


def workload(batch: int, size: int) -> tuple[Tensor, Tensor]:
    """Make logits ``(B, 1, H, W)`` that want a gradient, and images of smooth patches with noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 3, 20, 20, generator=generator)
    noise = torch.randn(batch, 3, size, size, generator=generator)
    image = (interpolate(coarse, (size, size), mode="bilinear") + 0.02 * noise).clamp(0, 1)
    return torch.randn(batch, 1, size, size, generator=generator).requires_grad_(), image


def forward_and_backward(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, image: Tensor) -> Tensor:
    """Return the gradient of the loss."""
    (gradient,) = torch.autograd.grad(loss(logits, image), logits)
    return gradient


def plain_smoothness_loss(logits: Tensor, image: Tensor, yuv: str = "reference") -> Tensor:
    """docs/protocol.md#smoothness-loss literally, by padding and unfolding.

    Args:
        logits: ``(B, 1, H, W)``.
        image: ``(B, 3, H, W)`` in [0, 1], of the same dtype.
        yuv: ``"standard"``, or ``"reference"`` for the transposed matrix.

    Returns:
        A scalar.
    """
    batch, _, height, width = logits.shape
    matrix = torch.tensor(STANDARD_YUV, dtype=logits.dtype, device=logits.device)
    colour = torch.einsum("cd,bdhw->bchw", matrix.T if yuv == "reference" else matrix, image * 255)
    row = torch.arange(height, dtype=logits.dtype, device=logits.device)
    col = torch.arange(width, dtype=logits.dtype, device=logits.device)
    position = torch.stack(torch.meshgrid(row, col, indexing="ij")).expand(batch, -1, -1, -1)

    def neighbours(maps: Tensor) -> Tensor:
        padded = pad(maps, (2, 2, 2, 2), mode="replicate")
        patches = unfold(padded, kernel_size=3, dilation=2).view(batch, maps.shape[1], 9, height, width)
        return torch.cat([patches[:, :, :4], patches[:, :, 5:]], dim=2)

    with torch.no_grad():
        features = torch.cat([position, colour], dim=1)
        difference = neighbours(features) - features[:, :, None]
        sigma = difference.new_tensor([16.0, 16.0, 16.0, 8.0, 8.0]).view(1, 5, 1, 1, 1)
        affinity = torch.exp(-(difference**2 / (2 * sigma)).sum(1))
    return (affinity * (neighbours(logits)[:, 0] - logits) ** 2).mean()
