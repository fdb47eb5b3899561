"""How each action changes the state of an object."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.actions import (
    Action,
    Answered,
    BoxAction,
    CarryAction,
    ClickAction,
    GranularityAction,
    LevelAction,
    LookAction,
    MaskAction,
    ScribbleAction,
)
from mis_lightning.annotation.drawn_actions import DrawnAction, TidyAction, takes_away
from mis_lightning.annotation.painting import Paint
from mis_lightning.errors import InputError
from mis_lightning.formats.rle import decode_rle, encode_rle
from mis_lightning.merge_tree.sampling import node_mask
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter, TreeState
from mis_lightning.structures import Click


@dataclass(frozen=True)
class ObjectState:
    """An object after some actions. Never changed in place.

    Attributes:
        state: What the segmenter keeps (:mod:`mis_lightning.segmenters.base`).
        paint: What was set by hand; ``None``: nothing was, or it is packed.
        packed_paint: The same while it is packed: both masks of it, run-length encoded.
    """

    state: Any
    paint: Paint | None = None
    packed_paint: tuple[str, str] | None = None


class ImageSteps:
    """Actions on the objects of one image.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        segmenter: Answers the clicks.
        levels_of: Makes the merge tree, when it is first needed.

    Attributes:
        segmenter: As given.
        shape: ``(H, W)`` of the image.
        seconds: That the segmenter took for the last action.
    """

    def __init__(
        self, image: NDArray[np.uint8], segmenter: Segmenter[Any], levels_of: MergeTreeSegmenter
    ) -> None:
        self._image = image
        self._levels_of = levels_of
        self.segmenter = segmenter
        self.shape = (image.shape[0], image.shape[1])
        self.seconds = 0.0
        self._answered: dict[str, Segmenter[Any]] = {}  # by what the segmenter had learned then

    def keep_what_answered(self, actions: Iterable[Action]) -> bool:
        """Keep what the segmenter had learned at some actions, so that they can be done again later.

        Returns:
            Whether the segmenter still has all of it; if not, nothing is kept.
        """
        try:
            versions = {one.by for one in actions if isinstance(one, Answered)}
            found = {by: self.segmenter.at(by) for by in versions}
        except InputError:
            return False
        self._answered |= found
        return True

    def _at(self, by: str) -> Segmenter[Any]:
        """The segmenter with what it had learned then."""
        return self._answered.get(by) or self.segmenter.at(by)

    @cached_property
    def tree(self) -> TreeState:
        """The merge tree of the image, built on first use."""
        return self._levels_of.begin(self._image)

    @cached_property
    def first(self) -> ObjectState:
        """An object before the first action."""
        of_tree = self.segmenter is self._levels_of
        return ObjectState(self.tree if of_tree else self.segmenter.begin(self._image))

    def levels(self, click: Click) -> int:
        """Regions of the merge tree that hold a pixel, the patch and the whole image included."""
        return len(self._levels_of.nodes_at(self.tree, click))

    def level_map(self, click: Click) -> NDArray[np.uint16]:
        """For each patch of the merge tree the lowest level that holds it and the pixel, ``(h, w)``."""
        tree = self.tree.tree
        nodes = self._levels_of.nodes_at(self.tree, click)
        by_place = np.empty(tree.n_leaves, np.uint16)
        for level in range(len(nodes) - 1, -1, -1):  # from the whole image inwards
            first, last = tree.span(int(nodes[level]))
            by_place[first:last] = level
        return by_place[tree.places].reshape(tree.grid)

    def region(self, action: LevelAction) -> NDArray[np.bool_]:
        """The region of an action, bool, ``(H, W)``.

        Raises:
            InputError: There is no such level.
        """
        nodes = self._levels_of.nodes_at(self.tree, action.click(self.shape))
        if not 0 <= action.level < len(nodes):
            raise InputError(f"Expected a level in 0..{len(nodes) - 1} there, but got {action.level}.")
        return node_mask(self.tree.tree, int(nodes[action.level]), self.shape)

    def after(self, before: ObjectState, action: Action) -> ObjectState:
        """Do an action.

        Raises:
            InputError: It does not fit the image, changes nothing, or what answered it then is not kept.
        """
        began = time.perf_counter()
        if isinstance(action, DrawnAction | TidyAction):
            after = self._by_hand(before, action)
        elif isinstance(action, (ClickAction, ScribbleAction)):
            after = self._clicked(before, action)
        elif isinstance(action, GranularityAction):
            after = self._of_size(before, action)
        elif isinstance(action, LookAction):
            after = ObjectState(self._looked(before.state, action))
        else:
            after = ObjectState(self._begun(action))
        self.seconds = time.perf_counter() - began
        return after

    def _clicked(self, before: ObjectState, action: ClickAction | ScribbleAction) -> ObjectState:
        """The answer to clicks; what was set by hand, or is under a scribble, stays as it is."""
        clicks, state, paint = action.clicks(self.shape), before.state, before.paint
        paint = paint.lifted(clicks) if paint is not None else None
        if isinstance(action, ScribbleAction) and action.line:
            paint = paint if paint is not None else Paint.none(self.shape)
            paint = paint.painted(action.drawn(self.shape), action.positive)
        (state,) = self._at(action.by).click([self._held(state, paint)], [clicks])
        return self._obeying(state, paint)

    def _of_size(self, before: ObjectState, action: GranularityAction) -> ObjectState:
        """The answer to the same clicks for an object of another size; what was set by hand stays."""
        state, answering = self._held(before.state, before.paint), self._at(action.by)
        return self._obeying(answering.with_granularity(state, action.granularity), before.paint)

    def _held(self, state: Any, paint: Paint | None) -> Any:
        """A state whose next answer leaves what was set by hand as it is."""
        return state if paint is None else self.segmenter.hold(state, paint.inside, paint.outside)

    def _looked(self, state: Any, action: LookAction) -> Any:
        """The state of the segmenter after another answer is chosen."""
        found = self.segmenter.alternatives(state)
        if not 0 <= action.index < len(found):
            raise InputError(f"Expected an answer in 0..{len(found) - 1}, but got {action.index}.")
        return found[action.index][0]

    def _begun(self, action: BoxAction | LevelAction | MaskAction | CarryAction) -> Any:
        """The state of the segmenter after an action that starts over: nothing of before counts."""
        segmenter, state = self.segmenter, self.first.state
        if isinstance(action, BoxAction):
            return self._at(action.by).box(state, action.box(self.shape))
        if isinstance(action, LevelAction):
            return segmenter.place(state, self.region(action), [action.click(self.shape)])
        if isinstance(action, CarryAction):
            return self._at(action.by).carry(state, action.mask(self.shape), action.clicks(self.shape))
        return segmenter.place(state, action.mask(self.shape))

    def _by_hand(self, before: ObjectState, action: DrawnAction | TidyAction) -> ObjectState:
        """The state after pixels were set: they are the previous mask of the next answer, and stay."""
        mask, clicks = self.mask(before), before.state.clicks
        paint = before.paint if before.paint is not None else Paint.none(self.shape)
        if isinstance(action, DrawnAction):
            drawn = action.drawn(self.shape)
            paint = paint.painted(drawn, action.positive)
            clicks = [click for click in clicks if not takes_away(action, drawn, click)]
        else:
            tidy = action.changed(mask, clicks)
            if np.array_equal(tidy, mask):
                raise InputError("Nothing changes: the mask has nothing of that kind.")
            paint = paint.painted(tidy & ~mask, True).painted(mask & ~tidy, False)
        return ObjectState(self.segmenter.place(before.state, paint.over(mask), clicks), paint)

    def _obeying(self, state: Any, paint: Paint | None) -> ObjectState:
        """An answer that leaves what was set by hand as it is."""
        if paint is None:
            return ObjectState(state)
        answer = self.segmenter.mask(state)
        obeying = paint.over(answer)
        if not np.array_equal(obeying, answer):
            state = self.segmenter.place(state, obeying, state.clicks)
        return ObjectState(state, paint)

    def mask(self, state: ObjectState) -> NDArray[np.bool_]:
        """The pixels of an object whatever the others are, bool, ``(H, W)``."""
        return self.segmenter.mask(state.state)

    def probability(self, state: ObjectState) -> NDArray[np.float32]:
        """The last prediction, float32, ``(H, W)``; 0 or 1 where pixels were set by hand since."""
        return self.segmenter.probability(state.state)

    def pack(self, state: ObjectState) -> ObjectState:
        """A compact form of the state."""
        kept, paint = state.packed_paint, state.paint
        if paint is not None:
            kept = encode_rle(paint.inside), encode_rle(paint.outside)
        return ObjectState(self.segmenter.pack(state.state), packed_paint=kept)

    def unpack(self, state: ObjectState) -> ObjectState:
        """Inverse of :meth:`pack`, exactly."""
        kept, paint = state.packed_paint, state.paint
        if kept is not None:
            paint = Paint(decode_rle(kept[0], self.shape), decode_rle(kept[1], self.shape))
        return ObjectState(self.segmenter.unpack(state.state), paint)
