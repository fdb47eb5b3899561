"""The paper's augmentation of image and region in the loader, one function per transform.

Rule: docs/protocol.md#augmentation.

Every function takes and returns an image, uint8 ``(H, W, 3)``, and a mask, bool ``(H, W)``; images are
resampled bilinearly, masks by nearest neighbour. Scale, shift and rotation are one resampling, and what the
crop will not show is not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Levels = NDArray[np.uint8]
"""What each level of each channel becomes, ``(256, 3)``."""


class Motion(NamedTuple):
    """Where an image goes within a frame.

    Attributes:
        frame: ``(height, width)``.
        matrix: ``(2, 3)``, float64: from ``(col, row, 1)`` of the image to ``(col, row)`` of the frame.
    """

    frame: tuple[int, int]
    matrix: NDArray[np.float64]


def resize(image: Image, mask: Mask, scale: float) -> tuple[Image, Mask]:
    """Scale both sides by one factor; sizes round half to even."""
    height, width = scaled(mask, scale)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    region = _changed(mask, lambda flat: cv2.resize(flat, (width, height), interpolation=cv2.INTER_NEAREST))
    return np.asarray(resized, np.uint8), region


def scaled(mask: Mask, scale: float) -> tuple[int, int]:
    """``(height, width)`` of a mask scaled by one factor, at least 1; rounds half to even."""
    height, width = (max(1, round(side * scale)) for side in mask.shape)
    return height, width


def flip(image: Image, mask: Mask, generator: np.random.Generator) -> tuple[Image, Mask]:
    """Flip vertically, horizontally or both ways, each a third of the time."""
    axis = (0, 1, -1)[generator.integers(3)]
    return np.asarray(cv2.flip(image, axis), np.uint8), _changed(mask, lambda flat: cv2.flip(flat, axis))


def rotate90(image: Image, mask: Mask, generator: np.random.Generator) -> tuple[Image, Mask]:
    """Rotate counter-clockwise by 0, 90, 180 or 270 degrees."""
    quarter_turns = int(generator.integers(4))
    if quarter_turns == 0:
        return image, mask
    turn = (cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)[quarter_turns - 1]
    return np.asarray(cv2.rotate(image, turn), np.uint8), _changed(mask, lambda flat: cv2.rotate(flat, turn))


def shift_rotation(
    mask: Mask, scale: float, generator: np.random.Generator, shift: float, degrees: float
) -> Motion:
    """Scale, then shift by up to ``shift`` of each side and rotate about the middle of the frame.

    Args:
        mask: Of the image.
        scale: Of both sides; the frame is as large as the scaled image.
        generator: Draws the angle, then the shifts of columns and rows.
        shift: Share of each side.
        degrees: Largest angle, counter-clockwise.
    """
    height, width = scaled(mask, scale)
    angle = generator.uniform(-degrees, degrees)
    dx, dy = generator.uniform(-shift, shift, size=2)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    matrix[:, 2] += (dx * width, dy * height)
    across, down = width / mask.shape[1], height / mask.shape[0]
    grown = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    return Motion((height, width), np.asarray(matrix @ grown, np.float64))


def pad_and_crop(
    image: Image,
    mask: Mask,
    generator: np.random.Generator,
    size: tuple[int, int],
    motion: Motion | None = None,
) -> tuple[Image, Mask]:
    """Move, pad with black and background to at least ``size``, and cut ``size`` out at a uniform place.

    Half of the padding, rounded down, is above and left. Within the frame of a motion, what lies outside the
    image is black background, too; beyond the frame nothing of the image is seen.

    Args:
        image: ``(H, W, 3)``.
        mask: ``(H, W)``.
        generator: Draws the places along rows and columns.
        size: ``(height, width)`` of what is cut out.
        motion: From :func:`shift_rotation`.
    """
    frame = mask.shape if motion is None else motion.frame
    starts = []  # in the frame; negative where there is padding
    for side, wanted in zip(frame, size, strict=True):
        padding = max(0, wanted - side)
        starts.append(int((side + padding - wanted) * generator.random()) - padding // 2)
    first = [max(0, start) for start in starts]
    last = [min(start + wanted, side) for start, wanted, side in zip(starts, size, frame, strict=True)]
    if motion is None:
        window = (slice(first[0], last[0]), slice(first[1], last[1]))
        image, mask = image[window], mask[window]
    else:
        moved = motion.matrix - np.array([[0.0, 0.0, first[1]], [0.0, 0.0, first[0]]])
        seen = (last[1] - first[1], last[0] - first[0])
        image = np.asarray(cv2.warpAffine(image, moved, seen, flags=cv2.INTER_LINEAR), np.uint8)
        mask = _changed(mask, lambda flat: cv2.warpAffine(flat, moved, seen, flags=cv2.INTER_NEAREST))
    above, left = first[0] - starts[0], first[1] - starts[1]
    widths = ((above, size[0] - mask.shape[0] - above), (left, size[1] - mask.shape[1] - left))
    if not any(map(any, widths)):
        return image, mask
    return np.pad(image, (*widths, (0, 0))), np.pad(mask, widths)


def _changed(mask: Mask, change: Callable[[NDArray[np.uint8]], object]) -> Mask:
    """A mask after what OpenCV, which knows no bool, does to it as 0 and 1."""
    return np.asarray(change(np.ascontiguousarray(mask).view(np.uint8)), np.uint8).view(np.bool_)


def brightness_contrast(
    generator: np.random.Generator,
    contrast: tuple[float, float],
    brightness: tuple[float, float],
) -> Levels:
    """Map values ``v`` to ``α·v + 255·β`` with α − 1 and β uniform in the given ranges."""
    alpha = 1 + generator.uniform(*contrast)
    beta = generator.uniform(*brightness)
    return _levels((alpha * np.arange(256) + 255 * beta)[:, None].repeat(3, axis=1))


def shift_rgb(generator: np.random.Generator, limit: float) -> Levels:
    """Add an independent U(−limit, limit) to each channel."""
    shifts = generator.uniform(-limit, limit, size=3).astype(np.float32)
    return _levels(np.arange(256, dtype=np.float32)[:, None] + shifts)


def _levels(values: NDArray[np.floating]) -> Levels:
    """Cut off to 0 … 255, and rounded down."""
    return np.clip(values, 0, 255).astype(np.uint8)


def recolour(image: Image, *changes: Levels) -> Image:
    """Replace the levels of each channel, by one table after the other."""
    if not changes:
        return image
    table = changes[0]
    for change in changes[1:]:
        table = np.take_along_axis(change, table.astype(np.intp), axis=0)
    return np.asarray(cv2.LUT(np.ascontiguousarray(image), table[None]), np.uint8)


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
        scale = generator.uniform(*self.scale)
        if generator.random() < self.flip_probability:
            image, mask = flip(image, mask, generator)
        if generator.random() < self.rotate90_probability:
            image, mask = rotate90(image, mask, generator)
        motion = None
        if generator.random() < self.shift_rotate_probability:
            motion = shift_rotation(mask, scale, generator, self.shift, self.degrees)
        else:
            image, mask = resize(image, mask, scale)
        image, mask = pad_and_crop(image, mask, generator, self.size, motion)
        changes = []
        if generator.random() < self.brightness_contrast_probability:
            changes.append(brightness_contrast(generator, self.contrast, self.brightness))
        if generator.random() < self.rgb_shift_probability:
            changes.append(shift_rgb(generator, self.rgb_shift))
        return np.ascontiguousarray(recolour(image, *changes)), np.ascontiguousarray(mask)
