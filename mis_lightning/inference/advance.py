"""One step of segmentation: from clicks to probabilities (spec B3), for one object or several at once.

The predictor and the evaluation both go through :func:`advance`; there is no second code path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mis_lightning.clicks.encoding import pack_points
from mis_lightning.errors import InputError
from mis_lightning.inference.zoom_in import (
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


@dataclass(frozen=True)
class PredictionSettings:
    """How a click model is asked.

    Attributes:
        size: ``(height, width)`` of the network's input; ``None`` takes ``model.input_size`` where the model
            has one and ``(448, 448)`` elsewhere. The published DAVIS figures use ``(672, 672)``.
        zoom_in: When to crop; ``None`` resizes the whole image at every click.
        flip: Average the logits with those of the mirrored input.
        threshold: A pixel belongs to the mask where its probability is above this (published SimpleClick
            and RITM figures: 0.49, spec E16).
    """

    size: tuple[int, int] | None = None
    zoom_in: ZoomIn | None = field(default_factory=ZoomIn)
    flip: bool = True
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError(f"Expected `threshold` in [0, 1), but got {self.threshold}.")


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


def start(image: NDArray[np.uint8], device: torch.device | str = "cpu") -> ClickState:
    """The state before the first click on an RGB image, uint8, ``(H, W, 3)``.

    Raises:
        InputError: The array has another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(f"Expected an RGB image, uint8 (H, W, 3), but got {image.dtype} {image.shape}.")
    return ClickState(torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C")).to(device))


def input_size(model: ClickModel, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """``size``, or ``model.input_size`` where it is ``None`` and the model has one, or ``(448, 448)``."""
    height, width = size if size is not None else getattr(model, "input_size", None) or (448, 448)
    if height < 1 or width < 1:
        raise InputError(f"Expected the input size (height, width) positive, but got {(height, width)}.")
    return int(height), int(width)


def advance(
    model: ClickModel, states: Sequence[ClickState], settings: PredictionSettings
) -> list[ClickState]:
    """Ask the model once for all states together; their images may differ in size.

    Args:
        model: A click model; a module is put in evaluation mode for the call and restored.
        states: States whose last click has not been answered yet.
        settings: Input size, zoom, flip.

    Returns:
        New states with ``probability`` and ``roi`` of this step, in the same order.

    Raises:
        InputError: The model returned something other than logits ``(B, 1, height, width)``.
    """
    if not states:
        return []
    size = input_size(model, settings.size)
    rois = [_next_roi(state, settings.zoom_in) for state in states]
    with torch.inference_mode(), evaluation_mode(model):
        views = [_view(state, roi, size) for state, roi in zip(states, rois, strict=True)]
        count = len(states)
        crops = torch.empty(2 * count if settings.flip else count, 4, *size, device=states[0].image.device)
        for one, state, roi, view in zip(crops, states, rois, views, strict=False):
            one[:3] = view
            one[3:] = 0 if state.probability is None else crop(state.probability[None], roi, size)
        clicks = [[to_crop(c, roi, size) for c in s.clicks] for s, roi in zip(states, rois, strict=True)]
        if settings.flip:
            crops[count:] = crops[:count].flip(-1)
            clicks += [[c._replace(col=size[1] - c.col - 1) for c in one] for one in clicks]
        logits = model(crops[:, :3], Prompt(pack_points(clicks).to(crops.device), crops[:, 3:]))
        if logits.shape != (len(crops), 1, *size):
            raise InputError(
                f"Expected logits of shape {(len(crops), 1, *size)} from the model, "
                f"but got {tuple(logits.shape)}."
            )
        logits = logits[:, 0].float()
        if settings.flip:
            straight, mirrored = logits.chunk(2)
            logits = 0.5 * (straight + mirrored.flip(-1))
        return [
            replace(state, probability=paste(answer, roi, state.shape), roi=roi, view=view, answer=answer)
            for state, roi, view, answer in zip(states, rois, views, logits.sigmoid(), strict=True)
        ]


def packed(state: ClickState) -> ClickState:
    """The same state without the maps that :func:`unpacked` can make again: a hundredth of the memory."""
    return state if state.answer is None else replace(state, probability=None, view=None)


def unpacked(state: ClickState) -> ClickState:
    """A packed state with its probability, to the bit; any other one as it is."""
    if state.probability is not None or state.answer is None or state.roi is None:
        return state
    with torch.inference_mode():
        return replace(state, probability=paste(state.answer, state.roi, state.shape))


def _view(state: ClickState, roi: ROI, size: tuple[int, int]) -> Tensor:
    if state.view is not None and state.roi == roi and state.view.shape[1:] == size:
        return state.view
    return crop(state.image, roi, size)


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
