"""Resize an image so that every patch size gives the same grid (spec A1.2)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

REFERENCE_PATCH = 8


def scaled_size(size: tuple[int, int], patch: int, max_tokens: int | None = None) -> tuple[int, int]:
    """Return the size an image is resized to before a ViT with this patch size.

    The sides are scaled by ``patch / 8``, rounded half to even, and rounded up to multiples of the patch, so
    the grid is about one token per 8 × 8 pixels of the original for every patch size.

    Args:
        size: Original ``(height, width)`` in pixels.
        patch: Patch side in pixels.
        max_tokens: Scale larger images down until their grid has at most about this many tokens.

    Returns:
        ``(height, width)``, multiples of ``patch``.

    >>> [tuple(side // patch for side in scaled_size((375, 500), patch)) for patch in (8, 14, 16)]
    [(47, 63), (47, 63), (47, 63)]
    """
    height, width = size
    scale = patch / REFERENCE_PATCH
    if max_tokens is not None:
        tokens = (height / REFERENCE_PATCH) * (width / REFERENCE_PATCH)
        scale *= min(1.0, math.sqrt(max_tokens / tokens))

    def side(pixels: int) -> int:
        return max(1, math.ceil(round(pixels * scale) / patch)) * patch

    return side(height), side(width)


def resize_bicubic(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize in one step with Pillow's antialiased bicubic filter, without padding or cropping.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        size: Wanted ``(height, width)``.

    Returns:
        uint8, ``(*size, 3)``; maybe read-only, or ``image`` itself where it fits already.
    """
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))
