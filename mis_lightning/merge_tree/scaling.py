"""Which patch each pixel belongs to: the one rule for bringing regions of patches to the size of an image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit


@njit(cache=True, nogil=True)
def patch_of_pixels(n_pixels: int, n_patches: int) -> NDArray[np.int64]:
    """The patch of each pixel of a row or column.

    Rule: docs/protocol.md#from-patches-to-pixels.

    That of pixel ``x`` is ``floor(x * (1 / (n_pixels / n_patches)))`` in float64, the nearest neighbour of
    the published code (OpenCV's). Where ``x * n_patches / n_pixels`` is whole, the rounding of the factor may
    take it one lower: a border of two patches then lies one pixel further.

    Args:
        n_pixels: Length in pixels, at least 1.
        n_patches: Length in patches, at least 1.

    Returns:
        int64, ``(n_pixels,)``, rising from 0 to at most ``n_patches - 1``.
    """
    factor = 1.0 / (n_pixels / n_patches)
    sources = np.empty(n_pixels, np.int64)
    for pixel in range(n_pixels):
        sources[pixel] = min(math.floor(pixel * factor), n_patches - 1)
    return sources
