"""A click model as a segmenter: crop, ask, write back, for one object or several at once.

Rule: docs/protocol.md#one-answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mis_lightning.clicks.encoding import pack_points
from mis_lightning.errors import InputError
from mis_lightning.segmenters.base import Box, Segmenter, check_image
from mis_lightning.segmenters.identity import model_identity
from mis_lightning.segmenters.zoom_in import (
    ROI,
    ZoomIn,
    candidate_roi,
    choose_roi,
    crop,
    full_roi,
    paste,
    to_crop,
)
from mis_lightning.structures import Click, Prompt

ClickModel = Callable[[Tensor, Prompt], Tensor]
"""``model(image, prompt) -> logits``, see :mod:`mis_lightning.structures`."""
MAX_SIDE = 4096
"""Largest input of a network that settings may ask for, in pixels a side."""


@dataclass(frozen=True)
class PredictionSettings:
    """How a click model is asked.

    Attributes:
        size: ``(height, width)`` of the network's input; ``None`` takes ``model.input_size`` where the model
            has one and ``(448, 448)`` elsewhere. The published DAVIS figures use ``(672, 672)``.
        zoom_in: When to crop; ``None`` resizes the whole image at every click.
        flip: Average the logits with those of the mirrored input.
        threshold: A pixel belongs to the mask where its probability is above this (published SimpleClick
            and RITM figures: 0.49, docs/protocol.md#thresholds).
    """

    size: tuple[int, int] | None = None
    zoom_in: ZoomIn | None = field(default_factory=ZoomIn)
    flip: bool = True
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError(f"Expected `threshold` in [0, 1), but got {self.threshold}.")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values; :meth:`from_json` reads them."""
        return {**asdict(self), "size": None if self.size is None else list(self.size)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PredictionSettings:
        """Read settings from a click log or a ``config.json``; keys it does not know are left alone.

        Raises:
            InputError: They are no settings.
        """
        size, zoom_in = content.get("size"), content.get("zoom_in")
        numbers = [content.get("threshold", 0.5), *(zoom_in.values() if isinstance(zoom_in, dict) else ())]
        sound = (
            isinstance(content.get("flip", True), bool)
            and isinstance(zoom_in, dict | None)
            and all(type(number) in (int, float) and abs(number) < 1e9 for number in numbers)
            and (size is None or (isinstance(size, list) and len(size) == 2))
            and all(type(side) is int and 1 <= side <= MAX_SIDE for side in size or ())
        )
        if not sound:
            raise InputError(f"Expected the settings of a click model, but got {str(dict(content))[:200]}.")
        given = {name: content[name] for name in ("flip", "threshold") if name in content}
        try:
            if isinstance(zoom_in, dict):
                given["zoom_in"] = ZoomIn(**zoom_in)
        except TypeError as error:
            raise InputError(f"Expected the zoom-in of a click model, but: {error}.") from error
        if "zoom_in" in content and zoom_in is None:
            given["zoom_in"] = None
        return cls(size=None if size is None else (size[0], size[1]), **given)


@dataclass(frozen=True)
class ClickState:
    """Everything the next step depends on. Never changed in place: a step returns a new state.

    Attributes:
        image: RGB, uint8, ``(3, H, W)``, on the model's device.
        clicks: All clicks so far, in pixels of the image.
        probability: Result of the last step (the previous mask of the next one), float32, ``(H, W)``, or a
            mask to start from, bool; ``None`` before the first.
        roi: Where the last step looked; ``None`` before the first.
        view: What it saw there: the ROI at the network's input size, float32, ``(3, h, w)``; the next step
            sees the same as long as the ROI stays.
        answer: What it said there, before it was brought to the size of the image: probability, float32,
            ``(h, w)``; ``None`` where ``probability`` was given, not answered.
    """

    image: Tensor
    clicks: tuple[Click, ...] = ()
    probability: Tensor | None = None
    roi: ROI | None = None
    view: Tensor | None = None
    answer: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)`` of the image."""
        return self.image.shape[-2], self.image.shape[-1]


def input_size(model: ClickModel, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """``size``, or ``model.input_size`` where it is ``None`` and the model has one, or ``(448, 448)``."""
    height, width = size if size is not None else getattr(model, "input_size", None) or (448, 448)
    if height < 1 or width < 1:
        raise InputError(f"Expected the input size (height, width) positive, but got {(height, width)}.")
    return int(height), int(width)


class ClickModelSegmenter(Segmenter[ClickState]):
    """Crops around the object, asks a click model, and writes its answer back into the image.

    Args:
        model: A click model. A module stays in its mode but for the time of a call.
        prediction: Input size, zoom, flip, threshold.
        device: Where to compute. A module is moved there; ``None`` leaves it where it is.

    Attributes:
        model: As given.
        prediction: As given, with the input size filled in.
        device: Where it computes.
    """

    def __init__(
        self,
        model: ClickModel,
        prediction: PredictionSettings | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        prediction = prediction if prediction is not None else PredictionSettings()
        self.model = model.to(device) if isinstance(model, nn.Module) and device is not None else model
        self.prediction = replace(prediction, size=input_size(model, prediction.size))
        self.device = torch.device(device) if device is not None else device_of(model)
        self.threshold = prediction.threshold
        self._size = input_size(model, prediction.size)

    def begin(self, image: NDArray[np.uint8]) -> ClickState:
        """The state before the first click on an RGB image, uint8, ``(H, W, 3)``.

        Raises:
            InputError: The array has another shape or type.
        """
        planes = np.array(check_image(image).transpose(2, 0, 1), order="C")
        return ClickState(torch.from_numpy(planes).to(self.device))

    def click(self, states: Sequence[ClickState], clicks: Sequence[Sequence[Click]]) -> list[ClickState]:
        """Add clicks and ask the model once for all states together; their images may differ in size.

        Raises:
            InputError: The model returned something other than logits ``(B, 1, height, width)``.
        """
        states = [
            replace(state, clicks=(*state.clicks, *new)) for state, new in zip(states, clicks, strict=True)
        ]
        if not states:
            return []
        rois = [_next_roi(state, self.prediction.zoom_in) for state in states]
        with torch.inference_mode():
            views = [self._view(state, roi) for state, roi in zip(states, rois, strict=True)]
            answers = self._ask(states, rois, views)
            return [
                replace(state, probability=paste(answer, roi, state.shape), roi=roi, view=view, answer=answer)
                for state, roi, view, answer in zip(states, rois, views, answers, strict=True)
            ]

    def _ask(self, states: Sequence[ClickState], rois: Sequence[ROI], views: Sequence[Tensor]) -> Tensor:
        """Probability that the model gives to each state in its crop, float32, ``(B, height, width)``."""
        size, flip, count = self._size, self.prediction.flip, len(states)
        crops = torch.empty(2 * count if flip else count, 4, *size, device=self.device)
        for one, state, roi, view in zip(crops, states, rois, views, strict=False):
            one[:3] = view
            one[3:] = 0 if state.probability is None else crop(state.probability[None], roi, size)
        clicks = [[to_crop(c, roi, size) for c in s.clicks] for s, roi in zip(states, rois, strict=True)]
        if flip:
            crops[count:] = crops[:count].flip(-1)
            clicks += [[c._replace(col=size[1] - c.col - 1) for c in one] for one in clicks]
        with evaluation_mode(self.model):
            points = pack_points(clicks)
            points = points.float() if self.device.type == "mps" else points  # which has no float64
            logits = self.model(crops[:, :3], Prompt(points.to(self.device), crops[:, 3:]))
        if logits.shape != (len(crops), 1, *size):
            raise InputError(
                f"Expected logits of shape {(len(crops), 1, *size)} from the model, "
                f"but got {tuple(logits.shape)}."
            )
        logits = logits[:, 0].float()
        if flip:
            straight, mirrored = logits.chunk(2)
            logits = 0.5 * (straight + mirrored.flip(-1))
        return logits.sigmoid()

    def _view(self, state: ClickState, roi: ROI) -> Tensor:
        if state.view is not None and state.roi == roi and state.view.shape[1:] == self._size:
            return state.view
        return crop(state.image, roi, self._size)

    def place(self, state: ClickState, mask: NDArray[Any], clicks: Sequence[Click] = ()) -> ClickState:
        """Start again from a mask or a probability map, ``(H, W)``: the previous mask of the next step."""
        return ClickState(state.image, tuple(clicks), torch.from_numpy(np.array(mask)).to(self.device))

    def box(self, state: ClickState, box: Box) -> ClickState:
        """Ask with the box as the previous mask and a click in its middle; the crop is the box, expanded."""
        return self.click([self.place(state, box.mask(state.shape))], [[box.centre]])[0]

    def probability(self, state: ClickState) -> NDArray[np.float32]:
        """The last answer, float32, ``(H, W)``; zeros before the first."""
        if state.probability is None:
            return np.zeros(state.shape, dtype=np.float32)
        return state.probability.float().cpu().numpy().copy()

    def mask(self, state: ClickState) -> NDArray[np.bool_]:
        """Where the last answer is above the threshold, bool, ``(H, W)``."""
        if state.probability is None:
            return np.zeros(state.shape, dtype=np.bool_)
        return (state.probability.float() > self.threshold).cpu().numpy()

    def pack(self, state: ClickState) -> ClickState:
        """The state without the maps that :meth:`unpack` can make again: a hundredth of the memory."""
        return state if state.answer is None else replace(state, probability=None, view=None)

    def unpack(self, state: ClickState) -> ClickState:
        """A packed state with its probability, to the bit; any other one as it is."""
        if state.probability is not None or state.answer is None or state.roi is None:
            return state
        with torch.inference_mode():
            return replace(state, probability=paste(state.answer, state.roi, state.shape))

    def settings(self) -> dict[str, Any]:
        """Input size, zoom, flip and threshold, as JSON values."""
        return self.prediction.to_json()

    def with_settings(self, settings: Mapping[str, Any]) -> ClickModelSegmenter:
        """The same model asked as :meth:`settings` of another segmenter says.

        Raises:
            InputError: They are no settings.
        """
        return ClickModelSegmenter(self.model, PredictionSettings.from_json(settings), self.device)

    @property
    def identity(self) -> str:
        """Kind of the model and a digest of its config and weights."""
        return model_identity(self.model)


def _next_roi(state: ClickState, zoom_in: ZoomIn | None) -> ROI:
    if zoom_in is None:
        return full_roi(state.shape)
    candidate = candidate_roi(state.probability, state.clicks, state.shape, zoom_in)
    return choose_roi(state.roi, candidate, state.clicks, zoom_in)


@contextmanager
def evaluation_mode(model: ClickModel) -> Iterator[None]:
    """Every submodule in evaluation mode inside the block, and exactly as it was after it."""
    training = [m for m in model.modules() if m.training] if isinstance(model, nn.Module) else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def device_of(model: ClickModel) -> torch.device:
    """Where the first parameter of a module lies; the CPU for everything else."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return parameter.device if parameter is not None else torch.device("cpu")
