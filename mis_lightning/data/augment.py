"""The paper's augmentation of image and region in the loader, one function per transform.

Rule: docs/protocol.md#augmentation.

Every function takes and returns an image, uint8 ``(H, W, 3)``, and a mask, bool ``(H, W)``; images are
resampled bilinearly, masks by nearest neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def random_resize(
    image: Image, mask: Mask, generator: np.random.Generator, low: float, high: float
) -> tuple[Image, Mask]:
    """Scale both sides by one factor from U(low, high); sizes round half to even."""
    scale = generator.uniform(low, high)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return _resize(image, mask, size)


def _resize(image: Image, mask: Mask, size: tuple[int, int]) -> tuple[Image, Mask]:
    resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    flat = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, np.uint8), flat.astype(np.bool_)


def flip(image: Image, mask: Mask, generator: np.random.Generator) -> tuple[Image, Mask]:
    """Flip vertically, horizontally or both ways, each a third of the time."""
    axes: tuple[int, ...] = ((0,), (1,), (0, 1))[generator.integers(3)]
    return np.flip(image, axes), np.flip(mask, axes)


def rotate90(image: Image, mask: Mask, generator: np.random.Generator) -> tuple[Image, Mask]:
    """Rotate counter-clockwise by 0, 90, 180 or 270 degrees."""
    quarter_turns = int(generator.integers(4))
    return np.rot90(image, quarter_turns), np.rot90(mask, quarter_turns)


def shift_rotate(
    image: Image, mask: Mask, generator: np.random.Generator, shift: float, degrees: float
) -> tuple[Image, Mask]:
    """Shift by up to ``shift`` of each side, rotate about the middle; what comes in is black background."""
    height, width = mask.shape
    angle = generator.uniform(-degrees, degrees)
    dx, dy = generator.uniform(-shift, shift, size=2)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    matrix[:, 2] += (dx * width, dy * height)
    moved = cv2.warpAffine(np.ascontiguousarray(image), matrix, (width, height), flags=cv2.INTER_LINEAR)
    flat = np.ascontiguousarray(mask).view(np.uint8)
    region = cv2.warpAffine(flat, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return np.asarray(moved, np.uint8), region.astype(np.bool_)


def pad_to(image: Image, mask: Mask, size: tuple[int, int]) -> tuple[Image, Mask]:
    """Pad with black and background to at least ``size``; half of it, rounded down, above and left."""
    rows, columns = (max(0, wanted - side) for wanted, side in zip(size, mask.shape, strict=True))
    if not rows and not columns:
        return image, mask
    widths = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    return np.pad(image, (*widths, (0, 0))), np.pad(mask, widths)


def random_crop(
    image: Image, mask: Mask, generator: np.random.Generator, size: tuple[int, int]
) -> tuple[Image, Mask]:
    """Cut out ``size`` at a uniform place."""
    top, left = (int((side - want) * generator.random()) for side, want in zip(mask.shape, size, strict=True))
    window = (slice(top, top + size[0]), slice(left, left + size[1]))
    return image[window], mask[window]


def brightness_contrast(
    image: Image,
    generator: np.random.Generator,
    contrast: tuple[float, float],
    brightness: tuple[float, float],
) -> Image:
    """Map values ``v`` to ``α·v + 255·β`` with α − 1 and β uniform in the given ranges."""
    alpha = 1 + generator.uniform(*contrast)
    beta = generator.uniform(*brightness)
    table = np.clip(alpha * np.arange(256) + 255 * beta, 0, 255).astype(np.uint8)
    return table[image]


def shift_rgb(image: Image, generator: np.random.Generator, limit: float) -> Image:
    """Add an independent U(−limit, limit) to each channel."""
    moved = image.astype(np.float32) + generator.uniform(-limit, limit, size=3).astype(np.float32)
    return np.clip(moved, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class PaperAugmentation:
    """The chain of docs/protocol.md#augmentation, in its order; the defaults are the published ones."""

    size: tuple[int, int] = (448, 448)
    scale: tuple[float, float] = (0.75, 1.25)
    flip_probability: float = 0.5
    rotate90_probability: float = 0.5
    shift_rotate_probability: float = 0.75
    shift: float = 0.03
    degrees: float = 3.0
    brightness_contrast_probability: float = 0.75
    contrast: tuple[float, float] = (-0.15, 0.4)
    brightness: tuple[float, float] = (-0.25, 0.25)
    rgb_shift_probability: float = 0.75
    rgb_shift: float = 10.0

    def __call__(self, image: Image, mask: Mask, generator: np.random.Generator) -> tuple[Image, Mask]:
        """Return image ``(*size, 3)`` and mask ``size``."""
        image, mask = random_resize(image, mask, generator, *self.scale)
        if generator.random() < self.flip_probability:
            image, mask = flip(image, mask, generator)
        if generator.random() < self.rotate90_probability:
            image, mask = rotate90(image, mask, generator)
        if generator.random() < self.shift_rotate_probability:
            image, mask = shift_rotate(image, mask, generator, self.shift, self.degrees)
        image, mask = pad_to(image, mask, self.size)
        image, mask = random_crop(image, mask, generator, self.size)
        if generator.random() < self.brightness_contrast_probability:
            image = brightness_contrast(image, generator, self.contrast, self.brightness)
        if generator.random() < self.rgb_shift_probability:
            image = shift_rgb(image, generator, self.rgb_shift)
        return np.ascontiguousarray(image), np.ascontiguousarray(mask)
