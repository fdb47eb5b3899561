"""Smoothness loss against the unfolded formulation, closed forms and numerical gradients."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch

from mis_lightning.bench.loss import plain_smoothness_loss
from mis_lightning.bench.loss import workload as bench_workload
from mis_lightning.errors import InputError
from mis_lightning.losses.smoothness import SmoothnessLoss, smoothness_loss


def workload(*size: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 1, *size, generator=generator, dtype=torch.float64)
    # Colours so close that every term of the exponent matters.
    return logits.requires_grad_(), 0.4 + 0.03 * torch.rand(
        2, 3, *size, generator=generator, dtype=torch.float64
    )


def by_hand(logits: np.ndarray, image: np.ndarray, yuv: str, kernel: int, dilation: int) -> float:
    """Pixel by pixel, in the words of docs/protocol.md#smoothness-loss (sigma 16, 16, 8)."""
    batch, _, height, width = logits.shape
    y, u, v = (0.299, 0.587, 0.114), (-0.147, -0.289, 0.436), (0.615, -0.515, -0.100)
    rows = np.array([y, u, v]) if yuv == "standard" else np.array([y, u, v]).T
    steps = range(-(kernel // 2) * dilation, kernel // 2 * dilation + 1, dilation)
    terms = []
    for sample in range(batch):
        for row, col in np.ndindex(height, width):
            for down in steps:
                for right in steps:
                    if down == right == 0:
                        continue
                    to = min(max(row + down, 0), height - 1), min(max(col + right, 0), width - 1)
                    here, there = image[sample, :, row, col], image[sample, :, to[0], to[1]]
                    z = rows @ (255 * (here - there))
                    distance = (row - to[0]) ** 2 + (col - to[1]) ** 2
                    weight = exp(-distance / 32 - z[0] ** 2 / 32 - (z[1] ** 2 + z[2] ** 2) / 16)
                    terms.append(
                        weight * (logits[sample, 0, row, col] - logits[sample, 0, to[0], to[1]]) ** 2
                    )
    return float(np.mean(terms))


@pytest.mark.parametrize("yuv", ["reference", "standard"])
@pytest.mark.parametrize("size", [(6, 7), (1, 5), (2, 2), (3, 4)])
def test_equals_the_sum_by_hand(size, yuv):
    logits, image = workload(*size)
    expected = by_hand(logits.detach().numpy(), image.numpy(), yuv, 3, 2)
    assert smoothness_loss(logits, image, yuv).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (5, 1), (5, 2), (3, 3)])
def test_other_neighbourhoods(kernel, dilation):
    logits, image = workload(7, 6)
    expected = by_hand(logits.detach().numpy(), image.numpy(), "reference", kernel, dilation)
    got = smoothness_loss(logits, image, kernel=kernel, dilation=dilation).item()
    assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("yuv", ["reference", "standard"])
@pytest.mark.parametrize("size", [(9, 11), (2, 7), (4, 3), (40, 37)])
def test_value_and_gradient_equal_the_unfolded_formulation(size, yuv):
    logits, image = workload(*size)
    ours, plain = smoothness_loss(logits, image, yuv), plain_smoothness_loss(logits, image, yuv)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-12)
    (gradient,), (expected,) = (torch.autograd.grad(loss, logits) for loss in (ours, plain))
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-15)


def test_float32_within_1e_6():
    logits, image = bench_workload(2, 128)
    exact = plain_smoothness_loss(logits.double(), image.double())
    ours, plain = smoothness_loss(logits, image), plain_smoothness_loss(logits, image)
    assert ours.item() == pytest.approx(exact.item(), rel=1e-6)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-6)
    expected, gradient, other = (torch.autograd.grad(loss, logits)[0] for loss in (exact, ours, plain))
    # the rounding of the colours shows more in the gradient, in either formulation
    assert (gradient - expected).norm() <= (other - expected).norm()


def test_numerical_gradient():
    logits, image = workload(4, 5)
    assert torch.autograd.gradcheck(lambda x: smoothness_loss(x, image), logits)


