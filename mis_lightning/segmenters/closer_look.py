"""A closer look at what a click corrects.

After the answer in its crop, the model is asked once more in a smaller window around the click, with that
answer as the previous mask: it sees the border there finer. In the window the two answers are mixed. The
click tells how large the error is, as in :mod:`.locality`. FocalClick (Chen et al., CVPR 2022) and FocusCut
(Lin et al., CVPR 2022) have such a step; measured here in ``experiments/closer_look``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.segmenters.click_state import ClickState
from mis_lightning.segmenters.locality import depth_in
from mis_lightning.segmenters.number_settings import NumberSettings
from mis_lightning.segmenters.zoom_in import ROI, crop, full_roi, paste_within
from mis_lightning.structures import Click

_MOST_SURE = 1e-4  # probabilities nearer to 0 and 1 are as sure as this one


@dataclass(frozen=True)
class CloserLook(NumberSettings):
    """How closely to look.

    Attributes:
        depths: Side of the window, in depths of the click: its distance to the nearest pixel that already has
            its label; above 2, so that the window reaches that pixel.
        least: Least side, as a share of the crop's longer side.
        most: Where the window would be larger than this share of it, there is no closer look.
        share: How much the closer answer counts in the window, in ``(0, 1]``; the rest is the crop's.
        min_side: Least side in pixels of the image.
        max_side: Leaves on the longer side of the window's merge tree, at most.
    """

    called = "a closer look"

    depths: float = 6.0
    least: float = 0.25
    most: float = 0.7
    share: float = 0.5
    min_side: int = 24
    max_side: int = 160

    def __post_init__(self) -> None:
        if not (2 < self.depths <= 1000 and 0 < self.least <= self.most <= 1 and 0 < self.share <= 1):
            raise InputError(
                "Expected `depths` in (2, 1000], `least`, `most` and `share` in (0, 1] and `least` no more "
                "than `most` of a closer look, but got "
                f"{self.depths}, {self.least}, {self.most} and {self.share}."
            )
        if not (2 <= self.min_side <= 1024 and 2 <= self.max_side <= 1024):
            raise InputError(
                "Expected `min_side` and `max_side` in 2..1024 of a closer look, "
                f"but got {self.min_side} and {self.max_side}."
            )

    def window(self, before: NDArray[np.bool_], click: Click, roi: ROI) -> ROI | None:
        """Where to look again.

        Args:
            before: The mask that is clicked on, bool, ``(H, W)``.
            click: Inside the image.
            roi: The crop of the answer.

        Returns:
            A window around the click, cut off at the border of the crop; ``None``: nowhere.

        Example:
            >>> mask = np.zeros((100, 100), bool)
            >>> mask[20:60, 20:60] = True
            >>> CloserLook().window(mask, Click(65, 40, True), ROI(0, 99, 0, 99))
            ROI(row_min=47, row_max=83, col_min=22, col_max=58)
        """
        longer = max(roi.height, roi.width)
        row, col = int(click.row), int(click.col)
        depth = depth_in(before, row, col, click.positive)
        side = max(self.depths * depth, self.least * longer, self.min_side)
        if depth == 0 or side > self.most * longer or not roi.holds(click):
            return None
        half = side / 2
        return ROI(
            max(roi.row_min, round(row - half)),
            min(roi.row_max, round(row + half)),
            max(roi.col_min, round(col - half)),
            min(roi.col_max, round(col + half)),
        )

    def mixed(self, state: ClickState, window: ROI, closer: Tensor) -> Tensor:
        """Both answers in a window, in log-odds.

        Looks of pixels are in that of the crop alone, which sees the clicks that decide whether they count.

        Args:
            state: With an answer in a crop that holds the window.
            window: Where the model was asked again.
            closer: What it said there, logits, float32, ``(h, w)``.

        Returns:
            float32, ``(h, w)``.
        """
        assert state.answer is not None
        assert state.roi is not None
        limit = float(torch.logit(torch.tensor(1 - _MOST_SURE)))
        said = paste_within(torch.logit(state.answer, eps=_MOST_SURE), state.roi, window)
        size = (closer.shape[-2], closer.shape[-1])
        before = crop(said[None], full_roi((window.height, window.width)), size)[0]
        return torch.lerp(before, closer.clamp(-limit, limit), self.share)
