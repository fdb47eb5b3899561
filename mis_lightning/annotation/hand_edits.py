"""What is done to an object by hand: brush, polygon, tidy borders, clicks moved or taken away, its size."""

from __future__ import annotations

from dataclasses import replace

from numpy.typing import ArrayLike

from mis_lightning.annotation.actions import Action, GranularityAction, told_granularity
from mis_lightning.annotation.click_origin import MadeClick, with_click_at, without_click
from mis_lightning.annotation.drawn_actions import (
    BrushAction,
    FillAction,
    PolygonAction,
    SmoothAction,
    SpecksAction,
)
from mis_lightning.annotation.object_list import ObjectList
from mis_lightning.annotation.painting import largest_part
from mis_lightning.errors import InputError
from mis_lightning.segmenters.base import check_click
from mis_lightning.segmenters.granularity import check_granularity


class HandEdits(ObjectList):
    """Objects whose last pixels are set by hand.

    Pixels that were set by hand are obeyed as clicks are: answers to later clicks leave them as they are.
    What is said last holds: a stroke takes away the clicks of the other sign below it, and a click takes off
    the connected patch of the other sign that it lies in. A box, a mask or a region starts over.
    """

    def brush(self, points: ArrayLike, radius: float, positive: bool = True) -> None:
        """Paint, or erase, the pixels within ``radius`` of a line.

        Args:
            points: The corners of the line as (row, col) in pixels, ``(N, 2)``, ``1 <= N <= 4096``.
            radius: In pixels, 0.5 to 2048; 0.5 is a line of one pixel.
            positive: Whether they belong; ``False``: an eraser.

        Raises:
            InputError: There is no object, a point is not on the image, or the radius is out of range.
        """
        self._do(BrushAction.of(points, radius, positive, self._steps.shape))

    def polygon(self, points: ArrayLike, positive: bool = True) -> None:
        """Fill a polygon, its border included, or cut it out.

        Args:
            points: Its corners as (row, col) in pixels, ``(N, 2)``, ``3 <= N <= 4096``.
            positive: Whether its pixels belong.

        Raises:
            InputError: There is no object, or a point is not on the image.
        """
        self._do(PolygonAction.of(points, positive, self._steps.shape))

    def smooth_border(self, radius: float = 2.0) -> None:
        """Smooth the border of the active object; what is finer than about ``radius`` pixels goes.

        Raises:
            InputError: There is no object, nothing changes, or the radius is not in 0.5..64.
        """
        self._do(SmoothAction(radius))

    def fill_holes(self) -> None:
        """Fill the holes of the active object, apart from those that a negative click lies in.

        Raises:
            InputError: There is no object, or no hole.
        """
        self._do(FillAction())

    def drop_specks(self, pixels: int | None = None) -> None:
        """Drop the small parts of the active object, apart from those that a positive click lies in.

        Args:
            pixels: Parts of fewer pixels go; ``None``: of less than a tenth of the largest.

        Raises:
            InputError: There is no object, or no such part.
        """
        if pixels is None:
            pixels = -(-largest_part(self._current.moment.mask) // 10)
        self._do(SpecksAction(pixels))

    def move_click(self, index: int, row: float, col: float) -> None:
        """Move a click of the active object; everything after it is answered again, as one step.

        Args:
            index: Of the click among those in effect, as in ``objects[…].clicks``.
            row: In pixels of the image, ``0 <= row < H``.
            col: In pixels of the image, ``0 <= col < W``.

        Raises:
            InputError: There is no such click, it belongs to a box or a region, the place is not on the
                image, or a later action no longer fits; nothing changes.
        """
        click = check_click(row, col, True, self._steps.shape)
        made = self._made_click(index)
        self._edit(with_click_at(self._current.moment.actions, made, click.row, click.col), "moved click")

    def delete_click(self, index: int) -> None:
        """Take a click of the active object away; everything after it is answered again, as one step.

        Args:
            index: Of the click among those in effect, as in ``objects[…].clicks``.

        Raises:
            InputError: As :meth:`move_click`.
        """
        self._edit(without_click(self._current.moment.actions, self._made_click(index)), "deleted click")

    def set_granularity(self, granularity: float | None) -> None:
        """Tell the size of the active object: its clicks are answered again, as one step; later ones keep it.

        What is told several times in a row counts as if only the last had been told. A box, a mask, a region
        or what is carried from another slice starts over without a size.

        Args:
            granularity: In ``[0, 1]``: the object covers ``10 ** (4 * (granularity - 1))`` of the image, 0 a
                ten-thousandth and 1 all of it; ``None``: the clicks alone decide again.

        Raises:
            InputError: There is no object, the value is out of range, or the segmenter takes no size.
        """
        if granularity is not None:
            granularity = check_granularity(granularity)
        actions = self._current.moment.actions
        if granularity == told_granularity(actions):
            return
        if isinstance(actions[-1] if actions else None, GranularityAction):
            actions = actions[:-1]
        if granularity != told_granularity(actions):
            actions = (*actions, GranularityAction(granularity))
        self._edit(actions, "size")

    def _made_click(self, index: int) -> MadeClick:
        made = self._current.moment.made_clicks
        if not 0 <= index < len(made):
            raise InputError(f"Expected a click in 0..{len(made) - 1}, but got {index}.")
        return made[index]

    def _edit(self, actions: tuple[Action, ...], what: str) -> None:
        one = self._current
        with self.step(f"{what} on {one.name}"):
            self._replace(replace(one, moment=one.moment.edited(actions), undone=()))
