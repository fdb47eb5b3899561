"""The objects of one image: create, select, rename, classify, delete, undo, redo and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.actions import Action, told_granularity
from mis_lightning.annotation.log import MAX_OBJECTS, ClickLog, check_name
from mis_lightning.annotation.object_history import ObjectHistory, Objects
from mis_lightning.annotation.painted_labels import PaintedLabels
from mis_lightning.annotation.steps import ImageSteps
from mis_lightning.annotation.tracked_object import Moment, TrackedObject
from mis_lightning.errors import InputError
from mis_lightning.formats.overlap import Overlap, check_overlap
from mis_lightning.structures import Click

_WORDS = {"level": "region", "look": "other answer", "granularity": "size"}
_WORDS |= {"fill": "filled holes", "specks": "dropped specks"}


@dataclass(frozen=True)
class ObjectInfo:
    """Facts about an object.

    Attributes:
        id: Its label in the label map, from 1; that of a deleted object is not used again.
        name: As the user calls it.
        category: Its class; ``None``: none was chosen.
        clicks: The clicks in effect, in order.
        n_actions: Actions in effect.
        area: Pixels of its mask.
        granularity: The size that was told of it, in ``[0, 1]``; ``None``: none was.
    """

    id: int
    name: str
    category: str | None
    clicks: tuple[Click, ...]
    n_actions: int
    area: int
    granularity: float | None = None


class ObjectList(ObjectHistory):
    """The objects of one image.

    Args:
        steps: Do the actions on them.
        overlap: How overlaps between objects are resolved.
    """

    def __init__(self, steps: ImageSteps, overlap: Overlap) -> None:
        super().__init__()
        self._steps = steps
        self._overlap = check_overlap(overlap)
        self._painted = PaintedLabels(steps.shape)

    @property
    def overlap(self) -> Overlap:
        """How overlaps are resolved; may be changed at any time."""
        return self._overlap

    @overlap.setter
    def overlap(self, policy: Overlap) -> None:
        self._overlap = check_overlap(policy)
        self.version += 1

    @property
    def objects(self) -> tuple[ObjectInfo, ...]:
        """The objects, in the order they were made."""
        areas = self._areas()
        return tuple(
            ObjectInfo(
                *(one.id, one.name, one.category, one.clicks, len(one.moment.actions), areas[one.id]),
                told_granularity(one.moment.actions),
            )
            for one in self._now.by_id.values()
        )

    @property
    def n_actions(self) -> int:
        """Actions in effect, of all objects together."""
        return sum(len(one.moment.actions) for one in self._now.by_id.values())

    @property
    def active(self) -> int | None:
        """Id of the object that actions go to; ``None`` where there is no object."""
        return self._now.active

    def add_object(self, name: str | None = None, id: int | None = None, category: str | None = None) -> int:
        """Make an object and select it.

        Args:
            name: 1 to 100 printable characters; several objects may share one. ``None``: "object" and its id.
            id: Of an object that other slices of the volume have, or the next of the volume; ``None``: the
                next of this image.
            category: Its class, 1 to 100 printable characters.

        Returns:
            Its id.

        Raises:
            InputError: The name, the id or the class does not fit, or there were 65535 objects.
        """
        if self._now.next_id > MAX_OBJECTS:
            raise InputError(f"Expected at most {MAX_OBJECTS} objects on one image.")
        number = self._now.next_id if id is None else id
        if not 1 <= number <= MAX_OBJECTS or number in self._now.by_id:
            raise InputError(f"Expected the id of a new object in 1..{MAX_OBJECTS}, but got {number!r}.")
        name = check_name(name if name is not None else f"object {number}")
        one = TrackedObject(number, name, _check_category(category), Moment(self._steps))
        with self.step(f"new {name}"):
            self._set(
                {**self._now.by_id, number: one}, active=number, next_id=max(self._now.next_id, number + 1)
            )
        return number

    def select(self, id: int) -> None:
        """Select an object; that is no step of undo.

        Raises:
            InputError: There is no such object.
        """
        self._object(id)
        with self.step():
            self._set(self._now.by_id, active=id)

    def rename(self, id: int, name: str) -> None:
        """Rename an object.

        Raises:
            InputError: There is no such object, or the name does not fit.
        """
        one, name = self._object(id), check_name(name)
        with self.step(f"renaming of {one.name}"):
            if name != one.name:
                self._replace(replace(one, name=name))

    def set_category(self, id: int, category: str | None) -> None:
        """Choose the class of an object; ``None``: none.

        Raises:
            InputError: There is no such object, or the class is no name.
        """
        one, category = self._object(id), _check_category(category)
        with self.step(f"class of {one.name}"):
            if category != one.category:
                self._replace(replace(one, category=category))

    def delete(self, id: int) -> None:
        """Remove an object; the last of those left becomes active if it was the active one.

        Raises:
            InputError: There is no such object.
        """
        one = self._object(id)
        with self.step(f"deletion of {one.name}"):
            left = {number: other for number, other in self._now.by_id.items() if number != id}
            last = next(reversed(left), None)
            self._set(left, active=last if self._now.active == id else self._now.active)

    def reset(self) -> None:
        """Empty the active object, as a step that can be undone.

        Raises:
            InputError: There is no object.
        """
        one = self._current
        with self.step(f"reset of {one.name}"):
            if one.moment.actions:
                self._replace(replace(one, moment=Moment(self._steps), undone=()))

    def has(self, id: int) -> bool:
        """Whether there is an object of this id."""
        return id in self._now.by_id

    def tried(self, id: int, action: Action) -> Moment:
        """What an action would make of an object, perhaps new here; nothing changes."""
        moment = self._now.by_id[id].moment if id in self._now.by_id else Moment(self._steps)
        return moment.after(action)

    def take(self, id: int, name: str, category: str | None, moment: Moment) -> None:
        """Go to a moment of :meth:`tried`, as one step; the active object stays the same.

        Raises:
            InputError: The object is new here, and its id or name does not fit.
        """
        active = self._now.active
        with self.step(f"carrying of {name}"):
            if id not in self._now.by_id:
                self.add_object(name, id, category)
                self.select(active if active is not None else id)
            self._replace(replace(self._now.by_id[id], moment=moment, undone=()))

    def undo_object(self, id: int) -> None:
        """Take the last action on one object back, whatever was done to others since.

        That is a step of its own, which :meth:`undo` takes back.

        Raises:
            InputError: There is no such object, or no action on it.
        """
        one = self._object(id)
        if one.moment.before is None:
            raise InputError("Expected something to undo, but there is nothing.")
        with self.step(f"undo on {one.name}"):
            self._replace(replace(one, moment=one.moment.before, undone=(one.moment, *one.undone)))

    def redo_object(self, id: int) -> None:
        """Take the last :meth:`undo_object` of an object back.

        Raises:
            InputError: There is no such object, or nothing was undone since its last action.
        """
        one = self._object(id)
        if not one.undone:
            raise InputError("Expected something undone to redo, but there is nothing.")
        with self.step(f"redo on {one.name}"):
            self._replace(replace(one, moment=one.undone[0], undone=one.undone[1:]))

    def take_back(self, id: int) -> None:
        """Take the last action on an object back: by :meth:`undo` where it is the last step on the image.

        Raises:
            InputError: There is no such object, or no action on it.
        """
        before = self._history.before
        if before is not None and before.is_before(self._object(id)):
            self.undo()
        else:
            self.undo_object(id)

    def bring_back(self, id: int) -> None:
        """Take the last :meth:`take_back` of an object back.

        Raises:
            InputError: There is no such object, or nothing was undone since its last action.
        """
        one = self._now.by_id.get(id)
        if self.undone(id) is not None and (one is None or not one.undone):
            self.redo()
        else:
            self.redo_object(id)

    def undone(self, id: int) -> Action | None:
        """The action that :meth:`bring_back` would do again; ``None``: none."""
        one, after = self._now.by_id.get(id), self._history.undone
        if one is not None and one.undone:
            return one.undone[0].actions[-1]
        later = None if after is None else after.by_id.get(id)
        return later.moment.actions[-1] if later is not None and self._now.is_before(later) else None

    def mask(self, id: int | None = None) -> NDArray[np.bool_]:
        """The mask of an object, the active one if none is named, after the overlap policy, bool, ``(H, W)``.

        Raises:
            InputError: There is no such object.
        """
        one = self._object(id) if id is not None else self._current
        return one.moment.mask if self._overlap == "allow" else self._labels() == one.id

    def own_mask(self, id: int | None = None) -> NDArray[np.bool_]:
        """The mask of an object before the overlap policy, bool, ``(H, W)``.

        Raises:
            InputError: There is no such object.
        """
        return (self._object(id) if id is not None else self._current).moment.mask

    def own_counts(self, id: int) -> str:
        """The same, run-length encoded (:mod:`mis_lightning.formats.rle`); nothing is decoded for it.

        Raises:
            InputError: There is no such object.
        """
        return self._object(id).moment.counts

    def probability(self, id: int | None = None) -> NDArray[np.float32]:
        """The last prediction for an object, the active one if none is named, float32, ``(H, W)``.

        Raises:
            InputError: There is no such object.
        """
        return (self._object(id) if id is not None else self._current).moment.probability

    def label_map(self) -> NDArray[np.uint16]:
        """The ids of the objects, uint16, ``(H, W)``; 0 where there is none.

        It holds one object at each pixel: where objects may overlap, the one made last is seen.
        """
        return self._labels().copy()

    def _do(self, action: Action) -> None:
        one = self._current
        with self.step(words_of(action, one.name)):
            self._replace(replace(one, moment=one.moment.after(action), undone=()))

    def _labels(self) -> NDArray[np.uint16]:
        """The label map; not to be written to, and not to be kept."""
        self._painted.follow({one.id: one.moment for one in self._now.by_id.values()}, self._overlap)
        return self._painted.labels

    def _areas(self) -> dict[int, int]:
        """Pixels of each mask, by id."""
        if self._overlap == "allow":
            return {one.id: one.moment.boxed.area for one in self._now.by_id.values()}
        self._labels()
        return {number: int(self._painted.areas[number]) for number in self._now.by_id}

    @property
    def _current(self) -> TrackedObject:
        if self._now.active is None:
            raise InputError("Expected an object to work on: call add_object() first.")
        return self._now.by_id[self._now.active]

    def _object(self, id: int) -> TrackedObject:
        if id not in self._now.by_id:
            raise InputError(f"Expected the id of an object ({list(self._now.by_id)}), but got {id!r}.")
        return self._now.by_id[id]


def _check_category(category: str | None) -> str | None:
    return None if category is None else check_name(category, "class")


def words_of(action: Action, name: str) -> str:
    """What an action on an object is, for whoever may undo it."""
    return f"{_WORDS.get(action.kind, action.kind)} on {name}"


def line_of(log: ClickLog, moments: Mapping[int, Moment]) -> list[Objects]:
    """What can be undone after a log is read: its actions, in their order."""
    by_id = {one.id: TrackedObject(one.id, one.name, one.category, moments[one.id]) for one in log.objects}
    line = [Objects(by_id, log.active, log.next_id, log.order)]
    for k in range(len(log.order) - 1, -1, -1):
        one = by_id[log.order[k]]
        line[-1] = replace(line[-1], step=words_of(one.moment.actions[-1], one.name))
        before = one.moment.before
        assert before is not None  # an order fits its log
        by_id = {**by_id, one.id: replace(one, moment=before)}
        line.append(Objects(by_id, one.id, log.next_id, log.order[:k]))
    return line[::-1]
