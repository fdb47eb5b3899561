"""The label map of the objects of a session, painted again only where they change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mis_lightning.annotation.log import MAX_OBJECTS
from mis_lightning.annotation.tracked_object import Moment
from mis_lightning.formats.overlap import Overlap, paint
from mis_lightning.mask_box import common_box

MOST_CHANGED = 8
"""With more objects that change the whole map is painted."""


class PaintedLabels:
    """A label map that follows the objects. A click changes one of hundreds, in a small part of the image.

    Args:
        shape: ``(H, W)``.

    Attributes:
        labels: The ids, uint16, ``(H, W)``, 0 where there is no object; changes with :meth:`follow`.
        areas: Pixels of each id, int64, ``(65536,)``; likewise.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.labels = np.zeros(shape, np.uint16)
        self.areas = np.zeros(MAX_OBJECTS + 1, np.int64)
        self.areas[0] = self.labels.size
        self._moments: dict[int, Moment] = {}
        self._policy: Overlap | None = None

    def follow(self, moments: Mapping[int, Moment], policy: Overlap) -> None:
        """Paint objects, by id, in the order they were made; ``policy`` says who gets what several want."""
        before, now = self._moments, dict(moments)
        gone = [one for number, one in before.items() if now.get(number) is not one]
        new = [one for number, one in now.items() if before.get(number) is not one]
        in_order = [number for number in before if number in now] == [n for n in now if n in before]
        if policy != self._policy or not in_order or len(new) > MOST_CHANGED or len(gone) > MOST_CHANGED:
            region = (slice(None), slice(None))
        elif gone or new:
            region = common_box(one.boxed for one in (*gone, *new))
        else:
            return
        for one in gone:
            if one not in now.values():
                one.pack(shown=False)  # its mask was made for this
        part = self.labels[region]
        wanted = ((number, one.boxed.within(region)) for number, one in now.items())
        painted = paint(wanted, (part.shape[0], part.shape[1]), policy)
        count = len(self.areas)
        self.areas += np.bincount(painted.ravel(), minlength=count)
        self.areas -= np.bincount(part.ravel(), minlength=count)
        part[:] = painted
        self._moments, self._policy = now, policy
