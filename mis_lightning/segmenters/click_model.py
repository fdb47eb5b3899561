"""A click model as a segmenter: crop, ask, write back, for one object or several at once.

Rule: docs/protocol.md#one-answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mis_lightning.clicks.encoding import pack_points
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.segmenters.base import Box, Segmenter, check_image
from mis_lightning.segmenters.identity import model_identity
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.zoom_in import (
    ROI,
    ZoomIn,
    candidate_roi,
    choose_roi,
    crop,
    full_roi,
    grow,
    paste,
    to_crop,
)
from mis_lightning.structures import Click, Prompt

ClickModel = Callable[[Tensor, Prompt], Tensor]
"""``model(image, prompt) -> logits``, see :mod:`mis_lightning.structures`."""


class Look(NamedTuple):
    """One answer to a first click.

    Attributes:
        roi: Where it was asked for.
        answer: Probability, float32, ``(h, w)``.
        score: The IoU with the object that is expected of it, in ``[0, 1)``.
    """

    roi: ROI
    answer: Tensor
    score: float


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
        tree: Merge tree of the ROI, where answers are sharpened; used as long as the ROI stays.
        leaves: Which of its leaves belong, bool, ``(h, w)``; ``None`` where answers are not sharpened.
        bound: The box that the object began with, while no click has left it.
        looks: Other answers to the first click, best first, with the scores of all, this one's among them.
    """

    image: Tensor
    clicks: tuple[Click, ...] = ()
    probability: Tensor | None = None
    roi: ROI | None = None
    view: Tensor | None = None
    answer: Tensor | None = None
    tree: MergeTree | None = None
    leaves: NDArray[np.bool_] | None = None
    bound: Box | None = None
    looks: tuple[Look, ...] = ()

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
        with torch.inference_mode():
            first = [self._looks_first(state) for state in states]
            later = [state for state, looks in zip(states, first, strict=True) if not looks]
            answered = iter(self._answer(later))
            return [
                self._look_first(state) if looks else next(answered)
                for state, looks in zip(states, first, strict=True)
            ]

    def _answer(self, states: Sequence[ClickState]) -> list[ClickState]:
        """Ask once for all states, each in its crop."""
        if not states:
            return []
        rois = [_next_roi(state, self.prediction.zoom_in) for state in states]
        views = [self._view(state, roi) for state, roi in zip(states, rois, strict=True)]
        answers = self._ask(states, rois, views)
        return [
            self._finish(state, roi, answer, view)
            for state, roi, view, answer in zip(states, rois, views, answers, strict=True)
        ]

    def _looks_first(self, state: ClickState) -> bool:
        """Whether a state waits for the answer to its very first click, which several crops may give."""
        return (
            self.prediction.first_look is not None
            and state.probability is None
            and len(state.clicks) == 1
            and state.clicks[0].positive
        )

    def _look_first(self, state: ClickState) -> ClickState:
        """Ask in several crops around the first click at once, and take the answer that looks best."""
        first_look, (click,) = self.prediction.first_look, state.clicks
        if first_look is None:  # for the type checker: _looks_first has seen to it
            raise RuntimeError("No first look is set.")
        rois, size = first_look.rois(state.shape, click), first_look.size or self._size
        views = torch.stack([crop(state.image, roi, size) for roi in rois])
        points = pack_points([[to_crop(click, roi, size)] for roi in rois]).to(self.device)
        with evaluation_mode(self.model):
            logits = self.model(views, Prompt(points, torch.zeros_like(views[:, :1])))
        answers = logits[:, 0].float().sigmoid()
        found = answers.cpu().numpy()
        ranked = first_look.choose(views.cpu().numpy(), found, rois, click, state.shape)
        looks = tuple(
            Look(rois[look.roi], answers[look.roi].clone(), look.score)
            for look in first_look.alternatives(ranked, found, rois)
        )
        return self._finish(replace(state, looks=looks), looks[0].roi, looks[0].answer)

    def _finish(self, state: ClickState, roi: ROI, answer: Tensor, view: Tensor | None = None) -> ClickState:
        """The state after an answer in its crop: sharpened, and written back into the image."""
        bound = state.bound
        if bound is not None and not all(bound.holds(click) for click in state.clicks):
            bound = None  # the user has gone on beyond the box
        tree = leaves = None
        refinement = self.prediction.refinement
        if refinement is not None:
            tree = state.tree if state.roi == roi else None
            if tree is None:
                pixels = state.image[:, roi.row_min : roi.row_max + 1, roi.col_min : roi.col_max + 1]
                tree = refinement.tree(pixels.permute(1, 2, 0).cpu().numpy())
            logits = torch.logit(answer, 1e-4) - math.log(max(self.threshold, 1e-4) / (1 - self.threshold))
            leaves = refinement.leaves(tree, logits.cpu().numpy(), roi, state.clicks, bound)
        return replace(
            state,
            probability=paste(answer, roi, state.shape),
            roi=roi,
            view=view,
            answer=answer,
            tree=tree,
            leaves=leaves,
            bound=bound,
        )

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
        """Ask with the box as the previous mask and a click in its middle; the crop is the box, expanded.

        Where answers are sharpened, nothing outside the box belongs until a click lands there.
        """
        begun = self.place(state, box.mask(state.shape))
        if self.prediction.refinement is not None:
            begun = replace(begun, bound=box)
        return self.click([begun], [[box.centre]])[0]

    def alternatives(self, state: ClickState) -> list[tuple[ClickState, float]]:
        """The answers to a first click, best first, with their scores in ``[0, 1)``."""
        if len(state.clicks) != 1 or not state.looks:
            return [(state, 1.0)]
        with torch.inference_mode():
            return [(self._finish(state, look.roi, look.answer), look.score) for look in state.looks]

    def probability(self, state: ClickState) -> NDArray[np.float32]:
        """The last answer, float32, ``(H, W)``; zeros before the first.

        Where answers are sharpened, it is above the threshold on the mask and nowhere else.
        """
        if state.probability is None:
            return np.zeros(state.shape, dtype=np.float32)
        probability = state.probability.float().cpu().numpy().copy()
        if state.leaves is not None:
            limit, mask = np.float32(self.threshold), self.mask(state)
            probability[mask] = np.maximum(probability[mask], np.nextafter(limit, np.float32(1)))
            probability[~mask] = np.minimum(probability[~mask], limit)
        return probability

    def mask(self, state: ClickState) -> NDArray[np.bool_]:
        """The pixels that belong, bool, ``(H, W)``."""
        if state.probability is None and state.leaves is None:
            return np.zeros(state.shape, dtype=np.bool_)
        refinement = self.prediction.refinement
        if refinement is not None and state.leaves is not None and state.roi is not None:
            return refinement.mask(state.leaves, state.roi, state.shape, state.clicks)
        return (state.probability.float() > self.threshold).cpu().numpy()  # type: ignore[union-attr]

    def pack(self, state: ClickState) -> ClickState:
        """The state without the maps that :meth:`unpack` can make again: a hundredth of the memory."""
        return state if state.answer is None else replace(state, probability=None, view=None, tree=None)

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
    roi = choose_roi(state.roi, candidate, state.clicks, zoom_in)
    if zoom_in.grow_at_border and state.probability is not None and roi == state.roi:
        return grow(roi, state.probability, state.clicks, state.shape, zoom_in)
    return roi


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
