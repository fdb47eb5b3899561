"""Click on an image and get a mask: the object behind the command line, the page and your own scripts.

>>> import torch
>>> def model(image, prompt):  # any click model; this one answers "everything"
...     return torch.ones_like(prompt.previous_mask)
>>> predictor = ClickPredictor(model, size=(32, 32))
>>> predictor.set_image(np.zeros((40, 60, 3), dtype=np.uint8))
>>> predictor.click(20, 30).shape, predictor.mask.all()
((40, 60), np.True_)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from mis_lightning.errors import InputError
from mis_lightning.inference.advance import ClickModel, ClickState, PredictionSettings, input_size
from mis_lightning.inference.answers import Box, ModelAnswers, check_box, check_click
from mis_lightning.inference.onnx_model import OnnxClickModel
from mis_lightning.inference.stepping import SteppingPredictor
from mis_lightning.inference.zoom_in import DEFAULT_ZOOM_IN, ZoomIn
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.structures import Click


class ClickPredictor(SteppingPredictor[ClickState]):
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
        super().__init__(threshold)

    @property
    def answers(self) -> ModelAnswers:
        """The steps behind the clicks."""
        return ModelAnswers(self.model, self.settings, self.device)

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> ClickPredictor:
        """Open a model.

        Args:
            source: A model folder, a ``.safetensors`` file with ``config.json`` beside it, a ``.ckpt`` of
                ``mis fit``, or ``owner/name`` on the hub
                (:func:`~mis_lightning.models.pretrained.load_pretrained`); or an ``.onnx`` of ``mis export``.
            **options: As of the constructor.

        Raises:
            InputError: There is no such file, or it does not hold a click model.
        """
        if str(source).endswith(".onnx"):
            return cls(OnnxClickModel(source, options.get("device") or "cpu"), **options)
        return cls(load_pretrained(source), **options)

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Answer several clicks in one step, as Segment Anything does; the click history is untouched.

        Args:
            point_coords: Points as **(x, y)** = (col, row) in pixels, ``(N, 2)``; may be left out with a box.
            point_labels: 1 belongs, 0 does not, ``(N,)``.
            box: ``(x0, y0, x1, y1)`` around the object. No model here was trained with boxes; it is an
                approximation: the box is the previous mask, and without a positive point its middle is one.
            mask_input: A previous probability map or mask of the object, ``(H, W)``, in ``[0, 1]``; what lies
                outside a box is left out. The crop is chosen from it and the box, as after a first answer;
                without both the whole image is looked at.

        Returns:
            Mask, bool, ``(H, W)``, and probability, float32, ``(H, W)``.

        Raises:
            InputError: No image is set, or an argument has another shape or range.
        """
        state = self._state
        clicks = _clicks(point_coords, point_labels, box is None, state.shape)
        previous: NDArray[Any] | None = None
        if mask_input is not None:
            previous = _probabilities(mask_input, state.shape)
        if box is not None:
            around = _box(box, state.shape)
            inside = around.mask(state.shape)
            previous = inside if previous is None else np.where(inside, previous, np.float32(0))
            if not any(click.positive for click in clicks):
                clicks.insert(0, around.centre)
        answers = self.answers
        asked = ClickState(state.image) if previous is None else answers.place(state, previous)
        probability = answers.probability(answers.click(asked, clicks))
        return probability > self.settings.threshold, probability


def _clicks(coords: Any, labels: Any, needed: bool, shape: tuple[int, int]) -> list[Click]:
    """The clicks of SAM's two arrays."""
    coords = np.zeros((0, 2)) if coords is None else np.asarray(coords, dtype=np.float64)
    labels = np.zeros(0) if labels is None else np.asarray(labels)
    if coords.ndim != 2 or coords.shape[1] != 2 or len(coords) < needed or labels.shape != (len(coords),):
        raise InputError(
            "Expected `point_coords` of shape (N, 2) as (x, y) and `point_labels` of shape (N,), N >= 1 "
            f"without a box, but got {coords.shape} and {labels.shape}."
        )
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"Expected `point_labels` of 1 (belongs) and 0, but got {labels.tolist()}.")
    points = zip(coords, labels, strict=True)
    return [check_click(y, x, bool(label), shape) for (x, y), label in points]


def _probabilities(given: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float32]:
    mask = np.array(given, dtype=np.float32)
    if mask.shape != shape or not ((mask >= 0) & (mask <= 1)).all():
        raise InputError(
            f"Expected `mask_input` of shape {shape} with probabilities in [0, 1], "
            f"but got {mask.shape} with values from {mask.min(initial=1)} to {mask.max(initial=0)}."
        )
    return mask


def _box(given: ArrayLike, shape: tuple[int, int]) -> Box:
    corners = np.asarray(given, dtype=np.float64)
    if corners.size != 4:
        raise InputError(f"Expected one `box` as (x0, y0, x1, y1), but got shape {corners.shape}.")
    x0, y0, x1, y1 = corners.ravel().tolist()
    return check_box(y0, x0, y1, x1, shape)


def device_of(model: ClickModel) -> torch.device:
    """Where the first parameter of a module lies; the CPU for everything else."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return parameter.device if parameter is not None else torch.device("cpu")
