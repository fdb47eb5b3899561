"""The objects of a volume: each has one id and one name through all slices.

Every slice is an image with a session and a click log of its own, so that it can be worked on, saved,
replayed and exported like any other. What is known about the volume is read from these logs: an action that
carried an object to a slice says from where, and in which run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mis_lightning.annotation.actions import Action, CarryAction
from mis_lightning.annotation.propagation import Carrying, move_mask, score
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.tracked_object import Moment
from mis_lightning.annotation.volume_log import (
    Carried,
    Direction,
    Run,
    SlicePart,
    actions_of,
    area_of,
    carried,
    last_action,
    run_of,
    slices_to_redo,
    slices_to_undo,
)
from mis_lightning.errors import InputError


class VolumeObjects(ABC):
    """What can be done to objects across the slices of a volume; where the slices are, a subclass says."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of slices."""

    @abstractmethod
    def open(self, k: int) -> AnnotationSession:
        """The session of slice ``k``; to be changed by :meth:`change` only."""

    @abstractmethod
    def change(self, k: int, action: Callable[[AnnotationSession], Any]) -> None:
        """Do something to the session of slice ``k``, and keep it."""

    @abstractmethod
    def record(self, k: int) -> AnnotationRecord | None:
        """What there is of slice ``k``, without reading the image; ``None`` where there is nothing."""

    def opened(self, k: int) -> AnnotationSession | None:
        """The session of slice ``k`` if it is in memory; it alone knows what can be redone."""
        return self.open(k)

    def next_id(self) -> int:
        """An id that no object of the volume has had."""
        return max((record.log.next_id for _, record in self._records()), default=1)

    def names(self) -> dict[int, str]:
        """Name of each object, by id, in the order of the ids."""
        found: dict[int, str] = {}
        for _, record in self._records():
            for one in record.log.objects:
                found.setdefault(one.id, one.name)
        return dict(sorted(found.items()))

    def category(self, id: int) -> str | None:
        """The class of an object; ``None``: none was chosen."""
        for _, record in self._records():
            for one in record.log.objects:
                if one.id == id:
                    return one.category
        return None

    def parts(self, id: int) -> list[SlicePart]:
        """The slices that an object is on, in order."""
        return self.all_parts().get(id, [])

    def all_parts(self) -> dict[int, list[SlicePart]]:
        """The slices that each object is on, in order, by its id; none of an object that is on no slice."""
        found: dict[int, list[SlicePart]] = {}
        for k, record in self._records():
            for id in record.counts:
                area, last = area_of(record, id), last_action(record, id)
                if area:
                    score_there = last.score if isinstance(last, CarryAction) else 1.0
                    part = SlicePart(k, area, isinstance(last, CarryAction), score_there)
                    found.setdefault(id, []).append(part)
        return found

    def join(self, k: int, id: int) -> None:
        """Make an object of other slices the active one of slice ``k``, where it may be new.

        Raises:
            InputError: No slice has such an object.
        """
        name, category = self._name(id), self.category(id)

        def begin(session: AnnotationSession) -> None:
            if not session.has(id):
                session.add_object(name, id, category)
            session.select(id)

        self.change(k, begin)

    def rename(self, id: int, name: str, apart_from: int | None = None) -> None:
        """Rename an object on all slices, but one that is done already.

        Raises:
            InputError: There is no such object, or the name does not fit.
        """
        self._everywhere(id, lambda session: session.rename(id, name), apart_from)

    def set_category(self, id: int, category: str | None, apart_from: int | None = None) -> None:
        """Choose the class of an object on all slices, but one that is done already; ``None``: none.

        Raises:
            InputError: There is no such object, or the class is no name.
        """
        self._everywhere(id, lambda session: session.set_category(id, category), apart_from)

    def delete(self, id: int) -> None:
        """Remove an object from all slices, for good.

        Raises:
            InputError: There is no such object.
        """
        self._everywhere(id, lambda session: session.delete(id))

    def propagate(
        self,
        id: int,
        start: int,
        direction: Direction | None = None,
        until: int | None = None,
        how: Carrying | None = None,
    ) -> Iterator[Carried]:
        """Carry an object from a slice to its neighbours, slice by slice.

        The mask of the slice before is moved as the picture moves, a click is put where it is deepest, and
        the segmenter answers. This goes on until the object ends, where the score falls below ``how.stop``;
        what was carried beyond that earlier is emptied. It also ends at a slice that a user has worked on:
        half of the way there is carried from here, and the half that is nearer to there is left as it is.
        If the object has no pixel on ``start``, it ends there, and what was carried beyond is emptied.

        All slices of one call are undone in one step (:meth:`undo`).

        Args:
            id: Of the object.
            start: A slice that it is on, or ends at.
            direction: One way only; ``None``: both.
            until: Last slice to go to.
            how: When it stops, and how masks move.

        Yields:
            Each slice that was done. To cancel, stop iterating: what is done stays.

        Raises:
            InputError: The object has not been worked on there, an argument does not fit, or the segmenter
                cannot start from a mask.
        """
        if until is not None and not 0 <= until < len(self):
            raise InputError(f"Expected `until` in 0..{len(self) - 1}, but got {until}.")
        run = self.begin_run(id, start)
        ways: tuple[Direction, ...] = (1, -1) if direction is None else (direction,)
        for way in ways:
            done: Carried | None = Carried(start, 1.0, True)
            while done is not None and (until is None or (until - done.slice) * way > 0):
                done = self.carry(run, way, done.slice, how)
                if done is not None:
                    yield done

    def begin_run(self, id: int, start: int) -> Run:
        """Begin to carry an object on from a slice; nothing changes yet.

        Raises:
            InputError: The object has not been worked on there.
        """
        if not 0 <= start < len(self):
            raise InputError(f"Expected a slice in 0..{len(self) - 1}, but got {start}.")
        actions = actions_of(self.record(start), id)
        if not actions:
            raise InputError(
                f"Expected object {id} on slice {start}, to carry it on from there, but nothing was done to "
                "it there. Click on it first."
            )
        known = [*self._undone(id).values(), *(a for _, r in self._records() for a in actions_of(r, id))]
        return Run(id, start, len(actions), 1 + max(map(run_of, known)))

    def carry(self, run: Run, way: Direction, done: int, how: Carrying | None = None) -> Carried | None:
        """Do one slice of a run: the next one after ``done``.

        Args:
            run: Of :meth:`begin_run`.
            way: In which direction it goes.
            done: The last slice that was done in this direction; at first ``run.start``.
            how: When it stops, and how masks move.

        Returns:
            What happened; ``None``: the run is over.
        """
        how = how if how is not None else Carrying()
        k, (last, known_beyond) = done + way, self._limit(run, way)
        if (last - k) * way < 0:
            return None
        before = self.open(done)
        mask = before.own_mask(run.id) if before.has(run.id) else np.zeros(before.shape, np.bool_)
        if mask.any():
            after = self.open(k)
            moved = move_mask(before.image, after.image, mask, how)
            action = carried(run, moved)
            moment = after.tried(run.id, action)
            answer = moment.mask
            value = round(score(before.image, mask, after.image, moved, answer), 4)
            if answer.any() and (known_beyond or value >= how.stop):
                self._take(run, k, moment.noted(replace(action, score=value, by=moment.answered_by)))
                return Carried(k, value, True)
        elif done == run.start and known_beyond:
            return None  # two ends: what is between them belongs to the other one
        return self._empty_next(run, range(k, last + way, way))

    def undo(self, k: int, id: int) -> list[int]:
        """Undo the last step of an object, seen from slice ``k``.

        That is the last run that was carried on from there as it is, or that carried the object there, on all
        its slices that were not worked on since; otherwise the object's last action on the slice.

        Returns:
            The slices that changed.

        Raises:
            InputError: There is nothing to undo.
        """
        slices = slices_to_undo(self._done(id), k, self._after(k, id))
        for j in slices:
            self.change(j, lambda session: session.take_back(id))
        return slices

    def redo(self, k: int, id: int) -> list[int]:
        """Redo what :meth:`undo` took back last, as far as the sessions of the slices remember it.

        Returns:
            The slices that changed.

        Raises:
            InputError: There is nothing to redo.
        """
        slices = self._to_redo(self._undone(id), k, id)
        for j in slices:
            self.change(j, lambda session: session.bring_back(id))
        return slices

    def run_to_undo(self, k: int, id: int) -> bool:
        """Whether :meth:`undo` would take a run back."""
        done = self._done(id)
        return any(run_of(done.get(j)) for j in slices_to_undo(done, k, self._after(k, id)))

    def run_to_redo(self, k: int, id: int) -> bool:
        """Whether :meth:`redo` would bring a run back."""
        undone = self._undone(id)
        return any(run_of(undone.get(j)) for j in self._to_redo(undone, k, id))

    def _to_redo(self, undone: Mapping[int, Action | None], k: int, id: int) -> list[int]:
        if not any(map(run_of, undone.values())):
            return [k]  # the logs of all slices need not be read
        after = self._after(k, id)
        done = (a for _, record in self._records() for a in actions_of(record, id))
        begun = [a.run for a in done if isinstance(a, CarryAction) and (a.source, a.after) == (k, after)]
        return slices_to_redo(undone, k, after, max(begun, default=0))

    def _after(self, k: int, id: int) -> int:
        """Actions of an object on a slice."""
        return len(actions_of(self.record(k), id))

    def _done(self, id: int) -> dict[int, Action | None]:
        """What was done last to an object on each slice."""
        return {k: last_action(record, id) for k, record in self._records()}

    def _undone(self, id: int) -> dict[int, Action | None]:
        """What redo of an object would do on each slice whose session is in memory."""
        sessions = ((k, self.opened(k)) for k in range(len(self)))
        return {k: session.undone(id) for k, session in sessions if session is not None}

    def _limit(self, run: Run, way: Direction) -> tuple[int, bool]:
        """The last slice that a run may go to, and whether the object is known to be beyond it."""
        for k in range(run.start + way, len(self) if way > 0 else -1, way):
            record = self.record(k)
            last = last_action(record, run.id)
            if record is None or last is None or isinstance(last, CarryAction):
                continue
            if not area_of(record, run.id):
                return k - way, False
            gap = abs(k - run.start)
            return run.start + way * min(gap // 2, gap - 1), True
        return (len(self) - 1 if way > 0 else 0), False

    def _empty_next(self, run: Run, slices: range) -> Carried | None:
        """Empty the first of the slices that the object was carried to before; ``None``: it is on none."""
        for k in slices:
            record = self.record(k)
            if record is not None and area_of(record, run.id):
                nothing = carried(run, np.zeros(record.log.shape, np.bool_))
                self._take(run, k, self.open(k).tried(run.id, nothing))
                return Carried(k, 0.0, False)
        return None

    def _take(self, run: Run, k: int, moment: Moment) -> None:
        name, category = self._name(run.id), self.category(run.id)
        self.change(k, lambda session: session.take(run.id, name, category, moment))

    def _records(self) -> Iterator[tuple[int, AnnotationRecord]]:
        for k in range(len(self)):
            record = self.record(k)
            if record is not None:
                yield k, record

    def _name(self, id: int) -> str:
        names = self.names()
        if id not in names:
            raise InputError(f"Expected the id of an object of the volume ({list(names)}), but got {id!r}.")
        return names[id]

    def _everywhere(
        self, id: int, action: Callable[[AnnotationSession], Any], apart_from: int | None = None
    ) -> None:
        self._name(id)
        for k in [k for k, record in self._records() if id in record.counts and k != apart_from]:
            self.change(k, action)
