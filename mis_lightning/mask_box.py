"""The box of a mask, and a mask that is kept as its box."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def mask_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of the smallest part that holds all pixels of a mask.

    Args:
        mask: bool, ``(H, W)``.

    Returns:
        Two slices of whole numbers; both ``slice(0, 0)`` where the mask is empty.
    """
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


@dataclass(frozen=True, eq=False)
class BoxedMask:
    """A mask without the empty rows and columns around it: an object of a large image takes what it covers.

    Attributes:
        inside: The pixels of the box, bool, ``(h, w)``.
        box: Its rows and columns.
        shape: ``(H, W)`` of the mask.
    """

    inside: NDArray[np.bool_]
    box: tuple[slice, slice]
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> BoxedMask:
        """Cut a mask, bool, ``(H, W)``, to its box; the mask itself is not kept."""
        box = mask_box(mask)
        return cls(mask[box].copy(), box, (mask.shape[0], mask.shape[1]))

    @property
    def area(self) -> int:
        """Its pixels."""
        return int(np.count_nonzero(self.inside))

    def within(self, region: tuple[slice, slice]) -> BoxedMask:
        """What lies in some rows and columns, as a mask of their size; it shares its pixels with this one.

        Args:
            region: Slices as :func:`mask_box` gives them, or ``slice(None)`` for all.
        """
        ends = [one.indices(side)[:2] for one, side in zip(region, self.shape, strict=True)]
        kept = [
            (max(first, one.start), max(min(last, one.stop), first, one.start))
            for (first, last), one in zip(ends, self.box, strict=True)
        ]
        own = [slice(a - one.start, b - one.start) for (a, b), one in zip(kept, self.box, strict=True)]
        moved = [slice(a - first, b - first) for (a, b), (first, _) in zip(kept, ends, strict=True)]
        height, width = (last - first for first, last in ends)
        return BoxedMask(self.inside[own[0], own[1]], (moved[0], moved[1]), (height, width))

    def whole(self) -> NDArray[np.bool_]:
        """The mask, bool, ``(H, W)``; a new one each time."""
        mask = np.zeros(self.shape, np.bool_)
        mask[self.box] = self.inside
        return mask


def common_box(masks: Iterable[BoxedMask]) -> tuple[slice, slice]:
    """The smallest box that holds those of some masks; both ``slice(0, 0)`` where all are empty."""
    boxes = [one.box for one in masks if one.inside.size]
    if not boxes:
        return slice(0, 0), slice(0, 0)
    rows, cols = zip(*boxes, strict=True)
    return (
        slice(min(one.start for one in rows), max(one.stop for one in rows)),
        slice(min(one.start for one in cols), max(one.stop for one in cols)),
    )
