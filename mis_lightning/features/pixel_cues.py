"""What the surroundings of each pixel look like, at several scales: colours, edges, ridges, texture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Widths of the blurs of :func:`pixel_cues`, in pixels."""
_FINEST = 2.0  # wider blurs are made of a smaller image, in which they are this wide
MARGIN = 48
"""Pixels around a part of an image that its cues depend on, about: three of the greatest width."""
N_CUES = 3 + len(WIDTHS) * 7
"""Channels of :func:`pixel_cues`."""


def edges_and_ridges(
    light: NDArray[np.float32], width: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The gradient and the two eigenvalues of the Hessian of a map that was blurred.

    Args:
        light: float32, ``(h, w)``.
        width: Of the blur, in pixels; what comes out is as far as the map goes in one width.

    Returns:
        The length of the gradient, the greater and the lesser eigenvalue, float32, ``(h, w)`` each.
    """
    across, down = (cv2.Sobel(light, cv2.CV_32F, *order, ksize=3) / 8 for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.Sobel(light, cv2.CV_32F, *order, ksize=3) / 4 for order in ((2, 0), (0, 2), (1, 1)))
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    edge, bright, dark = width * np.hypot(across, down), width**2 * (mean + half), width**2 * (mean - half)
    return np.asarray(edge, np.float32), np.asarray(bright, np.float32), np.asarray(dark, np.float32)


def pixel_cues(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe each pixel by CIE Lab, and by what blurs of it look like.

    Of each blur there are its colours, the logarithms of the gradient and of the variance of its lightness,
    and the eigenvalues of the Hessian. Nothing is relative to the rest of the image: a part of an image has
    about the cues that the whole has there, but for :data:`MARGIN` pixels at its border.

    Args:
        image: RGB, uint8, ``(h, w, 3)``.

    Returns:
        float32, ``(h, w, N_CUES)``.
    """
    lab = np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    height, width = image.shape[:2]
    cues = np.empty((height, width, N_CUES), np.float32)
    cues[..., :3] = lab
    for at, blur in zip(range(3, N_CUES, 7), WIDTHS, strict=True):
        step = max(1.0, blur / _FINEST)
        size = max(1, round(width / step)), max(1, round(height / step))
        if step == 1:
            cues[..., at : at + 7] = _blurred(lab, blur)
        else:
            small = np.asarray(cv2.resize(lab, size, interpolation=cv2.INTER_AREA), np.float32)
            cues[..., at : at + 7] = cv2.resize(_blurred(small, blur / step), (width, height))
    return cues


def _blurred(lab: NDArray[np.float32], blur: float) -> NDArray[np.float32]:
    """The seven cues of one blur, float32, ``(h, w, 7)``."""
    found = np.empty((*lab.shape[:2], 7), np.float32)
    found[..., :3] = cv2.GaussianBlur(lab, (0, 0), blur)
    light = np.ascontiguousarray(found[..., 0])
    edge, found[..., 5], found[..., 6] = edges_and_ridges(light, blur)
    variance = cv2.GaussianBlur(lab[..., 0] ** 2, (0, 0), blur) - light**2
    found[..., 3] = np.log(edge + 0.1)
    found[..., 4] = np.log(np.maximum(variance, 0) + 0.1)
    return found
