"""Resize an image so that every patch size gives the same grid, within a budget of tokens.

Rule: docs/protocol.md#patch-grid.
"""

from __future__ import annotations

import math
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import Note

Scaling = Literal["patch/8", "nearest", "crop"]
"""How an image is brought to whole patches: :func:`scale_image`."""

REFERENCE_PATCH = 8
MAX_TOKENS = 40_000
"""Default budget of every extractor: images of up to 1600×1600 pixels keep the published grid, one token per
8×8 pixels. A merge tree of so many takes 0.2 s; what a ViT takes grows with the square of the tokens."""


def token_scale(size: tuple[int, int], pixels_per_token: float, max_tokens: int | None) -> float:
    """Return the factor for the sides of an image that keeps its grid within the budget; warn where below 1.

    Args:
        size: Original ``(height, width)`` in pixels.
        pixels_per_token: Side of the square of original pixels that a token stands for.
        max_tokens: The budget, kept but for the rounding of the sides; ``None`` sets no limit.

    >>> token_scale((375, 500), 8, 40_000)
    1.0
    """
    tokens = (size[0] / pixels_per_token) * (size[1] / pixels_per_token)
    if max_tokens is None or tokens <= max_tokens * (1 + 1e-9):  # a square of a root may be above
        return 1.0
    factor = math.sqrt(max_tokens / tokens)
    warnings.warn(
        f"An image of {size[1]}×{size[0]} pixels gives {tokens:.0f} tokens, more than "
        f"max_tokens={max_tokens}; its features are taken from the image scaled by {factor:.2f}.",
        Note,
        stacklevel=2,
    )
    return factor


def scaled_size(size: tuple[int, int], patch: int, max_tokens: int | None = None) -> tuple[int, int]:
    """Return the size an image is resized to before a ViT with this patch size.

    The sides are scaled by ``patch / 8``, rounded half to even, and rounded up to multiples of the patch, so
    the grid is about one token per 8 × 8 pixels of the original for every patch size.

    Args:
        size: Original ``(height, width)`` in pixels.
        patch: Patch side in pixels.
        max_tokens: Larger images are scaled down by :func:`token_scale`, with its warning.

    Returns:
        ``(height, width)``, multiples of ``patch``.

    >>> [tuple(side // patch for side in scaled_size((375, 500), patch)) for patch in (8, 14, 16)]
    [(47, 63), (47, 63), (47, 63)]
    """
    scale = patch / REFERENCE_PATCH * token_scale(size, REFERENCE_PATCH, max_tokens)

    def side(pixels: int) -> int:
        return max(1, math.ceil(round(pixels * scale) / patch)) * patch

    return side(size[0]), side(size[1])


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


def scale_image(
    image: NDArray[np.uint8], patch: int, scaling: Scaling, max_tokens: int | None = None
) -> NDArray[np.uint8]:
    """Bring an image to whole patches.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        patch: Patch side in pixels.
        scaling: ``"patch/8"``: bicubic to :func:`scaled_size` (docs/protocol.md#patch-grid); ``"nearest"``:
            Lanczos to the nearest multiples of the patch, halves to even (docs/protocol.md#tokencut);
            ``"crop"``: as it is, cut off at the right and the bottom to multiples of the patch
            (docs/protocol.md#deep-spectral-methods).
        max_tokens: Larger images are first scaled down by :func:`token_scale`, with its warning.

    Returns:
        uint8, sides multiples of ``patch``, at least one patch.
    """
    height, width = image.shape[:2]
    if scaling == "patch/8":
        return resize_bicubic(image, scaled_size((height, width), patch, max_tokens))
    scale = token_scale((height, width), patch, max_tokens)
    if scaling == "nearest":
        size = tuple(max(1, round(side * scale / patch)) * patch for side in (height, width))
        return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS))
    if scale < 1:
        smaller = (max(patch, int(height * scale)), max(patch, int(width * scale)))
        image = np.asarray(Image.fromarray(image).resize(smaller[::-1], Image.Resampling.LANCZOS))
    if min(image.shape[:2]) < patch:
        grown = (max(patch, image.shape[0]), max(patch, image.shape[1]))  # an image below one patch
        image = np.asarray(Image.fromarray(image).resize(grown[::-1], Image.Resampling.LANCZOS))
    return image[: image.shape[0] // patch * patch, : image.shape[1] // patch * patch]
