"""How a click model is asked: by the published protocol, or as a model recommends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mis_lightning.errors import InputError
from mis_lightning.segmenters.appearance_prior import AppearancePrior
from mis_lightning.segmenters.closer_look import CloserLook
from mis_lightning.segmenters.colour_cut import ColourCut
from mis_lightning.segmenters.first_look import FirstLook
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.zoom_in import ZoomIn

MAX_SIDE = 4096
"""Largest input of a network that settings may ask for, in pixels a side."""

UNPUBLISHED: Mapping[str, Any] = {
    "first_look": FirstLook,
    "colour_cut": ColourCut,
    "refinement": Refinement,
    "closer_look": CloserLook,
    "appearance": AppearancePrior,
}
"""The settings that the published protocol does not have, and what holds each: ``None`` is as published."""


@dataclass(frozen=True)
class PredictionSettings:
    """How a click model is run.

    Attributes:
        size: ``(height, width)`` of the network's input; ``None`` takes ``model.input_size`` where the model
            has one and ``(448, 448)`` elsewhere. The published DAVIS figures use ``(672, 672)``.
        zoom_in: When to crop; ``None`` resizes the whole image at every click.
        flip: Average the logits with those of the mirrored input.
        threshold: A pixel belongs to the mask where its probability is above this (published SimpleClick
            and RITM figures: 0.49, docs/protocol.md#thresholds).
        first_look: Choose at the first click how closely to look; ``None``: the whole image, as published.
        colour_cut: Correct the answers of a first or second look, and those for another size, by their
            colours; ``None``: not, as published.
        refinement: Sharpen the answers by the merge tree; ``None``: not, as published.
        closer_look: Look again at what a click corrects, where answers change near clicks alone
            (``refinement.reach``); ``None``: not, as published.
        appearance: What the pixels of the wanted objects look like; ``None``: not known, as published.
    """

    size: tuple[int, int] | None = None
    zoom_in: ZoomIn | None = field(default_factory=ZoomIn)
    flip: bool = True
    threshold: float = 0.5
    first_look: FirstLook | None = None
    colour_cut: ColourCut | None = None
    refinement: Refinement | None = None
    closer_look: CloserLook | None = None
    appearance: AppearancePrior | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError(f"Expected `threshold` in [0, 1), but got {self.threshold}.")

    def to_json(self) -> dict[str, Any]:
        """JSON values, for :meth:`from_json`; what is not published is left out where it is off."""
        parts = {name: getattr(self, name) for name in UNPUBLISHED}
        return {
            "size": None if self.size is None else list(self.size),
            "zoom_in": None if self.zoom_in is None else self.zoom_in.to_json(),
            "flip": self.flip,
            "threshold": self.threshold,
            **{name: part.to_json() for name, part in parts.items() if part is not None},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PredictionSettings:
        """Read settings from a click log or a ``config.json``; keys it does not know are left alone.

        Raises:
            InputError: They are no settings.
        """
        size, threshold = content.get("size"), content.get("threshold", 0.5)
        sound = (
            isinstance(content.get("flip", True), bool)
            and type(threshold) in (int, float)
            and (size is None or (isinstance(size, list) and len(size) == 2))
            and all(type(side) is int and 1 <= side <= MAX_SIDE for side in size or ())
        )
        if not sound:
            raise InputError(f"Expected the settings of a click model, but got {str(dict(content))[:200]}.")
        given = {name: content[name] for name in ("flip", "threshold") if name in content}
        for name, part in {"zoom_in": ZoomIn, **UNPUBLISHED}.items():
            if name in content:
                given[name] = None if content[name] is None else part.from_json(content[name])
        return cls(size=None if size is None else (size[0], size[1]), **given)
