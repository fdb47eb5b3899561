"""The actions by hand: brush and polygon set pixels, the others make a mask tidier as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mis_lightning.annotation.painting import (
    brush_mask,
    drop_specks,
    fill_holes,
    polygon_mask,
    simplified,
    smooth_border,
)
from mis_lightning.annotation.positions import number, whole_pixels
from mis_lightning.errors import InputError
from mis_lightning.structures import Click

MIN_RADIUS, MAX_RADIUS, MAX_SMOOTHING = 0.5, 2048.0, 64.0
"""Of a brush, and of smoothing, in pixels."""


@dataclass(frozen=True)
class BrushAction:
    """A stroke of a brush, or of an eraser. Its pixels are obeyed as a click is.

    Attributes:
        points: The corners of the line as (row, col), in whole pixels.
        radius: Half the width of the line, in pixels.
        positive: Whether its pixels belong.
    """

    points: tuple[tuple[int, int], ...]
    radius: float
    positive: bool = True
    kind: ClassVar[str] = "brush"

    @classmethod
    def of(cls, points: ArrayLike, radius: float, positive: bool, shape: tuple[int, int]) -> BrushAction:
        """A stroke along any points on an image of size ``(H, W)``; those that do not matter are left out."""
        return cls(simplified(whole_pixels(points, shape, least=1)), number(radius), bool(positive))

    def drawn(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Its pixels, bool, of size ``(H, W)``."""
        if not MIN_RADIUS <= number(self.radius) <= MAX_RADIUS:
            raise InputError(
                f"Expected the radius of a brush in {MIN_RADIUS}..{MAX_RADIUS} pixels, but got {self.radius}."
            )
        return brush_mask(whole_pixels(self.points, shape, least=1), self.radius, shape)


@dataclass(frozen=True)
class PolygonAction:
    """A polygon that is filled, or cut out; obeyed as :class:`BrushAction` is.

    Attributes:
        points: Its corners as (row, col), in whole pixels.
        positive: Whether its pixels belong.
    """

    points: tuple[tuple[int, int], ...]
    positive: bool = True
    kind: ClassVar[str] = "polygon"

    @classmethod
    def of(cls, points: ArrayLike, positive: bool, shape: tuple[int, int]) -> PolygonAction:
        """A polygon of corners on an image of size ``(H, W)``."""
        return cls(whole_pixels(points, shape, least=3), bool(positive))

    def drawn(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Its pixels, bool, of size ``(H, W)``."""
        return polygon_mask(whole_pixels(self.points, shape, least=3), shape)


@dataclass(frozen=True)
class SmoothAction:
    """A smoother border: what is finer than about ``radius`` pixels goes."""

    radius: float
    kind: ClassVar[str] = "smooth"

    def changed(self, mask: NDArray[np.bool_], clicks: Sequence[Click]) -> NDArray[np.bool_]:
        """The mask with a smooth border."""
        if not MIN_RADIUS <= number(self.radius) <= MAX_SMOOTHING:
            raise InputError(
                f"Expected the radius of smoothing in {MIN_RADIUS}..{MAX_SMOOTHING} pixels, "
                f"but got {self.radius}."
            )
        return smooth_border(mask, self.radius, clicks)


@dataclass(frozen=True)
class FillAction:
    """Holes are filled, unless they were clicked away."""

    kind: ClassVar[str] = "fill"

    def changed(self, mask: NDArray[np.bool_], clicks: Sequence[Click]) -> NDArray[np.bool_]:
        """The mask without holes."""
        return fill_holes(mask, clicks)


@dataclass(frozen=True)
class SpecksAction:
    """Parts of less than ``pixels`` pixels go, unless they were clicked on."""

    pixels: int
    kind: ClassVar[str] = "specks"

    def changed(self, mask: NDArray[np.bool_], clicks: Sequence[Click]) -> NDArray[np.bool_]:
        """The mask without specks."""
        return drop_specks(mask, self.pixels, clicks)


DrawnAction = BrushAction | PolygonAction
"""By hand: pixels that are named."""
TidyAction = SmoothAction | FillAction | SpecksAction
"""By hand: a mask is made tidier as a whole."""


def takes_away(action: DrawnAction, drawn: NDArray[np.bool_], click: Click) -> bool:
    """Whether a click is of the other sign and covered: what was said last about a pixel holds.

    Args:
        action: A brush or a polygon.
        drawn: Its pixels, bool, ``(H, W)``.
        click: An earlier click.
    """
    return click.positive != action.positive and bool(drawn[int(click.row), int(click.col)])
