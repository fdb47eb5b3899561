"""Undo and redo over states that are never changed in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from mis_lightning.errors import InputError

S = TypeVar("S")


class History(Generic[S]):
    """A line of states and a place on it. To undo is to step back, so what returns is what was there.

    Args:
        first: The state that cannot be undone.
        pack: Makes a state small while it is not the current one.
        unpack: Takes that back, exactly.
    """

    def __init__(
        self,
        first: S,
        pack: Callable[[S], S] = lambda state: state,
        unpack: Callable[[S], S] = lambda state: state,
    ) -> None:
        self._small, self._unpack = pack, unpack
        self._states = [first]
        self._position = 0

    @property
    def state(self) -> S:
        """The current state."""
        state = self._states[self._position] = self._unpack(self._states[self._position])
        return state

    @property
    def kept(self) -> S:
        """The current state as it is kept, packed perhaps."""
        return self._states[self._position]

    @property
    def first(self) -> S:
        """The state before all steps."""
        first = self._states[0] = self._unpack(self._states[0])
        return first

    @property
    def undoable(self) -> int:
        """Steps that can be undone."""
        return self._position

    @property
    def redoable(self) -> int:
        """Steps that can be redone."""
        return len(self._states) - 1 - self._position

    @property
    def before(self) -> S | None:
        """The state that undo leads to, as it is kept; ``None`` where nothing can be undone."""
        return self._states[self._position - 1] if self.undoable else None

    @property
    def undone(self) -> S | None:
        """The state that redo leads to, as it is kept; ``None`` where nothing can be redone."""
        return self._states[self._position + 1] if self.redoable else None

    def replace(self, state: S) -> None:
        """Put another state in the place of the current one; that is no step."""
        self._states[self._position] = state

    def push(self, state: S) -> None:
        """Make a new state the current one; undone ones can no longer be redone."""
        self.pack()
        self._states[self._position + 1 :] = [state]
        self._position += 1

    def undo(self) -> None:
        """Step back.

        Raises:
            InputError: This is the first state.
        """
        if not self.undoable:
            raise InputError("Expected something to undo, but there is nothing.")
        self.pack()
        self._position -= 1

    def redo(self) -> None:
        """Step forward again.

        Raises:
            InputError: Nothing was undone since the last step.
        """
        if not self.redoable:
            raise InputError("Expected something undone to redo, but there is nothing.")
        self.pack()
        self._position += 1

    def reset(self) -> None:
        """Forget all states but the first."""
        self._states, self._position = self._states[:1], 0

    def pack(self) -> None:
        """Make the current state small until it is asked for."""
        self._states[self._position] = self._small(self._states[self._position])
