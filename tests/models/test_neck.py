"""The pyramid against its four branches written out in numpy.

Rule: docs/protocol.md#feature-pyramid.
"""

from __future__ import annotations

from math import erf

import numpy as np
import torch
from numpy.typing import NDArray

from mis_lightning.models.neck import SimplePyramid

Array = NDArray[np.float64]


def transposed(x: Array, weight: Array, bias: Array) -> Array:
    """2 × 2 transposed convolution of stride 2; weight ``(in, out, 2, 2)``."""
    blocks = np.einsum("chw,coij->ohiwj", x, weight)
    return blocks.reshape(weight.shape[1], 2 * x.shape[1], 2 * x.shape[2]) + bias[:, None, None]


def strided(x: Array, weight: Array, bias: Array) -> Array:
    """2 × 2 convolution of stride 2; weight ``(out, in, 2, 2)``."""
    blocks = x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2)
    return np.einsum("chiwj,ocij->ohw", blocks, weight) + bias[:, None, None]


def pointwise(x: Array, weight: Array, bias: Array) -> Array:
    return np.einsum("chw,oc->ohw", x, weight[:, :, 0, 0]) + bias[:, None, None]


def norm(x: Array, weight: Array, bias: Array) -> Array:
    """One group: mean and variance over channels and pixels together."""
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * weight[:, None, None] + bias[:, None, None]


def gelu(x: Array) -> Array:
    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def test_four_branches_by_hand() -> None:
    torch.manual_seed(0)
    pyramid = SimplePyramid(6, (2, 3, 4, 5))
    with torch.no_grad():
        for parameter in pyramid.parameters():
            parameter.normal_()
        x = torch.randn(1, 6, 2, 4)
        outputs = [out[0].numpy() for out in pyramid(x)]

    def layers(branch: torch.nn.Module):
        found = [m for m in branch if sum(1 for _ in m.parameters())]
        return [(m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in found]

    start = x[0].double().numpy()
    t1, n1, t2, n2, c, n3 = layers(pyramid.up4)
    expected = gelu(norm(transposed(start, *t1), *n1))
    expected = gelu(norm(pointwise(norm(transposed(expected, *t2), *n2), *c), *n3))
    np.testing.assert_allclose(outputs[0], expected, atol=1e-4)

    t1, n1, c, n2 = layers(pyramid.up2)
    expected = gelu(norm(pointwise(norm(transposed(start, *t1), *n1), *c), *n2))
    np.testing.assert_allclose(outputs[1], expected, atol=1e-4)

    c, n1 = layers(pyramid.same)
    np.testing.assert_allclose(outputs[2], gelu(norm(pointwise(start, *c), *n1)), atol=1e-4)

    s, n1, c, n2 = layers(pyramid.down2)
    expected = gelu(norm(pointwise(norm(strided(start, *s), *n1), *c), *n2))
    np.testing.assert_allclose(outputs[3], expected, atol=1e-4)


def test_widths_of_the_paper() -> None:
    with torch.device("meta"):
        pyramid = SimplePyramid()
        maps = pyramid(torch.zeros(2, 768, 28, 28))
    assert [tuple(m.shape) for m in maps] == [
        (2, 128, 112, 112),
        (2, 256, 56, 56),
        (2, 512, 28, 28),
        (2, 1024, 14, 14),
    ]
    weights = {name: tuple(p.shape) for name, p in pyramid.named_parameters() if p.ndim > 1}
    assert weights == {
        "up4.0.weight": (768, 384, 2, 2),
        "up4.3.weight": (384, 192, 2, 2),
        "up4.5.weight": (128, 192, 1, 1),
        "up2.0.weight": (768, 384, 2, 2),
        "up2.2.weight": (256, 384, 1, 1),
        "same.0.weight": (512, 768, 1, 1),
        "down2.0.weight": (1536, 768, 2, 2),
        "down2.2.weight": (1024, 1536, 1, 1),
    }
    assert sum(p.numel() for p in pyramid.parameters()) == 9_475_008


def test_narrow_tokens_do_not_narrow_the_maps() -> None:
    # The other side of each max: 2 · out₀ > in/2, out₁ > in/2, out₃ > 2 · in.
    pyramid = SimplePyramid(8, (10, 12, 6, 40))
    assert pyramid.up4[0].out_channels == 20
    assert pyramid.up4[3].out_channels == 10
    assert pyramid.up2[0].out_channels == 12
    assert pyramid.down2[0].out_channels == 40
