"""Lessons: what one accepted object teaches, and the views of it that a network practises on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, log

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.clicks.encoding import pack_points
from mis_lightning.clicks.initial import SAMPLED_ORDER, InitialPoints
from mis_lightning.data.augment import brightness_contrast, recolour, shift_rgb
from mis_lightning.errors import InputError
from mis_lightning.mask_box import mask_box
from mis_lightning.segmenters.base import check_image
from mis_lightning.segmenters.zoom_in import ROI, crop, to_crop
from mis_lightning.structures import Click

SURROUND = 6.0
"""A lesson shows this many times the longer side of its object."""
MAX_SIDE = 512
"""Longest side of a lesson's image, in pixels; larger ones are made smaller."""
_LEAST = 64  # pixels of the image around a small object
_MAX_POINTS = 24
_POINTS = InitialPoints(max_points=_MAX_POINTS, gamma=0.5, erode_iterations=1)


@dataclass(frozen=True)
class Lesson:
    """One accepted object with its surroundings.

    Attributes:
        image: RGB, uint8, ``(h, w, 3)``.
        mask: The object, bool, ``(h, w)``; it has pixels.
        clicks: Of the user, in pixels of ``image``, in their order; there may be none.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    clicks: tuple[Click, ...] = ()

    @classmethod
    def of(cls, image: NDArray[np.uint8], mask: NDArray[np.bool_], clicks: Sequence[Click] = ()) -> Lesson:
        """Cut a lesson out of an image.

        Args:
            image: RGB, uint8, ``(H, W, 3)``.
            mask: The accepted object, bool, ``(H, W)``.
            clicks: The clicks that led to it, in pixels of the image.

        Raises:
            InputError: The mask is empty or does not fit the image.
        """
        check_image(image)
        if mask.dtype != np.bool_ or mask.shape != image.shape[:2] or not mask.any():
            raise InputError(
                f"Expected a mask to learn from, bool {image.shape[:2]} and not empty, "
                f"but got {mask.dtype} {mask.shape} with {np.count_nonzero(mask)} pixels."
            )
        rows, cols = _bounds(mask)
        side = max(SURROUND * max(rows[1] - rows[0], cols[1] - cols[0]), _LEAST)
        top, bottom = _around(rows, side, mask.shape[0])
        left, right = _around(cols, side, mask.shape[1])
        part, inside = image[top:bottom, left:right], mask[top:bottom, left:right]
        shrink = min(1.0, MAX_SIDE / max(inside.shape))
        if shrink < 1:
            size = (max(1, round(inside.shape[1] * shrink)), max(1, round(inside.shape[0] * shrink)))
            part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
            share = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            inside = share > min(0.5, float(share.max()) / 2)
        height, width = bottom - top, right - left
        moved = [
            to_crop(click, ROI(top, bottom - 1, left, right - 1), inside.shape)
            for click in clicks
            if top <= click.row < top + height and left <= click.col < left + width
        ]
        return cls(np.ascontiguousarray(part), np.ascontiguousarray(inside), tuple(moved))


@dataclass(frozen=True)
class Views:
    """How a network is shown lessons: as first looks and later crops will show objects.

    Attributes:
        look_share: Share of views that are square windows around a click; the others are boxes of the object.
        look: Range of a window's side, in longer sides of the object.
        box: Range of a box's sides, in sides of the object, each on its own.
        jitter: A box moves by up to this share of the object's sides.
        least: Least side of a view, in pixels of the lesson.
        colour: Share of views with another brightness, contrast and colour.
        replayed: Share of views that begin with clicks of the user, where there are any.
        points: Begins the others.
    """

    look_share: float = 0.5
    look: tuple[float, float] = (1.1, 5.0)
    box: tuple[float, float] = (1.1, 1.9)
    jitter: float = 0.15
    least: int = 24
    colour: float = 0.5
    replayed: float = 0.5
    points: InitialPoints = _POINTS

    def draw(
        self, lesson: Lesson, size: tuple[int, int], generator: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one view.

        Args:
            lesson: What is shown.
            size: ``(height, width)`` of the network's input.
            generator: Decides everything random.

        Returns:
            The image, float32 ``(3, height, width)`` in ``[0, 1]``, the mask, bool ``(1, height, width)``,
            and the points to begin with, float32 ``(2K, 3)``.
        """
        roi = self._roi(lesson, generator)
        pixels = lesson.image
        if generator.random() < self.colour:
            brighter = brightness_contrast(generator, (-0.2, 0.25), (-0.1, 0.1))
            pixels = recolour(pixels, brighter, shift_rgb(generator, 10.0))
        view = crop(_planes(pixels), roi, size)
        mask = crop(torch.from_numpy(lesson.mask)[None].float(), roi, size) > 0.5
        clicks = [to_crop(click, roi, size) for click in lesson.clicks]
        clicks = [c for c in clicks if 0 <= c.row < size[0] and 0 <= c.col < size[1]]
        for axis in (1, 2):
            if generator.random() < 0.5:
                view, mask = view.flip(axis), mask.flip(axis)
                clicks = [_mirrored(click, axis, size) for click in clicks]
        if clicks and clicks[0].positive and generator.random() < self.replayed:
            count = 1 + int(generator.integers(min(len(clicks), 4)))
            points = pack_points([clicks[:count]], _MAX_POINTS)[0].float()
            points[points[:, 2] >= 0, 2] = SAMPLED_ORDER
        else:
            points = torch.from_numpy(self.points(mask[0].numpy(), generator))
        return view, mask, points

    def _roi(self, lesson: Lesson, generator: np.random.Generator) -> ROI:
        rows, cols = _bounds(lesson.mask)
        extents = rows[1] - rows[0], cols[1] - cols[0]
        middles: list[float] = [sum(rows) / 2, sum(cols) / 2]
        if generator.random() < self.look_share:
            side = max(extents) * exp(generator.uniform(log(self.look[0]), log(self.look[1])))
            sides: tuple[float, ...] = (side, side)
            if lesson.clicks and lesson.clicks[0].positive and generator.random() < self.replayed:
                middles = [lesson.clicks[0].row, lesson.clicks[0].col]
        else:
            sides = tuple(extent * generator.uniform(*self.box) for extent in extents)
        bounds: list[int] = []
        for middle, side, extent, most in zip(middles, sides, extents, lesson.mask.shape, strict=True):
            length = min(most, max(self.least, ceil(side)))
            at = middle + generator.uniform(-self.jitter, self.jitter) * extent
            first = min(max(0, round(at - length / 2)), most - length)
            bounds += [first, first + length - 1]
        return ROI(*bounds)


def _planes(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))


def _mirrored(click: Click, axis: int, size: tuple[int, int]) -> Click:
    if axis == 1:
        return click._replace(row=size[0] - click.row - 1)
    return click._replace(col=size[1] - click.col - 1)


def _bounds(mask: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    """First row and the one after the last, and the same of the columns."""
    rows, cols = mask_box(mask)
    return (rows.start, rows.stop), (cols.start, cols.stop)


def _around(bounds: tuple[int, int], side: float, most: int) -> tuple[int, int]:
    middle = sum(bounds) / 2
    return max(0, int(middle - side / 2)), min(most, ceil(middle + side / 2))
