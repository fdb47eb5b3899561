"""Zoom-in: crop around the object, map the clicks into the crop and the probabilities back.

Rule: docs/protocol.md#zoom-in.

A region of interest (ROI) has inclusive bounds. Crops are resized to the network's input size without keeping
the aspect ratio, with corners aligned; the map written back is zero outside the ROI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mis_lightning.errors import InputError
from mis_lightning.structures import Click


class ROI(NamedTuple):
    """A box in pixels of the image, all four bounds inclusive."""

    row_min: int
    row_max: int
    col_min: int
    col_max: int

    @property
    def height(self) -> int:
        """Rows, both bounds counted."""
        return self.row_max - self.row_min + 1

    @property
    def width(self) -> int:
        """Columns, both bounds counted."""
        return self.col_max - self.col_min + 1

    @property
    def window(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an image."""
        return slice(self.row_min, self.row_max + 1), slice(self.col_min, self.col_max + 1)

    def holds(self, click: Click) -> bool:
        """Whether the pixel that is clicked lies inside."""
        rows = self.row_min <= click.row < self.row_max + 1
        return rows and self.col_min <= click.col < self.col_max + 1


@dataclass(frozen=True)
class ZoomIn:
    """When and how closely to crop; the defaults are those of the published evaluation.

    Attributes:
        expansion: The crop is this factor larger than the box of the prediction, on each axis.
        min_size: Least height and width of the crop in pixels.
        recompute_iou: A kept ROI is replaced once its box IoU with the candidate falls below this.
        threshold: A pixel belongs to the box where its probability is above this; not tied to the threshold
            of the final mask.
        grow_at_border: Grow the crop where the mask runs into its border (:func:`grow`). Not published.
    """

    expansion: float = 1.4
    min_size: int = 200
    recompute_iou: float = 0.5
    threshold: float = 0.5
    grow_at_border: bool = False

    def __post_init__(self) -> None:
        if not (self.expansion >= 1 and self.min_size >= 1):
            raise InputError(
                "Expected `expansion` >= 1 and `min_size` >= 1, "
                f"but got {self.expansion} and {self.min_size}."
            )
        if not (0 <= self.recompute_iou <= 1 and 0 <= self.threshold < 1):
            raise InputError(
                "Expected `recompute_iou` in [0, 1] and `threshold` in [0, 1), "
                f"but got {self.recompute_iou} and {self.threshold}."
            )

    def to_json(self) -> dict[str, Any]:
        """JSON values, for :meth:`from_json`; what is not published is left out where it is off."""
        content = asdict(self)
        if not self.grow_at_border:
            del content["grow_at_border"]
        return content

    @classmethod
    def from_json(cls, content: Any) -> ZoomIn:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: It is something else.
        """
        try:
            numbers = [value for name, value in content.items() if name != "grow_at_border"]
            if not all(type(number) in (int, float) and abs(number) < 1e9 for number in numbers):
                raise TypeError("its values are not numbers")
            if not isinstance(content.get("grow_at_border", False), bool):
                raise TypeError("`grow_at_border` is neither true nor false")
            return cls(**content)
        except (AttributeError, TypeError) as error:
            raise InputError(f"Expected the zoom-in of a click model, but: {error}.") from error


def full_roi(shape: tuple[int, int]) -> ROI:
    """The whole image of size ``(H, W)``."""
    return ROI(0, shape[0] - 1, 0, shape[1] - 1)


def expand(box: ROI, shape: tuple[int, int], settings: ZoomIn) -> ROI:
    """Grow a box about its centre, round its bounds half to even, clamp them to the image of size ``(H, W)``.

    Rounding outwards from the centre makes the result about one pixel larger than the extent asked for.

    >>> expand(ROI(100, 199, 100, 399), (1000, 1000), ZoomIn())
    ROI(row_min=50, row_max=250, col_min=40, col_max=460)
    """
    rows = _expand_axis(box.row_min, box.row_max, shape[0], settings)
    return ROI(*rows, *_expand_axis(box.col_min, box.col_max, shape[1], settings))


def _expand_axis(low: int, high: int, size: int, settings: ZoomIn) -> tuple[int, int]:
    centre = 0.5 * (low + high)
    extent = max(settings.expansion * (high - low + 1), settings.min_size)
    return max(0, round(centre - 0.5 * extent)), min(size - 1, round(centre + 0.5 * extent))


def box_iou(a: ROI, b: ROI) -> float:
    """Product of the IoUs of the two axes, with inclusive lengths; the union of an axis is the convex hull.

    >>> box_iou(ROI(0, 9, 0, 9), ROI(5, 14, 0, 9))
    0.3333333333333333
    """
    rows = _interval_iou(a.row_min, a.row_max, b.row_min, b.row_max)
    return rows * _interval_iou(a.col_min, a.col_max, b.col_min, b.col_max)


def _interval_iou(a_low: int, a_high: int, b_low: int, b_high: int) -> float:
    intersection = max(0, min(a_high, b_high) - max(a_low, b_low) + 1)
    return intersection / (max(a_high, b_high) - min(a_low, b_low) + 1)


def candidate_roi(
    probability: Tensor | None, clicks: Sequence[Click], shape: tuple[int, int], settings: ZoomIn
) -> ROI:
    """The ROI that the last prediction asks for: the expanded box of object and positive clicks.

    Args:
        probability: Last result, ``(H, W)`` in ``[0, 1]``; ``None`` before the first.
        clicks: All clicks so far, in pixels of the image; the integer part of positive ones joins the box.
        shape: ``(H, W)`` of the image.
        settings: Expansion and threshold.

    Returns:
        The whole image where nothing is predicted yet.
    """
    if probability is None:
        return full_roi(shape)
    # the largest of each row first: several times as fast as `any` over a map of comparisons
    rows = torch.nonzero(probability.amax(dim=1) > settings.threshold).flatten().tolist()
    if not rows:
        return full_roi(shape)
    cols = torch.nonzero(probability.amax(dim=0) > settings.threshold).flatten().tolist()
    rows += [int(click.row) for click in clicks if click.positive]
    cols += [int(click.col) for click in clicks if click.positive]
    return expand(ROI(min(rows), max(rows), min(cols), max(cols)), shape, settings)


def choose_roi(current: ROI | None, candidate: ROI, clicks: Sequence[Click], settings: ZoomIn) -> ROI:
    """Keep the current ROI unless a positive click lies outside it or the candidate differs too much.

    The click test is half open: a click on the last row or column of the ROI counts as outside, although the
    bounds are inclusive (kept from the published evaluation, docs/protocol.md#zoom-in).
    """
    if current is None or box_iou(candidate, current) < settings.recompute_iou:
        return candidate
    for click in clicks:
        inside_rows = current.row_min <= click.row < current.row_max
        inside_cols = current.col_min <= click.col < current.col_max
        if click.positive and not (inside_rows and inside_cols):
            return candidate
    return current


def touches_border(probability: Tensor, roi: ROI, shape: tuple[int, int], settings: ZoomIn) -> bool:
    """Whether a mask runs into a side of its ROI that is not a side of the image.

    Along a side, the outermost rows (columns) count, 1 % of the ROI's and at least one; the mask runs into it
    where it covers 2 % of the side there, so that a speck does not count.

    Args:
        probability: The answer, ``(H, W)`` in ``[0, 1]``, zero outside the ROI.
        roi: Where it was asked for.
        shape: ``(H, W)`` of the image.
        settings: Threshold of the mask.

    >>> answer = torch.zeros(100, 100)
    >>> answer[20:50, 30:60] = 1
    >>> touches_border(answer, ROI(10, 60, 20, 80), (100, 100), ZoomIn())
    False
    >>> touches_border(answer, ROI(10, 60, 20, 59), (100, 100), ZoomIn())
    True
    """
    (top, bottom, left, right), (height, width) = roi, shape
    deep, wide = max(1, roi.height // 100), max(1, roi.width // 100)
    inner = probability[top : bottom + 1, left : right + 1]
    sides = (
        (top > 0, inner[:deep].amax(dim=0)),
        (bottom < height - 1, inner[-deep:].amax(dim=0)),
        (left > 0, inner[:, :wide].amax(dim=1)),
        (right < width - 1, inner[:, -wide:].amax(dim=1)),
    )
    return any(inside and int((side > settings.threshold).sum()) > 0.02 * len(side) for inside, side in sides)


def grow(
    current: ROI, probability: Tensor, clicks: Sequence[Click], shape: tuple[int, int], settings: ZoomIn
) -> ROI:
    """The ROI that shows all of a mask which runs into the border of the current one.

    The published rule (:func:`choose_roi`) keeps a crop that the mask fills: the box of the mask, expanded,
    is then not unlike the crop. The object is cut off in a straight line until a click lands outside. Here
    the crop becomes the hull of itself and the box of the mask, expanded, so it grows on the sides that the
    mask reaches and stays on the others.

    Args:
        current: The ROI of the answer.
        probability: The answer, ``(H, W)`` in ``[0, 1]``, zero outside the ROI.
        clicks: All clicks so far, in pixels of the image.
        shape: ``(H, W)`` of the image.
        settings: Expansion and threshold.

    Returns:
        A larger ROI, or ``current`` itself where the mask does not run into its border.

    >>> answer = torch.zeros(100, 100)
    >>> answer[20:50, 30:60] = 1
    >>> grow(ROI(10, 60, 20, 59), answer, [], (100, 100), ZoomIn(min_size=32))
    ROI(row_min=10, row_max=60, col_min=20, col_max=66)
    """
    if not touches_border(probability, current, shape, settings):
        return current
    wanted = candidate_roi(probability, clicks, shape, settings)
    return ROI(
        min(current.row_min, wanted.row_min),
        max(current.row_max, wanted.row_max),
        min(current.col_min, wanted.col_min),
        max(current.col_max, wanted.col_max),
    )


def next_roi(
    current: ROI | None,
    probability: Tensor | None,
    clicks: Sequence[Click],
    shape: tuple[int, int],
    settings: ZoomIn | None,
) -> ROI:
    """Where to look at the next answer; the whole image without ``settings``.

    Args are those of :func:`candidate_roi`, and the ROI of the last answer.
    """
    if settings is None:
        return full_roi(shape)
    roi = choose_roi(current, candidate_roi(probability, clicks, shape, settings), clicks, settings)
    if settings.grow_at_border and probability is not None and roi == current:
        return grow(roi, probability, clicks, shape, settings)
    return roi


def crop(maps: Tensor, roi: ROI, size: tuple[int, int]) -> Tensor:
    """Cut the ROI out and resize it bilinearly with aligned corners.

    Args:
        maps: ``(C, H, W)``; uint8 is read as ``value / 255``, float as it is.
        roi: Inside the image.
        size: ``(height, width)`` of the result.

    Returns:
        Float32, ``(C, height, width)``. Only the ROI is converted to float, never the whole image.

    The published code resizes image and previous mask as one map of four channels. For three, PyTorch has
    another kernel, whose results differ by up to 1.8e-7; so an image gets a fourth channel for the while, and
    may be resized apart from the mask.
    """
    rows, cols = roi.window
    part = maps[:, rows, cols]
    four = torch.zeros(max(len(part), 4) if len(part) > 1 else 1, *part.shape[1:], device=part.device)
    four[: len(part)] = part
    if part.dtype == torch.uint8:
        four /= 255
    return functional.interpolate(four[None], size=size, mode="bilinear", align_corners=True)[0, : len(part)]


def paste(probability: Tensor, roi: ROI, shape: tuple[int, int]) -> Tensor:
    """The inverse of :func:`crop` for a probability map: resize ``(h, w)`` to the ROI, zero elsewhere.

    Returns:
        Float32, ``(H, W)`` = ``shape``.
    """
    return paste_within(probability, roi, full_roi(shape))


def paste_within(probability: Tensor, roi: ROI, window: ROI) -> Tensor:
    """The part of :func:`paste` in a window of the image, float32, ``(height, width)`` of the window."""
    inside = functional.interpolate(
        probability[None, None], size=(roi.height, roi.width), mode="bilinear", align_corners=True
    )[0, 0]
    if window == roi:
        return inside
    part = probability.new_zeros(window.height, window.width)
    top, left = max(roi.row_min, window.row_min), max(roi.col_min, window.col_min)
    bottom, right = min(roi.row_max, window.row_max) + 1, min(roi.col_max, window.col_max) + 1
    if top < bottom and left < right:
        there, here = (
            np.s_[top - one.row_min : bottom - one.row_min, left - one.col_min : right - one.col_min]
            for one in (window, roi)
        )
        part[there] = inside[here]
    return part


def to_crop(click: Click, roi: ROI, size: tuple[int, int]) -> Click:
    """A click in pixels of the resized crop: fractional, without a half-pixel term, also when outside.

    >>> to_crop(Click(30, 10, True), ROI(20, 39, 20, 39), (448, 448))
    Click(row=224.0, col=-224.0, positive=True)
    """
    return Click(
        size[0] * (click.row - roi.row_min) / roi.height,
        size[1] * (click.col - roi.col_min) / roi.width,
        click.positive,
    )


def in_roi(clicks: Sequence[Click], roi: ROI) -> list[Click]:
    """Clicks in pixels of the ROI, also those outside it.

    >>> in_roi([Click(30, 10, True)], ROI(20, 39, 20, 39))
    [Click(row=10, col=-10, positive=True)]
    """
    return [c._replace(row=c.row - roi.row_min, col=c.col - roi.col_min) for c in clicks]
