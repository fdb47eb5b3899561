"""Click on an image and get a mask: the object behind the command line, the page and your own scripts.

>>> import torch
>>> def model(image, previous_mask, points):  # any click model; this one answers "everything"
...     return torch.ones_like(previous_mask)
>>> predictor = ClickPredictor(model, size=(32, 32))
>>> predictor.set_image(np.zeros((40, 60, 3), dtype=np.uint8))
>>> predictor.click(20, 30).shape, predictor.mask.all()
((40, 60), np.True_)
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import nn

from mis_lightning.errors import InputError
from mis_lightning.images import read_image, to_rgb
from mis_lightning.inference.advance import (
    ClickModel,
    ClickState,
    PredictionSettings,
    advance,
    input_size,
    start,
)
from mis_lightning.inference.zoom_in import DEFAULT_ZOOM_IN, ZoomIn
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.structures import Click


class ClickPredictor:
    """One image, one user: clicks in, probabilities out, with undo and redo.

    Args:
        model: A click model (see :mod:`mis_lightning.structures`).
        size: ``(height, width)`` of the network's input; ``None`` takes ``model.input_size`` where the model
            has one and ``(448, 448)`` elsewhere.
        zoom_in: When to crop around the object; ``None`` never crops.
        flip: Average with the mirrored input.
        threshold: A pixel belongs to the mask where its probability is above this.
        device: Where to compute. A module is moved there; ``None`` leaves it where it is.

    Attributes:
        model: The click model.
        settings: How it is asked.
        device: Where it computes.
    """

    def __init__(
        self,
        model: ClickModel,
        *,
        size: tuple[int, int] | None = None,
        zoom_in: ZoomIn | None = DEFAULT_ZOOM_IN,
        flip: bool = True,
        threshold: float = 0.5,
        device: torch.device | str | None = None,
    ) -> None:
        self.model = model.to(device) if isinstance(model, nn.Module) and device is not None else model
        self.settings = PredictionSettings(input_size(model, size), zoom_in, flip, threshold)
        self.device = torch.device(device) if device is not None else device_of(model)
        self._history: list[ClickState] = []
        self._position = 0

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> ClickPredictor:
        """Open a model on disk.

        Args:
            source: A model folder, a ``.safetensors`` file with ``config.json`` beside it, or a ``.ckpt`` of
                ``mis fit`` (:func:`~mis_lightning.models.pretrained.load_pretrained`).
            **options: As of the constructor.

        Raises:
            InputError: There is no such file, or it does not hold a click model.
        """
        return cls(load_pretrained(source), **options)

    def set_image(self, image: NDArray[np.generic] | Image.Image | str | Path) -> None:
        """Start on a new image; all clicks are forgotten.

        Args:
            image: A path; a PIL image (its EXIF orientation is not applied); or an array of any kind
                :func:`mis_lightning.images.to_rgb` takes, RGB uint8 ``(H, W, 3)`` passes untouched.

        Raises:
            InputError: It cannot be read or has an unexpected shape; the previous image stays.
        """
        if isinstance(image, (str, Path)):
            array = read_image(image)
        elif isinstance(image, Image.Image):
            deep = image.mode in ("F", "I") or image.mode.startswith("I;16")
            array = to_rgb(np.asarray(image if deep else image.convert("RGB")))
        else:
            array = to_rgb(image)
        self._history = [start(array, self.device)]
        self._position = 0

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
        click = check_click(row, col, positive, state.shape)
        answered = advance(self.model, [_with_clicks(state, (*state.clicks, click))], self.settings)
        self._history[self._position + 1 :] = answered
        self._position += 1
        return self.probability

    def predict(
        self, point_coords: ArrayLike, point_labels: ArrayLike, mask_input: ArrayLike | None = None
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Answer several clicks in one step, as Segment Anything does; the click history is untouched.

        Args:
            point_coords: Points as **(x, y)** = (col, row) in pixels, ``(N, 2)``, ``N >= 1``.
            point_labels: 1 belongs, 0 does not, ``(N,)``.
            mask_input: A previous probability map or mask of the object, ``(H, W)``, in ``[0, 1]``; the crop
                is chosen from it. ``None`` looks at the whole image.

        Returns:
            Mask, bool, ``(H, W)``, and probability, float32, ``(H, W)``.

        Raises:
            InputError: No image is set, or an argument has another shape or range.
        """
        state = self._state
        coords, labels = np.asarray(point_coords, dtype=np.float64), np.asarray(point_labels)
        if coords.ndim != 2 or coords.shape[1] != 2 or len(coords) == 0 or labels.shape != (len(coords),):
            raise InputError(
                "Expected `point_coords` of shape (N, 2) as (x, y) and `point_labels` of shape (N,), N >= 1, "
                f"but got {coords.shape} and {labels.shape}."
            )
        if not np.isin(labels, (0, 1)).all():
            raise InputError(f"Expected `point_labels` of 1 (belongs) and 0, but got {labels.tolist()}.")
        points = zip(coords, labels, strict=True)
        clicks = [check_click(y, x, bool(label), state.shape) for (x, y), label in points]
        previous = None
        if mask_input is not None:
            mask = np.array(mask_input, dtype=np.float32)
            if mask.shape != state.shape or not ((mask >= 0) & (mask <= 1)).all():
                raise InputError(
                    f"Expected `mask_input` of shape {state.shape} with probabilities in [0, 1], "
                    f"but got {mask.shape} with values from {mask.min(initial=1)} to {mask.max(initial=0)}."
                )
            previous = torch.from_numpy(mask).to(self.device)
        asked = ClickState(state.image, tuple(clicks), previous)
        probability = _to_numpy(advance(self.model, [asked], self.settings)[0])
        return probability > self.settings.threshold, probability

    def undo(self) -> None:
        """Go back to before the last click, exactly: its probability, crop and clicks return.

        Raises:
            InputError: There is no click to undo.
        """
        if self._state is self._history[0]:
            raise InputError("Expected a click to undo, but there is none on this image.")
        self._position -= 1

    def redo(self) -> None:
        """Take the last undo back.

        Raises:
            InputError: Nothing was undone since the last click.
        """
        if self._state is self._history[-1]:
            raise InputError("Expected an undone click to redo, but there is none.")
        self._position += 1

    def reset(self) -> None:
        """Forget all clicks, keep the image."""
        self._history = [ClickState(self._state.image)]
        self._position = 0

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks in effect."""
        return self._state.clicks

    @property
    def probability(self) -> NDArray[np.float32]:
        """The last answer, float32, ``(H, W)``; zeros before the first click."""
        return _to_numpy(self._state)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the last answer is above the threshold, bool, ``(H, W)``."""
        return self.probability > self.settings.threshold

    @property
    def _state(self) -> ClickState:
        if not self._history:
            raise InputError("Expected an image before the first click: call set_image(image) first.")
        return self._history[self._position]


def device_of(model: ClickModel) -> torch.device:
    """Where the first parameter of a module lies; the CPU for everything else."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return parameter.device if parameter is not None else torch.device("cpu")


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


def _with_clicks(state: ClickState, clicks: tuple[Click, ...]) -> ClickState:
    return replace(state, clicks=clicks)


def _to_numpy(state: ClickState) -> NDArray[np.float32]:
    if state.probability is None:
        return np.zeros(state.shape, dtype=np.float32)
    return state.probability.cpu().numpy().copy()
