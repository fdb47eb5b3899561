"""Drawn shapes with exact borders: many alike or a few, smooth or angular, faint, rimmed, shaded, thin."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi

import torch
from torch import Tensor
from torch.nn import functional as F

MOST = 20  # shapes in an image

Draw = Callable[..., Tensor]
"""Random numbers for each sample: the shape of one sample in, a tensor with a first axis of samples out."""


def draw_shapes(
    backdrop: Tensor, texture: Tensor, generator: torch.Generator, min_visible: int = 20
) -> tuple[Tensor, Tensor]:
    """Draw shapes over images.

    Args:
        backdrop: ``(B, 3, P, P)`` in [0, 1]; seen behind the shapes in half of the samples, elsewhere a
            plain colour is.
        texture: Likewise, for the inside of the shapes.
        generator: On the same device.
        min_visible: Least visible area of a target in pixels, where there is such a shape.

    Returns:
        Image ``(B, 3, P, P)`` and the mask of one shape, bool ``(B, 1, P, P)``.
    """
    count, _, size, _ = backdrop.shape
    device = backdrop.device

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand((count, *shape), generator=generator, device=device)

    def normal(*shape: int) -> Tensor:
        return torch.randn((count, *shape), generator=generator, device=device)

    depth = _depth(count, size, uniform, normal)  # (B, N, P, P), above 0 inside
    order = torch.arange(1, MOST + 1, device=device, dtype=depth.dtype).reshape(1, -1, 1, 1)
    top = ((depth > 0) * order).amax(1, keepdim=True)  # 0: the background; the last shape is in front
    visible = (top == order).flatten(2).sum(2)  # (B, N)
    wish = uniform(MOST) * (visible >= min_visible) + 1e-6 * visible
    target = wish.argmax(1)
    mask = top == (target + 1).reshape(-1, 1, 1, 1).to(top.dtype)

    index = (top.long() - 1).clamp(min=0)
    inside = top > 0
    here = depth.gather(1, index)  # depth within the shape in front, 0 at its edge
    one = uniform(1, 1, 1)
    ground = uniform(3, 1, 1, low=0.05, high=0.95)
    contrast = torch.exp(uniform(1, 1, 1, low=log(0.05), high=log(0.6)))
    direction = F.normalize(normal(3, 1, 1), dim=1) + torch.sign(normal(1, 1, 1)) * 0.4
    each = normal(MOST, 3) * 0.25 * contrast.reshape(-1, 1, 1)
    paint = ground + contrast * direction
    paint = paint + _of(each, index) * (uniform(1, 1, 1) < 0.6)
    rough = _clouds(count, size, normal) * uniform(1, 1, 1, low=0.0, high=0.12)
    shade = (here.clamp(0, 1) - 0.4) * uniform(1, 1, 1, low=-0.5, high=0.5) * contrast
    object_ = paint + rough + shade
    object_ = torch.where(uniform(1, 1, 1) < 0.35, texture + 0.5 * contrast * direction, object_)
    rim = (here < uniform(1, 1, 1, low=0.08, high=0.25)) & (uniform(1, 1, 1) < 0.25)
    object_ = torch.where(rim, ground + torch.sign(normal(1, 1, 1)) * 0.35, object_)
    behind = torch.where(
        one < 0.5, backdrop, ground + _clouds(count, size, normal) * uniform(1, 1, 1, low=0.0, high=0.1)
    )
    # A soft edge of a pixel or so: the depth is about 1 at a radius' length from the edge.
    image = torch.where(inside, object_, behind)
    soft = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
    softer = F.avg_pool2d(soft, 3, 1, 1, count_include_pad=False)
    image = torch.where(one < 0.33, image, torch.where(one < 0.75, soft, softer))
    return image.clamp(0, 1), mask


def _of(values: Tensor, index: Tensor) -> Tensor:
    """The value ``(B, N, 3)`` of the shape at each pixel, ``(B, 3, P, P)``."""
    b, _, h, w = index.shape
    flat = index.reshape(b, h * w, 1).expand(-1, -1, 3)
    return values.gather(1, flat).transpose(1, 2).reshape(b, 3, h, w)


def _clouds(count: int, size: int, normal: Draw) -> Tensor:
    """Smooth and rough noise together, ``(B, 1, P, P)``."""
    coarse = F.interpolate(normal(1, 6, 6), size=(size, size), mode="bilinear", align_corners=True)
    fine = F.interpolate(normal(1, 40, 40), size=(size, size), mode="bilinear", align_corners=True)
    return coarse + fine


def _depth(count: int, size: int, uniform: Draw, normal: Draw) -> Tensor:
    """How deep each pixel lies in each shape, in parts of its radius; below 0 outside, ``(B, N, P, P)``."""
    # as many as fit loosely: n * radius² below half of the image
    radius = torch.exp(uniform(1, low=log(0.025), high=log(0.42)))
    number = (0.5 / (pi * radius**2) * uniform(1, low=0.3, high=1.0)).clamp(1, MOST)
    radii = radius * torch.exp(0.3 * normal(MOST)).clamp(0.5, 1.8) * size
    there = torch.arange(MOST, device=radius.device) < number
    centre = uniform(MOST, 2, low=0.04, high=0.96) * size
    axis = torch.arange(size, device=radius.device, dtype=torch.float32)
    row = axis.reshape(1, 1, -1, 1) - centre[:, :, 0, None, None]
    col = axis.reshape(1, 1, 1, -1) - centre[:, :, 1, None, None]
    angle = uniform(MOST, 1, 1) * pi
    along, across = row * angle.cos() + col * angle.sin(), col * angle.cos() - row * angle.sin()
    thin = uniform(1, 1, 1) < 0.2
    longest = torch.where(
        thin, torch.full_like(radius[:, :, None, None], 8.0), torch.full_like(radius[:, :, None, None], 2.2)
    )
    stretch = torch.exp(uniform(MOST, 1, 1) * longest.log()).sqrt()
    power = torch.where(
        uniform(1, 1, 1) < 0.3, uniform(1, 1, 1, low=1.0, high=6.0), torch.full_like(longest, 2.0)
    )
    u = (along / stretch).abs() / radii[:, :, None, None]
    v = (across * stretch).abs() / radii[:, :, None, None]
    distance = ((u + 1e-4) ** power + (v + 1e-4) ** power) ** (1 / power)
    around = torch.atan2(along, across)
    wave = torch.zeros_like(distance)
    for lobes in (2, 3, 5):
        wave = wave + uniform(MOST, 1, 1, low=0.0, high=0.3 / lobes) * torch.cos(
            lobes * around + 2 * pi * uniform(MOST, 1, 1)
        )
    wavy = uniform(1, 1, 1) < 0.6
    depth = 1 + torch.where(wavy, wave, torch.zeros_like(wave)) - distance
    return torch.where(there[:, :, None, None], depth, torch.full_like(depth, -1.0))
