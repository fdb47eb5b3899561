"""One object of a session: its name, its class, and what was done to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.actions import Action, Answered, MaskAction, stamped
from mis_lightning.annotation.click_origin import MadeClick, clicks_after
from mis_lightning.annotation.steps import ImageSteps, ObjectState
from mis_lightning.formats.rle import decode_rle, encode_rle
from mis_lightning.mask_box import BoxedMask
from mis_lightning.structures import Click


class Moment:
    """An object after some actions, whatever the other objects are.

    A value: an action makes a new moment and leaves this one alone. What can be made again (state, mask) is
    made when it is asked for, from the moment before where nothing is kept, so that a session of many objects
    opens at once; :meth:`pack` drops it again.

    Args:
        steps: Do the actions.
        before: The moment before the last action; ``None``: the object is empty.
        action: The last action.

    Attributes:
        before: As given.
        actions: All actions since the object was empty.
    """

    def __init__(self, steps: ImageSteps, before: Moment | None = None, action: Action | None = None) -> None:
        self.before = before
        self.actions: tuple[Action, ...] = ()
        if before is not None and action is not None:
            self.actions = (*before.actions, action)
        self._steps = steps
        self._state: ObjectState | None = None
        self._mask: BoxedMask | None = None
        self._counts: str | None = None
        self._clicks: tuple[MadeClick, ...] | None = None

    @classmethod
    def of(cls, steps: ImageSteps, actions: Iterable[Action], counts: str | None = None) -> Moment:
        """The moment after some actions; they are done when the state is first asked for.

        Args:
            steps: Do them.
            actions: In order.
            counts: The mask that they lead to, run-length encoded, if that is known.

        Raises:
            InputError: A click is not on the image.
        """
        moment = cls(steps)
        for action in actions:
            moment = cls(steps, moment, action)
        _ = moment.made_clicks
        moment._counts = counts
        return moment

    def after(self, action: Action) -> Moment:
        """Do an action, with what the segmenter has learned by now.

        Raises:
            InputError: It does not fit.
        """
        action = stamped(action, self._steps.segmenter.version)
        moment = Moment(self._steps, self, action)
        moment._state = self._steps.after(self.state, action)
        return moment

    @property
    def answered_by(self) -> str:
        """What the segmenter had learned when it answered the last action; empty where it answered none."""
        last = self.actions[-1] if self.actions else None
        return last.by if isinstance(last, Answered) else ""

    def noted(self, action: Action) -> Moment:
        """The same moment with its last action noted as another, which leads to the same."""
        moment = Moment(self._steps, self.before, action)
        moment._state, moment._mask, moment._counts = self._state, self._mask, self._counts
        return moment

    def edited(self, actions: tuple[Action, ...]) -> Moment:
        """The moment after other actions; those that both begin with are not done again.

        Raises:
            InputError: One does not fit.
        """
        moment: Moment = self
        while moment.before is not None and moment.actions != actions[: len(moment.actions)]:
            moment = moment.before
        for action in actions[len(moment.actions) :]:
            moment = moment.after(action)
        return moment

    @property
    def state(self) -> ObjectState:
        """What the segmenter keeps, unpacked."""
        missing: list[Moment] = []
        moment: Moment = self
        while moment._state is None and moment.before is not None:
            missing.append(moment)
            moment = moment.before
        if moment._state is None:
            moment._state = self._steps.first
        state = moment._state = self._steps.unpack(moment._state)
        for one in reversed(missing):
            moment.pack(shown=False)
            state = one._state = self._steps.after(state, one.actions[-1])
            moment = one
        return state

    @property
    def made_clicks(self) -> tuple[MadeClick, ...]:
        """The clicks in effect, and which actions made them."""
        missing: list[Moment] = []
        moment: Moment | None = self
        while moment is not None and moment._clicks is None:
            missing.append(moment)
            moment = moment.before
        clicks: tuple[MadeClick, ...] = () if moment is None or moment._clicks is None else moment._clicks
        for one in reversed(missing):
            if one.actions:
                clicks = clicks_after(clicks, len(one.actions) - 1, one.actions[-1], self._steps.shape)
            one._clicks = clicks
        return clicks

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Its pixels, bool, ``(H, W)``; a new array each time."""
        return self.boxed.whole()

    @property
    def boxed(self) -> BoxedMask:
        """The same, as its box."""
        if self._mask is None:
            known = self._counts
            self._mask = BoxedMask.of(
                decode_rle(known, self._steps.shape) if known is not None else self._steps.mask(self.state)
            )
        return self._mask

    @property
    def counts(self) -> str:
        """The mask, run-length encoded (:mod:`mis_lightning.formats.rle`)."""
        if self._counts is None:
            last = self.actions[-1] if self.actions else None
            self._counts = last.counts if isinstance(last, MaskAction) else encode_rle(self.mask)
        return self._counts

    @property
    def probability(self) -> NDArray[np.float32]:
        """The last prediction, float32, ``(H, W)``; zeros before the first answer."""
        return self._steps.probability(self.state)

    def pack(self, *, shown: bool = True) -> None:
        """Make the state small; where the object is not ``shown``, the mask, too."""
        if self._state is not None:
            if shown:
                _ = self.boxed  # made now, it needs no unpacked state later
            self._state = self._steps.pack(self._state)
        if not shown and self._mask is not None:
            _ = self.counts
            self._mask = None


@dataclass(frozen=True, eq=False)
class TrackedObject:
    """One object of a session. A value, as its moment is.

    Attributes:
        id: Its label.
        name: As the user calls it.
        category: Its class; ``None``: none was chosen.
        moment: What was done to it.
        undone: What was undone of it alone, the last first.
    """

    id: int
    name: str
    category: str | None
    moment: Moment
    undone: tuple[Moment, ...] = ()

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks in effect."""
        return tuple(made.click for made in self.moment.made_clicks)
