"""One object of a session: its history, and its own mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.actions import Action
from mis_lightning.annotation.steps import ImageSteps, ObjectState, clicks_of
from mis_lightning.formats.rle import encode_rle
from mis_lightning.segmenters.history import History
from mis_lightning.structures import Click


class TrackedObject:
    """One object of a session, whatever the other objects are.

    The mask is kept while it is the same; the history of an object that was read from a log is replayed when
    it is first needed, so that a session of many objects opens at once.

    Args:
        number: Its id.
        name: As the user calls it.
        steps: Do its actions.
    """

    def __init__(self, number: int, name: str, steps: ImageSteps) -> None:
        self.id, self.name = number, name
        self._steps = steps
        self._waiting: tuple[Action, ...] = ()
        self._history: History[ObjectState] | None = None
        self._mask: NDArray[np.bool_] | None = None
        self._counts: str | None = None
        self._clicks: tuple[Click, ...] | None = None

    def expect(self, actions: tuple[Action, ...], mask: NDArray[np.bool_] | None) -> None:
        """Set pending actions and their mask; they are replayed when the object is changed."""
        clicks_of(actions, self._steps.shape)  # they are on the image
        self._waiting, self._mask = actions, mask

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions in effect."""
        return self._waiting if self._history is None else self._history.kept.actions

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks in effect."""
        if self._clicks is None:
            self._clicks = clicks_of(self.actions, self._steps.shape)
        return self._clicks

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Its pixels, bool, ``(H, W)``; not to be written to."""
        if self._mask is None:
            self._mask = self._steps.mask(self.history.state)
        return self._mask

    @property
    def counts(self) -> str:
        """The mask, run-length encoded (:mod:`mis_lightning.formats.rle`)."""
        if self._counts is None:
            self._counts = encode_rle(self.mask)
        return self._counts

    @property
    def probability(self) -> NDArray[np.float32]:
        """The last prediction, float32, ``(H, W)``; zeros before the first answer."""
        return self._steps.segmenter.probability(self.history.state.state)

    @property
    def history(self) -> History[ObjectState]:
        """All its states."""
        if self._history is None:
            history = History(self._steps.first, self._steps.pack, self._steps.unpack)
            for action in self._waiting:
                history.push(self._steps.after(history.state, action))
            self._history = history
        return self._history

    @property
    def undoable(self) -> int:
        """Steps that can be undone."""
        return len(self._waiting) if self._history is None else self._history.undoable

    @property
    def redoable(self) -> int:
        """Steps that can be redone."""
        return 0 if self._history is None else self._history.redoable

    @property
    def undone(self) -> Action | None:
        """The action that redo does again; ``None`` where it does none."""
        state = None if self._history is None else self._history.undone
        return state.actions[-1] if state is not None and state.actions else None

    def do(self, action: Action) -> None:
        """Do an action; where it fails nothing changes."""
        self.take(self.tried(action))

    def tried(self, action: Action) -> ObjectState:
        """The state that an action leads to; nothing changes."""
        return self._steps.after(self.history.state, action)

    def take(self, state: ObjectState) -> None:
        """Go to a state of :meth:`tried`."""
        self._move_to(state)

    def empty(self) -> None:
        """Reset the object, as a step that can be undone."""
        self._move_to(self._steps.first)

    def undo(self) -> None:
        """Step back."""
        self.history.undo()
        self._forget_mask()

    def redo(self) -> None:
        """Step forward again."""
        self.history.redo()
        self._forget_mask()

    def replay(self) -> None:
        """Replay pending actions."""
        self.history.pack()

    def pack(self) -> None:
        """Drop what can be recomputed."""
        if self._history is not None:
            self._history.pack()

    def _move_to(self, state: ObjectState) -> None:
        self.history.push(state)
        self._forget_mask()

    def _forget_mask(self) -> None:
        self._mask = self._counts = self._clicks = None
