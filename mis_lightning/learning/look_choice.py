"""Which look at a first click to trust, learned from accepted objects: a small ridge regression.

The shipped weights are the prior. Each accepted object says of all looks at its first click how well their
answers overlap it; what they are worth is fitted anew after each object, in less than a millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mis_lightning.learning.regression import regression
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.look_cues import CUES, measure_looks
from mis_lightning.segmenters.size_prior import SizePrior
from mis_lightning.segmenters.zoom_in import crop
from mis_lightning.structures import Click

PRIOR = 10.0
"""How many looks the shipped weights are worth, about: chosen on the development halves of seven sets."""


class LookChoice:
    """Learns the weights of a :class:`~mis_lightning.segmenters.first_look.FirstLook` and the usual size.

    Args:
        start: The first look to start from.
        prior: How many looks the weights of the start are worth; the more, the less changes.
        with_sizes: Whether the usual size is learned.

    Attributes:
        start: As given.
        prior: As given.
        with_sizes: As given.
        first_look: As it is learned now.
        areas: Pixels of the accepted objects.
    """

    def __init__(self, start: FirstLook, prior: float = PRIOR, with_sizes: bool = True) -> None:
        self.start = start
        self.prior = prior
        self.with_sizes = with_sizes
        self.first_look = start
        self.areas: list[float] = []
        self._rows: list[NDArray[np.float64]] = []
        self._worth: list[NDArray[np.float64]] = []

    def state(self) -> dict[str, Any]:
        """Everything it has learned from, as JSON values."""
        rows, worth = ([part.tolist() for part in parts] for parts in (self._rows, self._worth))
        return {"areas": self.areas, "rows": rows, "worth": worth}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.areas = [float(area) for area in state["areas"]]
        width = len(_weights(self.start))
        self._rows = [np.array(part, np.float64).reshape(-1, width) for part in state["rows"]]
        self._worth = [np.array(part, np.float64).reshape(-1) for part in state["worth"]]
        if self.areas:
            self.first_look = self._fit()

    def accept(
        self,
        segmenter: ClickModelSegmenter,
        image: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        click: Click | None,
    ) -> None:
        """Learn from an accepted object.

        Args:
            segmenter: Answers the click again in every window.
            image: RGB, uint8, ``(H, W, 3)``.
            mask: The object, bool, ``(H, W)``.
            click: Its first click, positive; ``None`` where it had none: only its size is learned.
        """
        if click is not None:
            self._learn(segmenter, image, mask, click)
        self.areas.append(float(np.count_nonzero(mask)))
        self.first_look = self._fit()

    def _learn(
        self, segmenter: ClickModelSegmenter, image: NDArray[np.uint8], mask: NDArray[np.bool_], click: Click
    ) -> None:
        looks, logits = segmenter.look(segmenter.begin(image), [click], self.start)
        cues = measure_looks(looks, click)
        filled = ~np.isnan(cues).any(axis=1)
        sizes = self._sizes()
        cost = sizes.cost(looks.areas()) if sizes is not None else np.zeros(len(looks.rois))
        rows = _rows(self.start, cues, looks.sides(), cost)[filled]
        truth = torch.from_numpy(mask)[None].float()
        size = (logits.shape[-2], logits.shape[-1])
        worth = []
        for roi, probability in zip(looks.rois, looks.probabilities, strict=True):
            inside = crop(truth, roi, size)[0].numpy() > 0.5
            answer = probability > 0.5
            pixel = roi.height * roi.width / inside.size
            common = float((inside & answer).sum()) * pixel
            whole = float(np.count_nonzero(mask)) + float(answer.sum()) * pixel - common
            worth.append(min(1.0, common / whole) if whole else 0.0)
        self._rows.append(rows)
        self._worth.append(np.array(worth)[filled])

    def _sizes(self) -> SizePrior | None:
        return SizePrior.of(self.areas) if self.with_sizes else None

    def _fit(self) -> FirstLook:
        """The weights that explain the overlaps, drawn towards the shipped ones; Newton's method."""
        start, weights = self.start, _weights(self.start)
        if self._rows:
            weights = regression(np.concatenate(self._rows), np.concatenate(self._worth), weights, self.prior)
        *factors, wide, bias, known_area = (round(float(weight), 5) for weight in weights)
        cues = {
            name: Weight(weight.mean, weight.deviation, factor)
            for (name, weight), factor in zip(start.cues.items(), factors, strict=True)
        }
        sizes = self._sizes()
        return replace(start, cues=cues, wide=wide, bias=bias, known_area=known_area, sizes=sizes)


def _rows(
    look: FirstLook, cues: NDArray[np.float64], sides: NDArray[np.float64], cost: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What each weight of a first look is multiplied by, float64, ``(n, cues + 3)``."""
    columns = [weight.standardised(cues[:, CUES.index(name)]) for name, weight in look.cues.items()]
    return np.stack([*columns, np.log(sides / sides.max()), np.ones(len(cues)), -cost], axis=1)


def _weights(look: FirstLook) -> NDArray[np.float64]:
    factors = [weight.factor for weight in look.cues.values()]
    return np.array([*factors, look.wide, look.bias, look.known_area], np.float64)
