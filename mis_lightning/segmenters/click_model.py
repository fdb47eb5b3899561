"""A click model as a segmenter: crop, predict, paste back, for one object or a batch.

Rule: docs/protocol.md#one-answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mis_lightning.metrics.functional import iou
from mis_lightning.segmenters.asked_model import ClickModel, device_of, input_size, takes_granularity
from mis_lightning.segmenters.base import Box, Segmenter, check_image
from mis_lightning.segmenters.box import segment_box
from mis_lightning.segmenters.click_state import (
    ClickState,
    Look,
    above,
    mask_with,
    packed,
    roi_pixels,
    softened,
    unpacked,
)
from mis_lightning.segmenters.crop_model import CropModel
from mis_lightning.segmenters.first_look import FirstLook
from mis_lightning.segmenters.granularity import check_granularity
from mis_lightning.segmenters.identity import model_identity
from mis_lightning.segmenters.look_cues import Looks
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.second_look import choose_again, is_gross
from mis_lightning.segmenters.sharpened_answer import sharpened_answer
from mis_lightning.segmenters.told_views import look_for, with_room
from mis_lightning.segmenters.zoom_in import ROI, ZoomIn, crop, expand, next_roi, paste
from mis_lightning.structures import Click


class ClickModelSegmenter(Segmenter[ClickState]):
    """Crops around the object, runs a click model, and pastes its prediction into the image.

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
        look = prediction.first_look
        if look is not None and getattr(model, "fixed_size", False):
            look = replace(look, size=None)
        self._size = input_size(model, prediction.size)
        self.prediction = replace(prediction, size=self._size, first_look=look)
        self.device = torch.device(device) if device is not None else device_of(model)
        self.threshold = prediction.threshold
        limit = min(max(prediction.threshold, 1e-4), 1 - 1e-4)
        self._threshold_logit = math.log(limit / (1 - limit))

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
            later = [i for i, looks in enumerate(first) if not looks]
            answered = iter(self._answer([states[i] for i in later], [clicks[i] for i in later]))
            return [
                self._look_first(state) if looks else self._look_again(state, next(answered), new)
                for state, looks, new in zip(states, first, clicks, strict=True)
            ]

    def _answer(self, states: Sequence[ClickState], new: Sequence[Sequence[Click]]) -> list[ClickState]:
        """Ask once for all states, each in its crop; the last of their clicks are new."""
        if not states:
            return []
        zoom_in = self.prediction.zoom_in
        rois = [next_roi(s.roi, s.probability, s.clicks, s.shape, zoom_in) for s in states]
        rois = [r if n else with_room(r, s, zoom_in) for r, s, n in zip(rois, states, new, strict=True)]
        views, logits = self._crops.ask(states, rois, self.prediction.flip)
        said = map(self._crops.with_looks, states, rois, logits)
        return self._look_closer(states, list(map(self._finish, states, rois, said, views, new)), new)

    def _look_closer(
        self, before: Sequence[ClickState], after: list[ClickState], new: Sequence[Sequence[Click]]
    ) -> list[ClickState]:
        """Ask once more around each single click that corrects a small part; the crop stays as it is."""
        look, refinement = self.prediction.closer_look, self.prediction.refinement
        if look is None or refinement is None:
            return after
        masks = [self._before(s) if len(n) == 1 else None for s, n in zip(before, new, strict=True)]
        wanted: dict[int, ROI] = {}
        for index, (mask, roi) in enumerate(zip(masks, (state.roi for state in after), strict=True)):
            window = look.window(mask.cpu().numpy(), new[index][0], roi) if mask is not None and roi else None
            wanted |= {} if window is None else {index: window}
        if not wanted:
            return after
        refinement = replace(refinement, max_side=min(refinement.max_side, look.max_side))
        parts = [replace(after[index], granularity=None) for index in wanted]  # which is of whole objects
        _, logits = self._crops.ask(parts, list(wanted.values()), flip=False)
        for (index, window), answer in zip(wanted.items(), logits, strict=True):
            answered, over = after[index], self._over(look.mixed(after[index], window, answer))
            asked = (refinement, answered, window, over, new[index], masks[index], answered.probability)
            after[index] = replace(answered, probability=sharpened_answer(*asked)[0])
        return after

    def _looks_first(self, state: ClickState) -> bool:
        """Whether a state waits for the answer to its very first click, which several crops may give."""
        fresh = state.probability is None and len(state.clicks) == 1 and state.clicks[0].positive
        return self.prediction.first_look is not None and fresh

    def look(self, state: ClickState, clicks: Sequence[Click], first_look: FirstLook) -> tuple[Looks, Tensor]:
        """Ask in several crops around the first of some clicks at once, as if there were no answer yet.

        Returns:
            The crops that hold all positive clicks, with the answers; and their logits, float32
            ``(n, h, w)``, where the model is.
        """
        wanted = [click for click in clicks if click.positive]
        rois = [r for r in first_look.rois(state.shape, clicks[0]) if all(map(r.holds, wanted))]
        with torch.inference_mode():
            asked = replace(state, clicks=tuple(clicks))
            views, logits = self._crops.ask_afresh(asked, rois, first_look.size or self._size)
        return Looks(rois, views.cpu().numpy(), logits.sigmoid().cpu().numpy(), state.shape), logits

    def _look_first(self, state: ClickState) -> ClickState:
        """Take the answer to a first click that looks best."""
        (click,), first_look = state.clicks, look_for(self.prediction.first_look, state)
        assert first_look is not None
        found, logits = self.look(state, state.clicks, first_look)
        ranked = first_look.alternatives(first_look.choose(found, click), found)
        asked = ((found.rois[one.roi], logits[one.roi].clone(), one.score) for one in ranked)
        looks = tuple(
            Look(roi, self._crops.with_looks(state, roi, said), score) for roi, said, score in asked
        )
        return self._finish(replace(state, looks=looks), looks[0].roi, looks[0].logits)

    def _look_again(self, before: ClickState, after: ClickState, new: Sequence[Click]) -> ClickState:
        """Where a click corrects a gross error of a first look, the best of the answers of all windows.

        Only where the mask comes from clicks alone: what was brought or painted by hand is the user's.
        """
        look = look_for(self.prediction.first_look, before)
        if look is None or not (look.again and before.looks and len(new) == 1) or before.held is not None:
            return after
        mask = self.mask(before)
        if after.roi is None or not is_gross(mask, new[0], look.again):
            return after
        found, logits = self.look(after, after.clicks, look)
        size, now = found.views.shape[-2:], torch.from_numpy(self.mask(after))[None].float()
        seen = crop(after.image, after.roi, size).cpu().numpy()
        looks = found.and_one(after.roi, seen, crop(now, after.roi, size)[0].numpy())
        best = choose_again(look, looks, mask, after.clicks)
        if best == len(found.rois):
            return after
        roi = found.rois[best]
        return self._finish(after, roi, self._crops.with_looks(after, roi, logits[best].clone()))

    def _finish(
        self,
        state: ClickState,
        roi: ROI,
        logits: Tensor,
        view: Tensor | None = None,
        new: Sequence[Click] = (),
    ) -> ClickState:
        """The state after an answer in its crop: sharpened, and written back into the image.

        Where there are new clicks, the mask changes near them; where not, colours have a say.
        """
        logits = logits if new else self._crops.with_colours(state, roi, logits)
        answer, tree, refinement = logits.sigmoid(), None, self.prediction.refinement
        if refinement is None:
            probability = paste(answer, roi, state.shape)
        else:
            before = self._before(state) if new else None
            probability, tree = sharpened_answer(refinement, state, roi, self._over(logits), new, before)
        answered = replace(state, probability=probability, guess=False, answer=answer)
        return replace(answered, roi=roi, view=view, tree=tree)

    @property
    def _crops(self) -> CropModel:
        return CropModel(self.model, self.device, self.prediction, self._size)

    def _over(self, logits: Tensor) -> NDArray[np.float32]:
        return np.asarray((logits - self._threshold_logit).cpu().numpy(), np.float32)

    def _before(self, state: ClickState) -> Tensor | None:
        """The mask that new clicks change, bool, ``(H, W)``; ``None`` where they may change everything."""
        last, refinement = state.probability, self.prediction.refinement
        if refinement is None or refinement.reach == 0 or last is None or state.guess:
            return None
        mask = above(last, self.threshold)
        return mask if mask.cpu().numpy().any() else None

    def place(self, state: ClickState, mask: NDArray[Any], clicks: Sequence[Click] = ()) -> ClickState:
        """Start again from a mask or a probability map, ``(H, W)``: the previous mask of the next step."""
        previous = torch.from_numpy(np.array(mask)).to(self.device)
        return ClickState(state.image, tuple(clicks), previous, granularity=state.granularity)

    def carry(self, state: ClickState, mask: NDArray[np.bool_], clicks: Sequence[Click] = ()) -> ClickState:
        """Start again from a mask that is a guess: clicks may change all of it."""
        placed = replace(self.place(state, mask), guess=True)
        return self.click([placed], [clicks])[0] if clicks else placed

    def hold(self, state: ClickState, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> ClickState:
        """A state whose next answers have these pixels as hard labels, where answers are sharpened."""
        return replace(state, held=(inside, outside))

    def box(self, state: ClickState, box: Box) -> ClickState:
        """Ask with the box as the previous mask and a click in its middle; the crop is the box, expanded.

        Where answers are sharpened, nothing outside the box belongs, and tree and colours have a say
        (:func:`~mis_lightning.segmenters.box.segment_box`).
        """
        refinement = self.prediction.refinement
        if refinement is None:
            return self.click([self.place(state, box.mask(state.shape))], [[box.centre]])[0]
        edges = ROI(int(box.top), int(box.bottom), int(box.left), int(box.right))
        roi = expand(edges, state.shape, self.prediction.zoom_in or ZoomIn())
        shown, view = torch.zeros(state.shape, device=self.device), crop(state.image, roi, self._size)
        placed = ClickState(state.image, (box.centre,), shown, roi, view, granularity=state.granularity)

        def asked(previous: NDArray[np.float32], clicks: Sequence[Click]) -> NDArray[np.float32]:
            shown[roi.window] = torch.from_numpy(previous)
            at = [c._replace(row=c.row + roi.row_min, col=c.col + roi.col_min) for c in clicks]
            _, logits = self._crops.ask([replace(placed, clicks=tuple(at))], [roi], self.prediction.flip)
            return self._over(logits[0] + looks)

        with torch.inference_mode():
            looks = self._crops.with_looks(placed, roi, torch.zeros_like(view[0]))
            drawn = box.mask(state.shape)[roi.window]
            mask = mask_with(state, roi, segment_box(asked, roi_pixels(state, roi), drawn, refinement))
        middle = (box.centre,) if mask[int(box.centre.row), int(box.centre.col)] else ()
        return ClickState(state.image, middle, mask, roi, granularity=state.granularity)

    @property
    def takes_granularity(self) -> bool:
        """Whether the model takes the size of an object."""
        return takes_granularity(self.model)

    def with_granularity(self, state: ClickState, granularity: float | None) -> ClickState:
        """Answer the clicks again for an object of this size; later clicks keep it.

        After a first click all windows are asked again, later the crop of the last answer is. All of the mask
        may change. Without clicks nothing is answered.
        """
        if granularity is not None:
            check_granularity(granularity)
            super().with_granularity(state, granularity)
        told = replace(state, granularity=granularity)
        if granularity == state.granularity or not state.clicks:
            return told
        if len(state.clicks) == 1 and state.looks:
            begun = ClickState(state.image, granularity=granularity)
            return self.click([begun], [state.clicks])[0]
        with torch.inference_mode():
            return self._answer([told], [()])[0]

    def alternatives(self, state: ClickState) -> list[tuple[ClickState, float]]:
        """The answers to a first click, best first, with their scores in ``[0, 1)``; alike ones once."""
        look_first = self.prediction.first_look
        if len(state.clicks) != 1 or not state.looks or look_first is None:
            return [(state, 1.0)]
        kept: list[tuple[ClickState, float]] = []
        masks: list[NDArray[np.bool_]] = []
        for look in state.looks:
            with torch.inference_mode():
                other = self._finish(state, look.roi, look.logits)
            mask = self.mask(other)
            # Sharpening may make answers alike.
            if all(iou(mask, one, None) < look_first.distinct for one in masks):
                kept.append((other, look.score))
                masks.append(mask)
        return kept

    def probability(self, state: ClickState) -> NDArray[np.float32]:
        """The last answer, float32, ``(H, W)``; zeros before the first.

        Where answers are sharpened, it is above the threshold on the mask and nowhere else.
        """
        if state.probability is None:
            return np.zeros(state.shape, dtype=np.float32)
        if state.answer is None or state.roi is None or self.prediction.refinement is None:
            return state.probability.float().cpu().numpy().copy()
        with torch.inference_mode():
            soft: NDArray[np.float32] = paste(state.answer, state.roi, state.shape).cpu().numpy()
        return softened(state.probability.cpu().numpy(), soft, self.threshold)

    def mask(self, state: ClickState) -> NDArray[np.bool_]:
        """The pixels that belong, bool, ``(H, W)``."""
        if state.probability is None:
            return np.zeros(state.shape, dtype=np.bool_)
        return above(state.probability, self.threshold).cpu().numpy().copy()

    def pack(self, state: ClickState) -> ClickState:
        """The state without the maps that :meth:`unpack` can make again: a hundredth of the memory."""
        return packed(state)

    def unpack(self, state: ClickState) -> ClickState:
        """A packed state with its probability, to the bit; any other one as it is."""
        return unpacked(state)

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
