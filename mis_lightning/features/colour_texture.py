"""Patch features without any learned weights: the colour of each small patch of the image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import InputError
from mis_lightning.features.scaling import MAX_TOKENS, token_scale

# Raised with every change of the output: a store of older trees is then refused, not mixed with new ones.
VERSION = 2
ROWS = 1024
"""Patches whose waves are computed at a time."""


class ColourTexture:
    """Random Fourier features of the mean CIE Lab colour of each patch.

    The distance of two features is that of a Gaussian kernel on colour: it grows with small differences and
    levels off, so that two unlike colours are about as far apart as any other two, and Ward's merging is not
    ruled by the few most saturated patches. The mean feature of a region stands for the whole distribution of
    its colours, so that a region of two colours differs from one of their mixture: on regions of many patches
    texture is compared too, which is why the patches themselves carry no texture (tried without clear gain:
    ``experiments/colour_texture_log.md``).

    Runs on the CPU alone and keeps no state between calls: safe in workers and threads.

    Args:
        stride: Side of a patch in pixels of the (possibly scaled-down) image.
        max_side: Images whose longer side exceeds this many pixels are scaled down to it.
        lightness: Weight of lightness against the two colour axes, at least 0.
        colour_scale: Width of the kernel in Lab units, above 0.
        frequencies: Number of random frequencies, drawn from a fixed seed; twice as many channels.
        max_tokens: Images that would have more patches are scaled down further, with a warning.

    Raises:
        InputError: A parameter is out of range.

    Example:
        >>> features, grid = ColourTexture()(np.zeros((375, 500, 3), np.uint8))
        >>> features.shape, grid
        ((11750, 128), (94, 125))
    """

    def __init__(
        self,
        stride: int = 4,
        max_side: int = 512,
        lightness: float = 0.5,
        colour_scale: float = 10.0,
        frequencies: int = 64,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        if stride < 1 or max_side < stride:
            raise InputError(f"Expected 1 <= `stride` <= `max_side`, but got {stride} and {max_side}.")
        if not (0 <= lightness < np.inf and 0 < colour_scale < np.inf):
            raise InputError(
                f"Expected `lightness` >= 0 and `colour_scale` > 0, but got {lightness} and {colour_scale}."
            )
        if frequencies < 1:
            raise InputError(f"Expected `frequencies`, a count, of at least 1, but got {frequencies}.")
        if max_tokens < 1:
            raise InputError(f"Expected `max_tokens` of at least 1, but got {max_tokens}.")
        self.stride = stride
        self.max_side = max_side
        self.lightness = lightness
        self.colour_scale = colour_scale
        self.frequencies = frequencies
        self.max_tokens = max_tokens

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Extract features; see :class:`~mis_lightning.features.extractor.PatchExtractor`.

        Args:
            image: RGB, uint8, ``(H, W, 3)``.

        Returns:
            Features, float32 ``(n, 2 * frequencies)``, rows of length 1, and the grid ``(h, w)``: the sides
            of the image over ``stride``, rounded, but at least 2 where the image has two pixels.

        Raises:
            InputError: The image is of another shape or type, or empty.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise InputError(
                f"Expected an RGB image, uint8 (H, W, 3), but got {image.dtype} {image.shape}; "
                "read it with mis_lightning.images.read_image."
            )
        h, w = self._grid(image.shape[0], image.shape[1])
        # Stretched to whole patches, so that the grid tiles the image: docs/protocol.md#patch-grid.
        size = (w * self.stride, h * self.stride)
        resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        lab = cv2.cvtColor(resized.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        patches = cv2.resize(lab, (w, h), interpolation=cv2.INTER_AREA).reshape(h * w, 3)
        colours = np.asarray(patches * np.array([self.lightness, 1, 1], np.float32), np.float32)
        return self._fourier(colours), (h, w)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        scale = min(1.0, self.max_side / max(height, width)) / self.stride
        scale *= token_scale((height, width), 1 / scale, self.max_tokens)
        h, w = (max(min(2, side), round(side * scale)) for side in (height, width))
        return h, w

    def _fourier(self, colours: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rahimi and Recht, "Random features for large-scale kernel machines", 2007."""
        waves = np.random.default_rng(0).standard_normal((3, self.frequencies)) / self.colour_scale
        phases = colours @ waves.astype(np.float32)
        features = np.empty((len(colours), 2 * self.frequencies), np.float32)
        for first in range(0, len(colours), ROWS):  # what is computed stays in the cache until it is stored
            rows = slice(first, first + ROWS)
            features[rows, : self.frequencies] = np.cos(phases[rows])
            features[rows, self.frequencies :] = np.sin(phases[rows])
            features[rows] /= np.float32(np.sqrt(self.frequencies))
        return features

    def settings(self) -> dict[str, Any]:
        """Return everything that determines the output."""
        return {
            "extractor": type(self).__name__,
            "version": VERSION,
            "stride": self.stride,
            "max_side": self.max_side,
            "lightness": self.lightness,
            "colour_scale": self.colour_scale,
            "frequencies": self.frequencies,
            "max_tokens": self.max_tokens,
        }
