"""A click model that is asked about crops of states: what it sees there, and the log-odds it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mis_lightning.segmenters.asked_model import ClickModel, ask
from mis_lightning.segmenters.click_state import ClickState, previous_mask
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.told_views import in_views
from mis_lightning.segmenters.zoom_in import ROI, crop, full_roi, to_crop


@dataclass(frozen=True)
class CropModel:
    """A model, and how it is asked.

    Attributes:
        model: A click model.
        device: Where it computes.
        prediction: How it is run.
        size: ``(h, w)`` of its input.
    """

    model: ClickModel
    device: torch.device
    prediction: PredictionSettings
    size: tuple[int, int]

    def view(self, state: ClickState, roi: ROI) -> Tensor:
        """What the model sees of a crop, float32, ``(3, h, w)``; that of the last answer is not made anew."""
        if state.view is not None and state.roi == roi and state.view.shape[1:] == self.size:
            return state.view
        return crop(state.image, roi, self.size)

    def ask(
        self, states: Sequence[ClickState], rois: Sequence[ROI], flip: bool
    ) -> tuple[list[Tensor], Tensor]:
        """Ask about each state, with its clicks and its last mask, in a crop.

        Args:
            states: As many as there are crops.
            rois: The crops.
            flip: Average with the mirrored input.

        Returns:
            What the model saw, float32, ``(3, h, w)`` each, and its logits, ``(B, h, w)``.
        """
        refinement = self.prediction.refinement
        feedback = 1.0 if refinement is None else refinement.feedback
        seen = [self.view(state, roi) for state, roi in zip(states, rois, strict=True)]
        views = torch.stack(seen)
        previous = torch.zeros_like(views[:, :1])
        for one, state, roi in zip(previous, states, rois, strict=True):
            if state.probability is not None:
                last = previous_mask(state, feedback, roi)
                one[:] = crop(last[None], full_roi((roi.height, roi.width)), self.size)
        clicks = [[to_crop(c, roi, self.size) for c in s.clicks] for s, roi in zip(states, rois, strict=True)]
        told = in_views(states, rois, self.device)
        return seen, ask(self.model, self.device, views, previous, clicks, flip, told)

    def ask_afresh(
        self, state: ClickState, rois: Sequence[ROI], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Ask about several crops of one state as if there were no mask yet.

        Args:
            state: With its clicks.
            rois: The crops.
            size: Of the model's input.

        Returns:
            The views, float32, ``(B, 3, h, w)``, and the logits, ``(B, h, w)``.
        """
        views = torch.stack([crop(state.image, roi, size) for roi in rois])
        clicks = [[to_crop(click, roi, size) for click in state.clicks] for roi in rois]
        told, nothing = in_views([state] * len(rois), rois, self.device), torch.zeros_like(views[:, :1])
        return views, ask(self.model, self.device, views, nothing, clicks, False, told)

    def with_colours(self, state: ClickState, roi: ROI, logits: Tensor) -> Tensor:
        """Logits in a crop, ``(h, w)``, corrected by the colours there."""
        cut, size = self.prediction.colour_cut, (logits.shape[-2], logits.shape[-1])
        if cut is None:
            return logits
        clicks = [to_crop(click, roi, size) for click in state.clicks]
        return cut.mixed(crop(state.image, roi, size), logits, clicks)

    def with_looks(self, state: ClickState, roi: ROI, logits: Tensor) -> Tensor:
        """Logits in a crop, ``(h, w)``, and what the looks of its pixels add to them."""
        known, size = self.prediction.appearance, (logits.shape[-2], logits.shape[-1])
        return logits if known is None else logits + known.log_odds(state.image, roi, state.clicks, size)
