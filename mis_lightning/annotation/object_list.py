"""The objects of one image: create, select, rename, delete, undo, redo and read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.actions import Action
from mis_lightning.annotation.log import MAX_OBJECTS, check_name
from mis_lightning.annotation.steps import ImageSteps, ObjectState
from mis_lightning.annotation.tracked_object import TrackedObject
from mis_lightning.errors import InputError
from mis_lightning.formats.overlap import Overlap, check_overlap, paint
from mis_lightning.structures import Click


@dataclass(frozen=True)
class ObjectInfo:
    """Facts about an object.

    Attributes:
        id: Its label in the label map, from 1; never used again.
        name: As the user calls it.
        clicks: The clicks in effect, in order.
        n_actions: Actions in effect.
        area: Pixels of its mask.
        undoable: Steps that can be undone.
        redoable: Steps that can be redone.
    """

    id: int
    name: str
    clicks: tuple[Click, ...]
    n_actions: int
    area: int
    undoable: int
    redoable: int


class ObjectList:
    """The objects of one image.

    Args:
        steps: Do the actions on them.
        overlap: How overlaps between objects are resolved.

    Attributes:
        version: Goes up with every change.
    """

    def __init__(self, steps: ImageSteps, overlap: Overlap) -> None:
        self._steps = steps
        self._overlap = check_overlap(overlap)
        self._objects: dict[int, TrackedObject] = {}
        self._active: int | None = None
        self._next_id = 1
        self.version = 0
        self._painted: tuple[int, NDArray[np.uint16]] | None = None  # a version and its label map

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
                one.id, one.name, one.clicks, len(one.actions), areas[one.id], one.undoable, one.redoable
            )
            for one in self._objects.values()
        )

    @property
    def n_actions(self) -> int:
        """Actions in effect, of all objects together."""
        return sum(len(one.actions) for one in self._objects.values())

    @property
    def active(self) -> int | None:
        """Id of the object that actions go to; ``None`` where there is no object."""
        return self._active

    def add_object(self, name: str | None = None, id: int | None = None) -> int:
        """Make an object and select it.

        Args:
            name: 1 to 100 printable characters; several objects may share one. ``None``: "object" and its id.
            id: Of an object that other slices of the volume have, or the next of the volume; ``None``: the
                next of this image.

        Returns:
            Its id.

        Raises:
            InputError: The name or the id does not fit, or there were 65535 objects.
        """
        if self._next_id > MAX_OBJECTS:
            raise InputError(f"Expected at most {MAX_OBJECTS} objects on one image.")
        number = self._next_id if id is None else id
        if not 1 <= number <= MAX_OBJECTS or number in self._objects:
            raise InputError(f"Expected the id of a new object in 1..{MAX_OBJECTS}, but got {number!r}.")
        name = check_name(name if name is not None else f"object {number}")
        self._pack()
        self._objects[number] = TrackedObject(number, name, self._steps)
        self._active, self._next_id = number, max(self._next_id, number + 1)
        self.version += 1
        return number

    def select(self, id: int) -> None:
        """Select an object.

        Raises:
            InputError: There is no such object.
        """
        self._object(id)
        self._pack()
        self._active = id
        self.version += 1

    def rename(self, id: int, name: str) -> None:
        """Rename an object.

        Raises:
            InputError: There is no such object, or the name does not fit.
        """
        self._object(id).name = check_name(name)
        self.version += 1

    def delete(self, id: int) -> None:
        """Remove an object, for good; the last of those left becomes active if it was the active one.

        Raises:
            InputError: There is no such object.
        """
        self._object(id)
        del self._objects[id]
        if self._active == id:
            self._active = next(reversed(self._objects), None)
        self.version += 1

    def undo(self, id: int | None = None) -> None:
        """Undo the last step of an object, the active one if none is named, exactly.

        Raises:
            InputError: There is no object, or no step.
        """
        (self._object(id) if id is not None else self._current).undo()
        self.version += 1

    def redo(self, id: int | None = None) -> None:
        """Redo the last undone step of an object, the active one if none is named.

        Raises:
            InputError: There is no object, or nothing was undone since the last step.
        """
        (self._object(id) if id is not None else self._current).redo()
        self.version += 1

    def reset(self) -> None:
        """Empty the active object, as a step that can be undone.

        Raises:
            InputError: There is no object.
        """
        self._current.empty()
        self.version += 1

    def has(self, id: int) -> bool:
        """Whether there is an object of this id."""
        return id in self._objects

    def tried(self, id: int, action: Action) -> tuple[ObjectState, NDArray[np.bool_]]:
        """What an action would make of an object, perhaps new here, and its own mask; nothing changes."""
        one = self._objects[id] if id in self._objects else TrackedObject(id, f"object {id}", self._steps)
        state = one.tried(action)
        return state, self._steps.mask(state)

    def take(self, id: int, name: str, state: ObjectState) -> None:
        """Go to a state of :meth:`tried`, as one step of the object; the active object stays the same.

        Raises:
            InputError: The object is new here, and its id or name does not fit.
        """
        if id not in self._objects:
            active = self._active
            self.add_object(name, id)
            self._active = active if active is not None else id
        self._objects[id].take(state)
        if id != self._active:
            self._objects[id].pack()
        self.version += 1

    def undone(self, id: int) -> Action | None:
        """The action that redo of an object would do again; ``None``: none, or there is no such object."""
        return self._objects[id].undone if id in self._objects else None

    def mask(self, id: int | None = None) -> NDArray[np.bool_]:
        """The mask of an object, the active one if none is named, after the overlap policy, bool, ``(H, W)``.

        Raises:
            InputError: There is no such object.
        """
        one = self._object(id) if id is not None else self._current
        return one.mask.copy() if self._overlap == "allow" else self._labels() == one.id

    def own_mask(self, id: int | None = None) -> NDArray[np.bool_]:
        """The mask of an object before the overlap policy, bool, ``(H, W)``.

        Raises:
            InputError: There is no such object.
        """
        return (self._object(id) if id is not None else self._current).mask.copy()

    def probability(self, id: int | None = None) -> NDArray[np.float32]:
        """The last prediction for an object, the active one if none is named, float32, ``(H, W)``.

        Raises:
            InputError: There is no such object.
        """
        return (self._object(id) if id is not None else self._current).probability

    def label_map(self) -> NDArray[np.uint16]:
        """The ids of the objects, uint16, ``(H, W)``; 0 where there is none.

        It holds one object at each pixel: where objects may overlap, the one made last is seen.
        """
        return self._labels().copy()

    def _do(self, action: Action) -> None:
        self._current.do(action)
        self.version += 1

    def _labels(self) -> NDArray[np.uint16]:
        """The label map; not to be written to."""
        if self._painted is None or self._painted[0] != self.version:
            masks = {one.id: one.mask for one in self._objects.values()}
            self._painted = self.version, paint(masks, self._steps.shape, self._overlap)
        return self._painted[1]

    def _areas(self) -> dict[int, int]:
        """Pixels of each mask, by id."""
        if self._overlap == "allow":
            return {one.id: int(np.count_nonzero(one.mask)) for one in self._objects.values()}
        labels = self._labels()
        if len(self._objects) <= 8:  # quicker than counting all labels at once
            return {number: int(np.count_nonzero(labels == number)) for number in self._objects}
        counts = np.bincount(labels.ravel(), minlength=self._next_id)
        return {number: int(counts[number]) for number in self._objects}

    def _pack(self) -> None:
        if self._active is not None:
            self._objects[self._active].pack()

    @property
    def _current(self) -> TrackedObject:
        if self._active is None:
            raise InputError("Expected an object to work on: call add_object() first.")
        return self._objects[self._active]

    def _object(self, id: int) -> TrackedObject:
        if id not in self._objects:
            raise InputError(f"Expected the id of an object ({list(self._objects)}), but got {id!r}.")
        return self._objects[id]
