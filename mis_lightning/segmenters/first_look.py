"""At the first click: how closely to look.

The published evaluation shows the whole image, where an object of 20 pixels in an image of 1000 is 3 pixels
of the network's input. Here the model answers at several windows around the click in one batch, and the
answer that looks most like an object is taken. What looks like an object is learned without labels
(``experiments/first_look``). The other answers are alternatives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import exp, isfinite, log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.segmenters.look_cues import CUES, Looks, measure_looks, overlaps
from mis_lightning.segmenters.size_prior import SizePrior
from mis_lightning.segmenters.zoom_in import ROI, full_roi
from mis_lightning.structures import Click

_TOLD_SPREAD = 0.5  # of the logarithm of an area that the user told


class Weight(NamedTuple):
    """What a cue counts: ``factor`` times its standardised value."""

    mean: float
    deviation: float
    factor: float

    def standardised(self, cue: NDArray[np.float64]) -> NDArray[np.float64]:
        """A cue in deviations from its mean, at most 4 to either side."""
        return np.clip((cue - self.mean) / self.deviation, -4, 4)


class ScoredLook(NamedTuple):
    """A look and what is expected of it.

    Attributes:
        roi: Number of its ROI.
        score: The IoU that its answer should have, in ``[0, 1)``; 0 where the answer is empty.
    """

    roi: int
    score: float


@dataclass(frozen=True)
class FirstLook:
    """Where to look at the first click, and which answer to take.

    Attributes:
        cues: What each cue counts (:data:`~mis_lightning.segmenters.look_cues.CUES`).
        bias: Added to the sum; the score is its logistic function.
        wide: Added for every time that a window is ``e`` times as large (its longer side).
        known_area: What the sizes of accepted objects count, where they are known: a factor of
            :meth:`~mis_lightning.segmenters.size_prior.SizePrior.cost`.
        size: ``(height, width)`` of the model's input at the first click; ``None``: as later.
        least: Side of the smallest window in pixels.
        step: From one window's side to the next, at least.
        most: Number of windows at most, the whole image among them.
        distinct: Alternatives overlap by an IoU of less than this.
        sizes: Of the objects accepted so far, where they are known: objects are often alike.
        again: From which depth of a later click on, in radii of the mask, all windows are asked again
            (:mod:`.second_look`); 0: never.
        explains: What it counts at a later click how well an answer explains it.
        keeps: What it counts that an answer is that of the window of before.
    """

    cues: Mapping[str, Weight]
    bias: float = 0.0
    wide: float = 0.0
    known_area: float = 0.4
    size: tuple[int, int] | None = None
    least: int = 32
    step: float = 1.5
    most: int = 8
    distinct: float = 0.75
    sizes: SizePrior | None = None
    again: float = 0.0
    explains: float = 4.0
    keeps: float = 0.5

    def __post_init__(self) -> None:
        unknown = sorted(set(self.cues) - set(CUES))
        if unknown:
            raise InputError(f"Expected cues of a first look among {', '.join(CUES)}, but got {unknown}.")
        rest = (self.bias, self.wide, self.known_area, self.again, self.explains, self.keeps)
        for name, numbers in {**self.cues, "the rest": rest}.items():
            if not all(isfinite(number) for number in numbers):
                raise InputError(f"Expected finite numbers for {name} of a first look, but got {numbers}.")
        if any(weight.deviation <= 0 for weight in self.cues.values()):
            raise InputError("Expected deviations above 0 for the cues of a first look.")
        if not (self.least >= 1 and self.step > 1 and self.most >= 1 and 0 < self.distinct <= 1):
            raise InputError(
                "Expected `least` >= 1, `step` > 1, `most` >= 1 and `distinct` in (0, 1] of a first look, "
                f"but got {self.least}, {self.step}, {self.most} and {self.distinct}."
            )
        if self.again < 0:
            raise InputError(f"Expected `again` of a first look of at least 0, but got {self.again}.")
        if self.size is not None and min(self.size) < 1:
            raise InputError(f"Expected `size` of a first look positive, but got {self.size}.")

    def for_area(self, area: float) -> FirstLook:
        """The same for an object that covers ``area`` pixels, as the user said, whatever others were like."""
        return replace(self, sizes=SizePrior(log(area), _TOLD_SPREAD), known_area=1.0)

    def rois(self, shape: tuple[int, int], click: Click) -> list[ROI]:
        """The windows to ask at: the whole image, then squares around the click, ever closer.

        Args:
            shape: ``(H, W)`` of the image.
            click: Inside it.

        Returns:
            At most ``most``. Their sides go down to ``least`` in equal ratios. They are moved into the
            image, and no side is longer than the image's.
        """
        longest = max(shape)
        closer = min(self.most - 1, int(log(max(longest / self.least, 1)) / log(self.step)))
        sides = [longest * (self.least / longest) ** (k / closer) for k in range(1, closer + 1)]
        return [full_roi(shape), *(_window(shape, click, round(side)) for side in sides)]

    def choose(self, looks: Looks, click: Click) -> list[ScoredLook]:
        """Order the answers, best first.

        Args:
            looks: At the windows that :meth:`rois` gave.
            click: The click, positive, in pixels of the image.

        Returns:
            All looks. Of equal ones the wider comes first; an empty answer comes last.
        """
        scores = self.rate(looks, click)
        order = np.argsort(-scores, kind="stable")
        return [ScoredLook(int(i), 1 / (1 + exp(-scores[i])) if isfinite(scores[i]) else 0.0) for i in order]

    def rate(self, looks: Looks, click: Click) -> NDArray[np.float64]:
        """Logits of the scores of answers, float64, ``(n,)``; ``-inf`` where one is empty.

        Args are those of :meth:`choose`.
        """
        scores = self.score_cues(measure_looks(looks, click), looks.sides())
        if self.sizes is not None:
            scores -= self.known_area * self.sizes.cost(looks.areas())
        return np.where(np.isnan(scores), -np.inf, scores)

    def score_cues(self, cues: NDArray[np.float64], sides: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up the cues of the looks at one click.

        Args:
            cues: As measured, float64, ``(n, len(CUES))``.
            sides: Longer side of each window, float64, ``(n,)``; the widest window is the whole image.

        Returns:
            Logits of the scores, float64, ``(n,)``; ``nan`` where an answer is empty.
        """
        total = self.bias + self.wide * np.log(sides / sides.max())
        for name, weight in self.cues.items():
            total += weight.factor * weight.standardised(cues[:, CUES.index(name)])
        return np.asarray(total, np.float64)

    def alternatives(
        self,
        ranked: Sequence[ScoredLook],
        looks: Looks,
        count: int = 3,
    ) -> list[ScoredLook]:
        """The best looks whose answers differ, best first.

        Args:
            ranked: As :meth:`choose` gave them.
            looks: As given there.
            count: How many.

        Returns:
            The best look, and then each whose answer overlaps every one before by less than ``distinct``;
            where these are fewer than ``count``, the best of the others are added at the end.
        """
        rois, objects = looks.rois, looks.probabilities > 0.5
        filled = [i for i in range(len(rois)) if objects[i].any()]
        overlap = np.zeros((len(rois), len(rois)))
        overlap[np.ix_(filled, filled)] = overlaps(objects[filled], [rois[i] for i in filled])
        taken: list[ScoredLook] = []
        for look in ranked:
            if look.roi in filled and all(overlap[look.roi, t.roi] < self.distinct for t in taken):
                taken.append(look)
        return [*taken, *(look for look in ranked if look not in taken)][:count]

    def to_json(self) -> dict[str, Any]:
        """JSON values, for :meth:`from_json`."""
        content = {**asdict(self), "cues": {name: list(weight) for name, weight in self.cues.items()}}
        del content["sizes"]
        return content if self.sizes is None else {**content, "sizes": [self.sizes.middle, self.sizes.spread]}

    @classmethod
    def from_json(cls, content: Any, where: str = "the settings of a first look") -> FirstLook:
        """Read what :meth:`to_json` wrote.

        Args:
            content: The JSON value.
            where: What to call it in messages.

        Raises:
            InputError: It is something else.
        """
        known = {entry.name for entry in fields(cls)}
        try:
            if not isinstance(content, dict) or not set(content) <= known:
                raise TypeError(f"expected an object with entries among {', '.join(sorted(known))}")
            cues = {str(name): Weight(*map(float, numbers)) for name, numbers in content["cues"].items()}
            given: dict[str, Any] = {
                name: kind(content[name])
                for kind, names in (
                    (float, ("bias", "wide", "known_area", "step", "distinct", "again", "explains", "keeps")),
                    (int, ("least", "most")),
                )
                for name in names
                if name in content
            }
            size, sizes = content.get("size"), content.get("sizes")
            given["size"] = None if size is None else (int(size[0]), int(size[1]))
            given["sizes"] = None if sizes is None else SizePrior(float(sizes[0]), float(sizes[1]))
            return cls(cues, **given)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError, InputError) as error:
            raise InputError(
                f"Expected the weights of a first look in {where}, but they cannot be used: {error!s} Write "
                "them anew with experiments/first_look/fit.py, or leave them out to look at the whole image."
            ) from error


def _window(shape: tuple[int, int], click: Click, side: int) -> ROI:
    """A square around the click, moved into the image and cut to it."""
    bounds: list[int] = []
    for at, size in zip((int(click.row), int(click.col)), shape, strict=True):
        extent = min(side, size)
        first = min(max(0, at - extent // 2), size - extent)
        bounds += [first, first + extent - 1]
    return ROI(*bounds)
