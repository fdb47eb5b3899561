"""Click, undo, redo, reset: what predictors share, whatever answers their clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import InputError
from mis_lightning.images import Reading
from mis_lightning.inference.answers import Answers, check_click
from mis_lightning.inference.history import History
from mis_lightning.structures import Click


class Step(Protocol):
    """What a state tells: the clicks so far and the size of the image, ``(H, W)``."""

    @property
    def clicks(self) -> tuple[Click, ...]:
        """All clicks so far."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)`` of the image."""
        ...


S = TypeVar("S", bound=Step)


class SteppingPredictor(Generic[S]):
    """One image, one object: clicks in, probabilities out, with undo and redo. Subclasses say what answers.

    Args:
        threshold: A pixel belongs to the mask where its probability is above this.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self._threshold = threshold
        self._history: History[S] | None = None

    @property
    def answers(self) -> Answers[S]:
        """The steps behind the clicks."""
        raise NotImplementedError

    def set_image(
        self, image: NDArray[Any] | Image.Image | str | Path, reading: Reading | None = None
    ) -> None:
        """Start on a new image; all clicks are forgotten.

        Args:
            image: A path, a PIL image or an array (:func:`~mis_lightning.images.as_rgb`).
            reading: How pixels deeper than 8 bits become bytes, and which channels count.

        Raises:
            InputError: It cannot be read or has an unexpected shape; the previous image stays.
        """
        answers, reading = self.answers, reading if reading is not None else Reading()
        self._history = History(answers.begin(reading(image)), answers.pack, answers.unpack)

    def click(self, row: float, col: float, positive: bool = True) -> NDArray[np.float32]:
        """Add a click and answer it. Clicks that were undone before can no longer be redone.

        Args:
            row: In pixels of the image, ``0 <= row < H``.
            col: In pixels of the image, ``0 <= col < W``.
            positive: "This belongs" or "this does not".

        Returns:
            Probability, float32, ``(H, W)``, in ``[0, 1]``.

        Raises:
            InputError: No image is set, or the click is not on it; nothing changes.
        """
        state = self._state
        self._steps.push(self.answers.click(state, [check_click(row, col, positive, state.shape)]))
        return self.probability

    def undo(self) -> None:
        """Go back to before the last click, exactly: its probability, crop and clicks return.

        Raises:
            InputError: There is no click to undo.
        """
        self._steps.undo()

    def redo(self) -> None:
        """Take the last undo back.

        Raises:
            InputError: Nothing was undone since the last click.
        """
        self._steps.redo()

    def reset(self) -> None:
        """Forget all clicks, keep the image."""
        self._steps.reset()

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks in effect."""
        return self._state.clicks

    @property
    def probability(self) -> NDArray[np.float32]:
        """The last answer, float32, ``(H, W)``; zeros before the first click."""
        return self.answers.probability(self._state)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the last answer is above the threshold, bool, ``(H, W)``."""
        return self.answers.mask(self._state, self._threshold)

    @property
    def _state(self) -> S:
        return self._steps.state

    @property
    def _steps(self) -> History[S]:
        if self._history is None:
            raise InputError("Expected an image before the first click: call set_image(image) first.")
        return self._history
