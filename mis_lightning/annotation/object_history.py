"""Undo and redo for all objects of an image together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import EllipsisType, MappingProxyType

from mis_lightning.annotation.tracked_object import TrackedObject
from mis_lightning.segmenters.history import History


@dataclass(frozen=True, eq=False)
class Objects:
    """All objects of an image at one moment. A value: a step makes new ones and leaves these alone.

    Attributes:
        by_id: The objects, in the order they were made.
        active: Id of the object that actions go to.
        next_id: Of the next object.
        order: Ids of the objects in the order of the actions in effect.
        step: What the step that led here was, in words.
    """

    by_id: Mapping[int, TrackedObject] = field(default_factory=dict)
    active: int | None = None
    next_id: int = 1
    order: tuple[int, ...] = ()
    step: str = ""

    def is_before(self, one: TrackedObject) -> bool:
        """Whether the last action on an object was done at this moment; it may have been new then."""
        mine, before = self.by_id.get(one.id), one.moment.before
        return before is not None and (not before.actions if mine is None else mine.moment is before)

    def changed_from(self, other: Objects) -> list[int]:
        """Ids of the objects that are another than there."""
        return [one.id for one in self.by_id.values() if other.by_id.get(one.id) is not one]


class ObjectHistory:
    """What was done on one image, as one line of steps, whatever object each was of.

    To select an object is no step. A step is undone exactly; what it was of is then selected.

    Attributes:
        version: Goes up with every change.
    """

    def __init__(self) -> None:
        self._now = Objects()
        self._history = History(self._now)
        self._inside, self._words = False, ""  # a step is being made, and what it is
        self.version = 0

    @property
    def undoable(self) -> str | None:
        """What :meth:`undo` would take back, in words; ``None``: nothing."""
        return self._now.step if self._history.undoable else None

    @property
    def redoable(self) -> str | None:
        """What :meth:`redo` would do again, in words; ``None``: nothing."""
        following = self._history.undone
        return following.step if following is not None else None

    @contextmanager
    def step(self, what: str | None = None) -> Iterator[None]:
        """Make one step of undo of everything that is done in it; where it fails nothing was done.

        Args:
            what: It is, in words, as in "Undone: deletion of cell 3"; ``None``: what the last change in it
                is.

        >>> import numpy as np
        >>> from mis_lightning.annotation.session import AnnotationSession
        >>> session = AnnotationSession(np.zeros((32, 32, 3), dtype=np.uint8))
        >>> with session.step("two corners"):
        ...     for row in (0, 31):
        ...         _ = session.add_object()
        ...         session.load_mask(np.eye(32, dtype=bool)[[row]] & np.ones((32, 1), dtype=bool))
        >>> session.undo(), session.objects
        ('two corners', ())
        """
        if self._inside:  # a part of a larger one
            yield
            self._words = what if what is not None else self._words  # not what its own parts are
            return
        before, version = self._now, self.version
        self._inside, self._words = True, ""
        try:
            yield
        except BaseException:
            self._now, self.version = before, version
            raise
        finally:
            self._inside = False
        if self._now.by_id == before.by_id:
            self._history.replace(self._now)  # at most another object was selected
            self._pack(before)
        else:
            order = before.order
            gone = [number for number in before.by_id if number not in self._now.by_id]
            for number in (*gone, *self._now.changed_from(before)):
                one = self._now.by_id.get(number)
                order = _reordered(order, number, len(one.moment.actions) if one is not None else 0)
            self._history.push(
                replace(self._now, order=order, step=what if what is not None else self._words)
            )
            self._moved_from(before)

    def undo(self) -> str:
        """Take the last step on the image back, exactly, and select the object that it was of.

        Returns:
            What it was, in words.

        Raises:
            InputError: There is no step.
        """
        before = self._between_steps
        self._history.undo()
        self._moved_from(before, self._history.state.changed_from(before))
        return before.step

    def redo(self) -> str:
        """Do the last undone step again, and select the object that it is of.

        Returns:
            What it is, in words.

        Raises:
            InputError: Nothing was undone since the last step.
        """
        before = self._between_steps
        self._history.redo()
        self._moved_from(before, self._history.state.changed_from(before))
        return self._now.step

    def _replace(self, one: TrackedObject) -> None:
        """Put another object in the place of the one of its id."""
        self._set({**self._now.by_id, one.id: one})

    def _set(
        self,
        by_id: Mapping[int, TrackedObject],
        *,
        active: int | EllipsisType | None = ...,
        next_id: int | None = None,
    ) -> None:
        self._now = replace(
            self._now,
            by_id=MappingProxyType(dict(by_id)),
            active=self._now.active if active is ... else active,
            next_id=self._now.next_id if next_id is None else next_id,
        )
        self.version += 1

    def _start_from(self, line: Sequence[Objects]) -> None:
        """Replace everything by a line of moments; all but the first can be undone."""
        self._history = History(line[0])
        for objects in line[1:]:
            self._history.push(objects)
        self._now = line[-1]
        self.version += 1

    def _moved_from(self, before: Objects, concerned: Sequence[int] = ()) -> None:
        """Show where the history is now."""
        self._now = self._history.state
        if concerned:
            self._now = replace(self._now, active=concerned[-1])
            self._history.replace(self._now)
        self.version += 1
        self._pack(before)

    def _pack(self, before: Objects) -> None:
        """Make small what was shown before, and is no longer, or rests."""
        for one in before.by_id.values():
            now = self._now.by_id.get(one.id)
            shown = now is not None and now.moment is one.moment
            if not (shown and one.id == self._now.active):
                one.moment.pack(shown=shown)

    @property
    def _between_steps(self) -> Objects:
        if self._inside:
            raise RuntimeError("undo and redo inside a step")
        return self._now


def _reordered(order: tuple[int, ...], number: int, count: int) -> tuple[int, ...]:
    """The order of actions where an object has ``count``: its last ones go, new ones come last."""
    had = order.count(number)
    if had <= count:
        return order + (number,) * (count - had)
    kept = iter(range(count))
    return tuple(other for other in order if other != number or next(kept, None) is not None)
