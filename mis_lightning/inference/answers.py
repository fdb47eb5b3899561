"""What answers clicks: pure steps from state to state, for a network or for a merge tree alike.

Nothing here remembers anything between two calls: predictors and annotation sessions keep the states
(:class:`~mis_lightning.inference.history.History`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.inference.advance import (
    ClickModel,
    ClickState,
    PredictionSettings,
    advance,
    input_size,
    packed,
    start,
    unpacked,
)
from mis_lightning.structures import Click

S = TypeVar("S")


class Box(NamedTuple):
    """A box that a user drew, in pixels of the image; the pixels on its edges belong to it."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def centre(self) -> Click:
        """A positive click in the middle."""
        return Click((self.top + self.bottom) / 2, (self.left + self.right) / 2, True)

    def mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Its pixels, bool, ``(H, W)`` = ``shape``."""
        mask = np.zeros(shape, np.bool_)
        mask[int(self.top) : int(self.bottom) + 1, int(self.left) : int(self.right) + 1] = True
        return mask


class Answers(Protocol[S]):
    """Answers clicks. States are values: each step makes a new one."""

    def begin(self, image: NDArray[np.uint8]) -> S:
        """The state before the first click on an RGB image, uint8, ``(H, W, 3)``."""
        ...

    def click(self, state: S, clicks: Sequence[Click]) -> S:
        """Add clicks and answer them all in one step."""
        ...

    def place(self, state: S, mask: NDArray[np.bool_], clicks: Sequence[Click] = ()) -> S:
        """Start anew from a mask, bool, ``(H, W)``, that the clicks stand for; nothing is answered."""
        ...

    def box(self, state: S, box: Box) -> S:
        """Start anew from a box and answer it."""
        ...

    def probability(self, state: S) -> NDArray[np.float32]:
        """What a state says, float32, ``(H, W)``; zeros before the first click."""
        ...

    def mask(self, state: S, threshold: float) -> NDArray[np.bool_]:
        """Where that is above a threshold, bool, ``(H, W)``."""
        ...

    def pack(self, state: S) -> S:
        """The state in little memory, until it is asked for."""
        ...

    def unpack(self, state: S) -> S:
        """What was packed, exactly."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything beside the model that fixes the answers, as JSON values."""
        ...


@dataclass(frozen=True)
class ModelAnswers:
    """A click model answers.

    Attributes:
        model: The click model.
        how: Input size, zoom, flip.
        device: Where it computes.
    """

    model: ClickModel
    how: PredictionSettings
    device: torch.device

    def begin(self, image: NDArray[np.uint8]) -> ClickState:
        """The state before the first click on an RGB image, uint8, ``(H, W, 3)``."""
        return start(image, self.device)

    def click(self, state: ClickState, clicks: Sequence[Click]) -> ClickState:
        """Add clicks and ask the model once."""
        return advance(self.model, [replace(state, clicks=(*state.clicks, *clicks))], self.how)[0]

    def place(
        self, state: ClickState, mask: NDArray[np.bool_] | NDArray[np.float32], clicks: Sequence[Click] = ()
    ) -> ClickState:
        """Start anew from a mask or a probability map, ``(H, W)``: the previous mask of the next step."""
        return ClickState(state.image, tuple(clicks), torch.from_numpy(np.array(mask)).to(self.device))

    def box(self, state: ClickState, box: Box) -> ClickState:
        """Ask with the box as the previous mask and a click in its middle; the crop is the box, expanded."""
        return self.click(self.place(state, box.mask(state.shape)), [box.centre])

    def probability(self, state: ClickState) -> NDArray[np.float32]:
        """The last answer, float32, ``(H, W)``; zeros before the first."""
        if state.probability is None:
            return np.zeros(state.shape, dtype=np.float32)
        return state.probability.float().cpu().numpy().copy()

    def mask(self, state: ClickState, threshold: float) -> NDArray[np.bool_]:
        """Where the last answer is above a threshold, bool, ``(H, W)``."""
        if state.probability is None:
            return np.zeros(state.shape, dtype=np.bool_)
        return (state.probability.float() > threshold).cpu().numpy()

    def pack(self, state: ClickState) -> ClickState:
        """The state without its large maps."""
        return packed(state)

    def unpack(self, state: ClickState) -> ClickState:
        """The state with its probability, to the bit."""
        return unpacked(state)

    def settings(self) -> dict[str, Any]:
        """Input size, zoom, flip and threshold, as JSON values."""
        size = input_size(self.model, self.how.size)
        return {**asdict(self.how), "size": list(size)}


def check_click(row: float, col: float, positive: bool, shape: tuple[int, int]) -> Click:
    """A click on an image of size ``(H, W)``.

    Raises:
        InputError: It is not a number or lies outside the image.
    """
    if not (math.isfinite(row) and math.isfinite(col) and 0 <= row < shape[0] and 0 <= col < shape[1]):
        raise InputError(
            f"Expected a click on the image, row in [0, {shape[0]}) and col in [0, {shape[1]}), "
            f"but got ({row}, {col})."
        )
    return Click(float(row), float(col), bool(positive))


def check_box(top: float, left: float, bottom: float, right: float, shape: tuple[int, int]) -> Box:
    """A box on an image of size ``(H, W)``; edges at ``H`` and ``W`` are moved to the last row and column.

    Raises:
        InputError: An edge is not a number, is outside the image, or the edges are in the wrong order.
    """
    (height, width), box = shape, (top, left, bottom, right)
    if not (all(map(math.isfinite, box)) and 0 <= top <= bottom <= height and 0 <= left <= right <= width):
        raise InputError(
            f"Expected a box on the image, 0 <= top <= bottom <= {height} and 0 <= left <= right <= {width}, "
            f"but got top {top}, left {left}, bottom {bottom}, right {right}."
        )
    rows = min(float(top), height - 1.0), min(float(bottom), height - 1.0)
    cols = min(float(left), width - 1.0), min(float(right), width - 1.0)
    return Box(rows[0], cols[0], rows[1], cols[1])