def test_upstream_gradient_is_applied():
    logits, image = workload(5, 5)
    (once,) = torch.autograd.grad(smoothness_loss(logits, image), logits)
    (scaled,) = torch.autograd.grad(-3 * smoothness_loss(logits, image), logits)
    torch.testing.assert_close(scaled, -3 * once)


def test_constant_logits_cost_nothing():
    _, image = workload(8, 8)
    logits = torch.full((2, 1, 8, 8), 1.5, dtype=torch.float64, requires_grad=True)
    loss = smoothness_loss(logits, image)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_negated_logits_cost_the_same():
    logits, image = workload(8, 9)
    assert smoothness_loss(-logits, image).item() == pytest.approx(smoothness_loss(logits, image).item())


def test_matrices_differ_as_stated():
    # Two halves that differ only in blue, by 4 levels: z = 4 * the blue column (standard) or row (reference).
    image = torch.zeros(1, 3, 1, 3, dtype=torch.float64)
    image[:, 2, :, 2] = 4 / 255
    logits = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).view(1, 1, 1, 3)
    standard, reference = (0.114, 0.436, -0.100), (0.615, -0.515, -0.100)
    for yuv, (y, u, v) in (("standard", standard), ("reference", reference)):
        colour = 16 * (y * y / 32 + (u * u + v * v) / 16)
        # 0 <-> 2 with 2 px and 1 -> (clamped) 2 with 1 px, for 3 vertical offsets each; 3 pixels x 8 offsets
        expected = 3 * (2 * exp(-4 / 32 - colour) + exp(-1 / 32 - colour)) / 24
        assert smoothness_loss(logits, image, yuv).item() == pytest.approx(expected, rel=1e-12)


def test_spatial_factors():
    logits, image = torch.zeros(1, 1, 11, 11, dtype=torch.float64), torch.zeros(1, 3, 11, 11)
    logits[0, 0, 5, 5] = 1
    expected = 2 * (4 * 0.8825 + 4 * 0.7788) / (8 * 121)
    assert smoothness_loss(logits, image).item() == pytest.approx(expected, rel=1e-4)


def test_no_gradient_into_the_image_and_half_precision():
    logits, image = workload(6, 6)
    image.requires_grad_()
    smoothness_loss(logits, image).backward()
    assert image.grad is None
    loss = SmoothnessLoss()(logits.to(torch.bfloat16), image)
    assert loss.dtype == torch.float32
    expected = smoothness_loss(logits.to(torch.bfloat16).double(), image).item()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_any_size_is_the_mean_of_its_samples():
    logits, image = (torch.cat([part.detach()] * 3)[:5] for part in workload(6, 5))
    logits = logits * torch.arange(1, 6).view(5, 1, 1, 1)
    alone = [smoothness_loss(x[None], y[None]).item() for x, y in zip(logits, image, strict=True)]
    assert smoothness_loss(logits, image).item() == pytest.approx(np.mean(alone), rel=1e-12)


def test_non_contiguous_arguments():
    logits, image = workload(6, 8)
    turned = smoothness_loss(logits.mT, image.mT).item()
    assert turned == pytest.approx(smoothness_loss(logits, image).item(), rel=1e-12)


@pytest.mark.parametrize(
    ("logits", "image", "options", "message"),
    [
        ((2, 1, 8, 8), (2, 3, 8, 9), {}, r"\(2, 3, 8, 9\)"),
        ((2, 8, 8), (2, 3, 8, 8), {}, r"\(2, 8, 8\)"),
        ((2, 1, 8, 8), (2, 3, 8, 8), {"yuv": "legacy"}, "'legacy'"),
        ((2, 1, 8, 8), (2, 3, 8, 8), {"kernel": 4}, "but got 4"),
    ],
)
def test_wrong_arguments(logits, image, options, message):
    with pytest.raises(InputError, match=message):
        smoothness_loss(torch.zeros(logits), torch.zeros(image), **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_equals_cpu():
    logits, image = bench_workload(10, 64)
    on_gpu = smoothness_loss(logits.cuda(), image.cuda())
    assert on_gpu.item() == pytest.approx(smoothness_loss(logits, image).item(), rel=1e-6)
