"""The interface of segmenters: pure functions from state to state.

A segmenter keeps no state between calls. The caller keeps the states: the predictor and the
annotation session in a :class:`~mis_lightning.segmenters.history.History`, the simulated user one at a time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from mis_lightning.errors import InputError
from mis_lightning.structures import Click


class SegmenterState(Protocol):
    """The interface of states."""

    @property
    def clicks(self) -> tuple[Click, ...]:
        """All clicks so far, in pixels of the image."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)`` of the image."""
        ...


S = TypeVar("S", bound=SegmenterState)


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


class Segmenter(ABC, Generic[S]):
    """Answers clicks on images. States are values: each step makes a new one and leaves the old one alone.

    A subclass needs :meth:`begin`, :meth:`click` and :meth:`probability`; the rest has defaults. See
    ``docs/how_to.md`` for one of 40 lines.

    Attributes:
        threshold: A pixel belongs to the mask where its probability is above this.
    """

    threshold: float = 0.5

    @abstractmethod
    def begin(self, image: NDArray[np.uint8]) -> S:
        """The state before the first click on an RGB image, uint8, ``(H, W, 3)``.

        What depends on the image alone (an embedding, a merge tree) is computed here, once.
        """

    @abstractmethod
    def click(self, states: Sequence[S], clicks: Sequence[Sequence[Click]]) -> list[S]:
        """Add to each state its new clicks and answer them; the images may differ in size.

        Args:
            states: Any number of states; a network answers them in one forward pass.
            clicks: For each state the clicks to add, in pixels of its image.

        Returns:
            The new states, in the same order.
        """

    @abstractmethod
    def probability(self, state: S) -> NDArray[np.float32]:
        """The last answer, float32, ``(H, W)``, in ``[0, 1]``; zeros before the first click."""

    def mask(self, state: S) -> NDArray[np.bool_]:
        """Where the last answer is above the threshold, bool, ``(H, W)``."""
        return self.probability(state) > self.threshold

    def place(self, state: S, mask: NDArray[Any], clicks: Sequence[Click] = ()) -> S:
        """Start again from a mask, bool or a probability, ``(H, W)``, that the clicks stand for.

        Nothing is answered; later clicks change the mask.

        Raises:
            InputError: This segmenter cannot start from a mask.
        """
        raise InputError(f"{self.identity} cannot start from a mask; use clicks.")

    def box(self, state: S, box: Box) -> S:
        """Start again from a box and answer it.

        Raises:
            InputError: This segmenter knows no boxes.
        """
        raise InputError(f"{self.identity} cannot start from a box; use clicks.")

    def carry(self, state: S, mask: NDArray[np.bool_], clicks: Sequence[Click] = ()) -> S:
        """Start again from an object as it is expected here, bool, ``(H, W)``, and answer the clicks in it.

        The neighbouring slice of a volume has it there. Without clicks the mask is the answer.

        Raises:
            InputError: This segmenter cannot start from a mask.
        """
        placed = self.place(state, mask)
        return self.click([placed], [clicks])[0] if clicks else placed

    def hold(self, state: S, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> S:
        """A state whose next answers know the labels of some pixels.

        A segmenter that has no use for them returns the state as it is. Only where it has one do the answers
        obey the labels.

        Args:
            state: A state.
            inside: Pixels that belong, bool, ``(H, W)``.
            outside: Pixels that do not, bool, ``(H, W)``.
        """
        return state

    @property
    def takes_granularity(self) -> bool:
        """Whether :meth:`with_granularity` can be told the size of an object."""
        return False

    def with_granularity(self, state: S, granularity: float | None) -> S:
        """A state whose object is of another size: its clicks are answered again, and later ones keep it.

        Args:
            state: A state.
            granularity: How large the wanted object is, in ``[0, 1]``: it covers
                ``10 ** (4 * (granularity - 1))`` of the image, 0 a ten-thousandth and 1 all of it; ``None``:
                not told.

        Raises:
            InputError: The value is out of range, or this segmenter takes none.
        """
        if granularity is not None and not self.takes_granularity:
            raise InputError(
                f"{self.identity} does not take the size of an object (`granularity`): leave it out, or use "
                'a model whose config.json has "granularity": true.'
            )
        return state

    def alternatives(self, state: S) -> list[tuple[S, float]]:
        """Other states that the last click may mean, with scores in ``[0, 1]``, best first.

        The first is as good as ``state`` itself; most segmenters have no other.
        """
        return [(state, 1.0)]

    def pack(self, state: S) -> S:
        """A compact form of the state."""
        return state

    def unpack(self, state: S) -> S:
        """Inverse of :meth:`pack`, exactly."""
        return state

    def settings(self) -> dict[str, Any]:
        """Everything except the weights that determines the predictions, as JSON values."""
        return {}

    def with_settings(self, settings: Mapping[str, Any]) -> Self:
        """The same segmenter asked as a click log says it was; keys it does not know are left alone.

        Raises:
            InputError: The settings are not of this segmenter.
        """
        return self

    @property
    def version(self) -> str:
        """What it has learned so far, in a word; always empty for one that does not learn."""
        return ""

    def at(self, version: str) -> Segmenter[S]:
        """The segmenter as it was at a version; it answers alike for good.

        Raises:
            InputError: That version is not kept.
        """
        if version:
            raise InputError(
                f"Expected {self.identity} as it was at version {version}, but that is not kept here: these "
                "clicks cannot be answered again as they were."
            )
        return self

    @property
    def identity(self) -> str:
        """A name that tells whether two segmenters, settings apart, are the same."""
        return f"{type(self).__module__}.{type(self).__qualname__}"


def check_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An RGB image, uint8, ``(H, W, 3)``, as it is.

    Raises:
        InputError: The array has another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(f"Expected an RGB image, uint8 (H, W, 3), but got {image.dtype} {image.shape}.")
    return image


def _finite(*values: Any) -> bool:
    """Whether all are numbers, and finite."""
    try:
        return all(map(math.isfinite, values))
    except TypeError:
        return False


def check_click(row: float, col: float, positive: bool, shape: tuple[int, int]) -> Click:
    """A click on an image of size ``(H, W)``.

    Raises:
        InputError: It is not a number or lies outside the image.
    """
    if not (_finite(row, col) and 0 <= row < shape[0] and 0 <= col < shape[1]):
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
    if not (_finite(*box) and 0 <= top <= bottom <= height and 0 <= left <= right <= width):
        raise InputError(
            f"Expected a box on the image, 0 <= top <= bottom <= {height} and 0 <= left <= right <= {width}, "
            f"but got top {top}, left {left}, bottom {bottom}, right {right}."
        )
    rows = min(float(top), height - 1.0), min(float(bottom), height - 1.0)
    cols = min(float(left), width - 1.0), min(float(right), width - 1.0)
    return Box(rows[0], cols[0], rows[1], cols[1])
