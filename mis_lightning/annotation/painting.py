"""Masks by hand: what a brush and a polygon cover, smooth borders, holes and specks.

All results are exact in whole numbers, so that a log replays to the bit on any machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mis_lightning.structures import Click

Points = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Paint:
    """Pixels that were set by hand. Answers to later clicks leave them as they are.

    Attributes:
        inside: Those that belong, bool, ``(H, W)``.
        outside: Those that do not.
    """

    inside: NDArray[np.bool_]
    outside: NDArray[np.bool_]

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Paint:
        """Nothing is set, on an image of size ``(H, W)``."""
        return cls(np.zeros(shape, np.bool_), np.zeros(shape, np.bool_))

    def over(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask that obeys it."""
        return (mask | self.inside) & ~self.outside

    def painted(self, drawn: NDArray[np.bool_], positive: bool) -> Paint:
        """What is set after more pixels are."""
        if positive:
            return Paint(self.inside | drawn, self.outside & ~drawn)
        return Paint(self.inside & ~drawn, self.outside | drawn)

    def lifted(self, clicks: Iterable[Click]) -> Paint:
        """What is set after clicks: each takes off the patch of the other sign that it lies in."""
        inside, outside = self.inside, self.outside
        for click in clicks:
            if click.positive:
                outside = _parts_without(outside, [click], connectivity=4)
            else:
                inside = _parts_without(inside, [click], connectivity=4)
        return Paint(inside, outside)


def simplified(points: Points) -> tuple[tuple[int, int], ...]:
    """The corners of a line that matter: those left out are within half a pixel of the rest.

    Args:
        points: (row, col) in pixels, at least one.
    """
    line = cv2.approxPolyDP(_as_contour(points), 0.5, closed=False)
    return tuple((int(row), int(col)) for col, row in line[:, 0])


def brush_mask(points: Points, radius: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels within ``radius`` of a line, bool, ``(H, W)``.

    Args:
        points: The corners of the line as (row, col) in pixels; one makes a disc.
        radius: In pixels, from the middles of pixels; 0.5 is a line of one pixel.
        shape: ``(H, W)``.
    """
    ends = points if len(points) > 1 else [*points, *points]  # OpenCV draws no line of one point
    corners, margin = np.asarray(ends), int(radius) + 2
    first = np.maximum(corners.min(0) - margin, 0)
    last = np.minimum(corners.max(0) + margin + 1, shape)
    apart = np.full(last - first, 255, np.uint8)
    cv2.polylines(apart, [_as_contour(corners - first)], isClosed=False, color=0)
    mask = np.zeros(shape, np.bool_)
    distance = cv2.distanceTransform(apart, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    mask[first[0] : last[0], first[1] : last[1]] = distance <= np.float32(radius)
    return mask


def polygon_mask(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels inside a polygon and on its border, bool, ``(H, W)``."""
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [_as_contour(points)], 1)
    return canvas.astype(np.bool_)


def smooth_border(mask: NDArray[np.bool_], radius: float, clicks: Sequence[Click] = ()) -> NDArray[np.bool_]:
    """A mask without what is finer than about ``radius`` pixels: blurred with that sigma, above one half.

    Clicked pixels stay what they were.
    """
    # 8 bits: OpenCV blurs these in whole numbers
    blurred = cv2.GaussianBlur(255 * mask.astype(np.uint8), (0, 0), radius, borderType=cv2.BORDER_REPLICATE)
    smooth: NDArray[np.bool_] = blurred > 127
    for click in clicks:
        at = int(click.row), int(click.col)
        smooth[at] = mask[at]
    return smooth


def fill_holes(mask: NDArray[np.bool_], clicks: Sequence[Click] = ()) -> NDArray[np.bool_]:
    """A mask without holes, apart from those that a negative click lies in."""
    holes = ndimage.binary_fill_holes(mask) & ~mask
    return mask | _parts_without(holes, [click for click in clicks if not click.positive], connectivity=4)


def drop_specks(mask: NDArray[np.bool_], pixels: int, clicks: Sequence[Click] = ()) -> NDArray[np.bool_]:
    """A mask without its parts of less than ``pixels`` pixels, unless a positive click lies in them."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] < pixels
    small[0] = False  # what is around the parts
    small[[labels[int(click.row), int(click.col)] for click in clicks if click.positive]] = False
    return mask & ~small[labels]


def largest_part(mask: NDArray[np.bool_]) -> int:
    """Pixels of the largest part of a mask; 0 for an empty one."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))


def _parts_without(
    mask: NDArray[np.bool_], clicks: Sequence[Click], *, connectivity: int
) -> NDArray[np.bool_]:
    """The parts of a mask that no click lies in."""
    hit = [click for click in clicks if mask[int(click.row), int(click.col)]]
    if not hit:
        return mask
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity)
    return mask & ~np.isin(labels, [labels[int(click.row), int(click.col)] for click in hit])


def _as_contour(points: Points | NDArray[np.integer]) -> NDArray[np.int32]:
    """Points (row, col) as OpenCV takes them, (x, y), int32, ``(N, 1, 2)``."""
    contour: NDArray[np.int32] = np.asarray(points, np.int32)[:, None, ::-1]
    return np.ascontiguousarray(contour)
