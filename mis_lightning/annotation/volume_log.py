"""What the click logs of slices say about the objects of their volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.actions import Action, CarryAction
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.clicks.deepest_pixel import deepest_pixel
from mis_lightning.formats.rle import encode_rle, rle_area

Direction = Literal[-1, 1]
"""Towards smaller or larger numbers of slices."""


class SlicePart(NamedTuple):
    """An object on one slice.

    Attributes:
        slice: Number of the slice.
        area: Pixels of its own mask.
        carried: Whether it was carried there, and not touched since.
        score: How well it fits what was carried, in [0, 1]; 1 where a user has worked on it.
    """

    slice: int
    area: int
    carried: bool
    score: float


class Run(NamedTuple):
    """An object that is carried on.

    Attributes:
        id: Of the object.
        start: The slice that it is carried on from.
        after: Actions of the object on that slice.
        number: Of the run, from 1.
    """

    id: int
    start: int
    after: int
    number: int


class Carried(NamedTuple):
    """What happened on one slice when an object was carried on.

    Attributes:
        slice: Number of the slice.
        score: How well the answer fits what was carried, in [0, 1].
        here: Whether the object is there; ``False``: it has ended before, and the slice was emptied.
    """

    slice: int
    score: float
    here: bool


def carried(run: Run, moved: NDArray[np.bool_]) -> CarryAction:
    """The action that puts an object where it is expected; the score is not known yet."""
    _, row, col = deepest_pixel(moved, np.empty((0, 2), np.int64))
    points = ((float(row), float(col)),) if moved.any() else ()
    return CarryAction(encode_rle(moved), points, run.start, run.after, run.number, 0.0)


def actions_of(record: AnnotationRecord | None, id: int) -> tuple[Action, ...]:
    """What was done to an object on a slice; nothing where it is not there."""
    objects = record.log.objects if record is not None else ()
    return next((one.actions for one in objects if one.id == id), ())


def last_action(record: AnnotationRecord | None, id: int) -> Action | None:
    """The last of these actions, if there is one."""
    actions = actions_of(record, id)
    return actions[-1] if actions else None


def area_of(record: AnnotationRecord | None, id: int) -> int:
    """Pixels of the own mask of an object on a slice; 0 where it is not there."""
    if record is None or id not in record.counts:
        return 0
    return rle_area(record.counts[id])


def run_of(action: Action | None) -> int:
    """Number of the run of an action; 0 where it is of none."""
    return action.run if isinstance(action, CarryAction) else 0


def slices_to_undo(actions: Mapping[int, Action | None], k: int, after: int) -> list[int]:
    """The slices that undo on slice ``k`` is about: of the last run that it is part of, or that began there.

    Args:
        actions: The last action on each slice.
        k: Where the user is.
        after: Actions of the object there.
    """
    runs = [
        one.run
        for j, one in actions.items()
        if isinstance(one, CarryAction) and (j == k or (one.source, one.after) == (k, after))
    ]
    return _of_run(actions, max(runs)) if runs else [k]


def slices_to_redo(actions: Mapping[int, Action | None], k: int, after: int, newest: int) -> list[int]:
    """The slices that redo on slice ``k`` is about: of the first run that was undone last.

    Where a run was undone and a shorter one followed, the slices beyond remember the one that was given up:
    it is not that of the slice nearest to ``k``, or a newer one is done.

    Args:
        actions: What redo would do on each slice.
        k: Where the user is.
        after: Actions of the object there.
        newest: Number of the last run that began there and is done; 0: none.
    """
    runs = [run_of(actions.get(k))] if run_of(actions.get(k)) else []
    for way in (1, -1):
        begun = [
            (abs(j - k), one.run)
            for j, one in actions.items()
            if isinstance(one, CarryAction) and (one.source, one.after) == (k, after) and (j - k) * way > 0
        ]
        runs += [run for _, run in sorted(begun)[:1] if run > newest]
    return _of_run(actions, min(runs)) if runs else [k]


def _of_run(actions: Mapping[int, Action | None], number: int) -> list[int]:
    return [j for j, action in actions.items() if run_of(action) == number]
