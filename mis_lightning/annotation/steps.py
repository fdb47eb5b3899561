"""How each action changes the state of an object."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.actions import (
    Action,
    BoxAction,
    CarryAction,
    ClickAction,
    LevelAction,
    LookAction,
    ScribbleAction,
)
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.sampling import node_mask
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter, TreeState
from mis_lightning.structures import Click


@dataclass(frozen=True)
class ObjectState:
    """An object after some actions. Never changed in place.

    Attributes:
        actions: What was done, since the object was empty.
        state: What the segmenter keeps (:mod:`mis_lightning.segmenters.base`).
    """

    actions: tuple[Action, ...]
    state: Any


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

    @cached_property
    def tree(self) -> TreeState:
        """The merge tree of the image, built on first use."""
        return self._levels_of.begin(self._image)

    @cached_property
    def first(self) -> ObjectState:
        """An object before the first action."""
        of_tree = self.segmenter is self._levels_of
        return ObjectState((), self.tree if of_tree else self.segmenter.begin(self._image))

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
            InputError: It does not fit the image.
        """
        segmenter, state, began = self.segmenter, before.state, time.perf_counter()
        if isinstance(action, (ClickAction, ScribbleAction)):
            (state,) = segmenter.click([state], [action.clicks(self.shape)])
        elif isinstance(action, BoxAction):
            state = segmenter.box(state, action.box(self.shape))
        elif isinstance(action, LevelAction):
            state = segmenter.place(state, self.region(action), [action.click(self.shape)])
        elif isinstance(action, LookAction):
            found = segmenter.alternatives(state)
            if not 0 <= action.index < len(found):
                raise InputError(f"Expected an answer in 0..{len(found) - 1}, but got {action.index}.")
            state, _ = found[action.index]
        elif isinstance(action, CarryAction):
            state = segmenter.carry(state, action.mask(self.shape), action.clicks(self.shape))
        else:
            state = segmenter.place(state, action.mask(self.shape))
        self.seconds = time.perf_counter() - began
        return ObjectState((*before.actions, action), state)

    def mask(self, state: ObjectState) -> NDArray[np.bool_]:
        """The pixels of an object whatever the others are, bool, ``(H, W)``."""
        return self.segmenter.mask(state.state)

    def pack(self, state: ObjectState) -> ObjectState:
        """A compact form of the state."""
        return replace(state, state=self.segmenter.pack(state.state))

    def unpack(self, state: ObjectState) -> ObjectState:
        """Inverse of :meth:`pack`, exactly."""
        return replace(state, state=self.segmenter.unpack(state.state))


def clicks_of(actions: Iterable[Action], shape: tuple[int, int]) -> tuple[Click, ...]:
    """The clicks in effect after some actions; a box, a level, a mask or what was carried starts over."""
    clicks: list[Click] = []
    for action in actions:
        if isinstance(action, (ClickAction, ScribbleAction)):
            clicks += action.clicks(shape)
        elif isinstance(action, BoxAction):
            clicks = [action.box(shape).centre]
        elif isinstance(action, LevelAction):
            clicks = [action.click(shape)]
        elif isinstance(action, CarryAction):
            clicks = action.clicks(shape)
        elif not isinstance(action, LookAction):
            clicks = []
    return tuple(clicks)
