"""How large the wanted object is: one scale that means the same in every image, and in a view of it.

A granularity ``g`` in ``[0, 1]`` wants an object that covers ``10 ** (4 * (g - 1))`` of the image: 0 is a
ten-thousandth, 1 all of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.models.click_hybrid import granularity_of
from mis_lightning.segmenters.zoom_in import ROI, ZoomIn, expand

_DECADES = 4.0


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


def wanted_area(granularity: float, shape: tuple[int, int]) -> float:
    """Pixels that an object of this granularity covers in an image of size ``(H, W)``.

    >>> wanted_area(0.5, (100, 100))
    100.0
    """
    return float(shape[0] * shape[1] * 10.0 ** (_DECADES * (granularity - 1)))


def granularity_of_area(area: float, shape: tuple[int, int]) -> float:
    """The inverse of :func:`wanted_area`, in ``[0, 1]``; 0 for an area below a ten-thousandth.

    >>> granularity_of_area(100, (100, 100))
    0.5
    """
    share = area / (shape[0] * shape[1])
    return min(1.0, max(0.0, 1 + math.log10(share) / _DECADES)) if share > 0 else 0.0


def check_granularity(granularity: object) -> float:
    """A granularity as a float.

    Raises:
        InputError: It is no number in ``[0, 1]``.
    """
    number = isinstance(granularity, (int, float)) and not isinstance(granularity, bool)
    if not (number and 0 <= granularity <= 1):  # type: ignore[operator]
        raise InputError(
            "Expected a `granularity` in [0, 1], 0 for a ten-thousandth of the image and 1 for all of it, "
            f"but got {granularity!r}; leave it out to ask for no size."
        )
    return float(granularity)  # type: ignore[arg-type]


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
