"""Patch features without any learned weights: the colour of each small patch of the image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import InputError


class ColourTexture:
    """Random Fourier features of the mean CIE Lab colour of each patch.

    The distance of two features is that of a Gaussian kernel on colour: it grows with small differences and
    levels off, so that two unlike colours are about as far apart as any other two, and Ward's merging is not
    ruled by the few most saturated patches.

    Args:
        stride: Side of a patch in pixels of the (possibly scaled-down) image.
        max_side: Images whose longer side exceeds this many pixels are scaled down to it.
        lightness: Weight of lightness against the two colour axes.
        colour_scale: Width of the kernel in Lab units.
        frequencies: Number of random frequencies; twice as many channels.

    Raises:
        InputError: A parameter is out of range.
    """

    def __init__(
        self,
        stride: int = 4,
        max_side: int = 512,
        lightness: float = 0.5,
        colour_scale: float = 10.0,
        frequencies: int = 64,
    ) -> None:
        if stride < 1 or max_side < stride:
            raise InputError(f"Expected 1 <= `stride` <= `max_side`, but got {stride} and {max_side}.")
        self.stride = stride
        self.max_side = max_side
        self.lightness = lightness
        self.colour_scale = colour_scale
        self.frequencies = frequencies

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Extract features; see :class:`~mis_lightning.features.extractor.PatchExtractor`."""
        height, width = image.shape[:2]
        scale = min(1.0, self.max_side / max(height, width)) / self.stride
        h, w = (max(min(2, side), round(side * scale)) for side in (height, width))
        size = (w * self.stride, h * self.stride)
        resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        lab = cv2.cvtColor(resized.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        patches = cv2.resize(lab, (w, h), interpolation=cv2.INTER_AREA).reshape(h * w, 3)
        return self._fourier(patches * np.float32([self.lightness, 1, 1])), (h, w)

    def _fourier(self, colours: NDArray[np.float32]) -> NDArray[np.float32]:
        waves = np.random.default_rng(0).standard_normal((3, self.frequencies)) / self.colour_scale
        phases = colours @ waves.astype(np.float32)
        return np.hstack([np.cos(phases), np.sin(phases)]) / np.float32(np.sqrt(self.frequencies))

    def settings(self) -> dict[str, Any]:
        """Return everything that fixes the output."""
        return {
            "extractor": "ColourTexture",
            "version": 2,
            "stride": self.stride,
            "max_side": self.max_side,
            "lightness": self.lightness,
            "colour_scale": self.colour_scale,
            "frequencies": self.frequencies,
        }
