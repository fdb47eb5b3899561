"""What a click model is told of the size of the wanted object in each view, and the room that it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from mis_lightning.models.click_hybrid import granularity_of
from mis_lightning.segmenters.first_look import FirstLook
from mis_lightning.segmenters.granularity import wanted_area
from mis_lightning.segmenters.zoom_in import ROI, ZoomIn, expand


class Told(Protocol):
    """A state that may know how large the object is."""

    @property
    def granularity(self) -> float | None:
        """Of the image; ``None``: not told."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)`` of the image."""
        ...


def in_views(states: Sequence[Told], rois: Sequence[ROI], device: torch.device) -> Tensor | None:
    """What a click model is told of each view: the wanted area as a share of the view.

    Args:
        states: One for each view.
        rois: What each view shows, in pixels of the image.
        device: Of the result.

    Returns:
        :func:`~mis_lightning.models.click_hybrid.granularity_of` of the share, float32, ``(B,)``, NaN where a
        state has none; ``None`` where no state has one, so that a model is asked as if there were no sizes.
    """
    shares = [
        math.nan
        if state.granularity is None
        else min(1.0, wanted_area(state.granularity, state.shape) / (roi.height * roi.width))
        for state, roi in zip(states, rois, strict=True)
    ]
    if all(map(math.isnan, shares)):
        return None
    return granularity_of(torch.tensor(shares, dtype=torch.float32, device=device))


def look_for(look: FirstLook | None, state: Told) -> FirstLook | None:
    """How to look at an object: where its size is told, that speaks in the choice of the answer."""
    if look is None or state.granularity is None:
        return look
    return look.for_area(wanted_area(state.granularity, state.shape))


def with_room(roi: ROI, state: Told, zoom_in: ZoomIn | None) -> ROI:
    """The ROI, or a larger one about its centre where the wanted object would fill it.

    Args:
        roi: Where the object was last.
        state: What is wanted.
        zoom_in: How closely to crop; ``None``: there is no cropping.
    """
    if state.granularity is None or zoom_in is None:
        return roi
    sides = math.sqrt(wanted_area(state.granularity, state.shape) / (roi.height * roi.width))
    wider = replace(zoom_in, expansion=max(1.0, zoom_in.expansion * sides))
    return expand(roi, state.shape, wider) if wider.expansion > 1 else roi
