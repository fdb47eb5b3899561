"""What objects of a folder look like, learned from accepted ones: a logistic regression of pixels.

Each object is first a question and then a lesson: how well its pixels and those around it are told apart by
what was learned from the objects before decides how much the looks of pixels count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log, pi, sqrt
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.features.pixel_cues import MARGIN, N_CUES, pixel_cues
from mis_lightning.learning.regression import regression
from mis_lightning.mask_box import mask_box
from mis_lightning.segmenters.appearance_prior import MAX_SIDE, AppearancePrior, shrunk

RADIUS = 24.0
"""Images are made smaller until the first accepted object has this radius, in pixels; never larger."""
SHOWN = 100
"""Pixels of an object, and as many of its surroundings, that are learned from."""
STRENGTH = 80.0
"""How much it counts that looks say nothing: about what half an object says."""
TRUST = 1.5
"""How much looks count that take all doubt away; at most 1 do."""
KEPT = 64
"""Objects learned from; the oldest goes first."""
_DOUBT = log(2)  # loss of who knows nothing
_CERTAIN = 4.0  # log-odds that one pixel is judged by at most


class Appearance:
    """Learns an :class:`~mis_lightning.segmenters.appearance_prior.AppearancePrior`.

    Args:
        start: What is known before the first object. It stays until what is learned tells pixels better.
        seed: Decides which pixels are looked at.

    Attributes:
        start: As given.
        seed: As given.
        prior: As it is known now.
        losses: Of each object, the mean of the logarithmic losses of its pixels before it was learned; that
            of who knows nothing for the first.
    """

    def __init__(self, start: AppearancePrior | None = None, seed: int = 0) -> None:
        self.start = start
        self.seed = seed
        self.prior = start
        self.losses: list[float] = []
        self._start_losses: list[float] = []
        self._learned: AppearancePrior | None = None
        self._scale = start.scale if start is not None else 1.0
        self._shown: list[NDArray[np.float32]] = []  # of each object: its cues, and those of its surroundings

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Everything it has learned from, as JSON values and tensors."""
        content = {"scale": self._scale, "losses": self.losses, "start_losses": self._start_losses}
        shown = np.stack(self._shown) if self._shown else np.zeros((0, 2, SHOWN, N_CUES), np.float32)
        return content, {"shown": torch.from_numpy(shown)}

    def restore(self, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Inverse of :meth:`state`."""
        self._scale = float(content["scale"])
        self.losses = [float(loss) for loss in content["losses"]]
        self._start_losses = [float(loss) for loss in content["start_losses"]]
        self._shown = list(tensors["shown"].numpy().reshape(-1, 2, SHOWN, N_CUES))
        if self._shown:
            self._learn()

    def accept(self, image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
        """Learn from an accepted object.

        One without surroundings teaches nothing, nor one that is so large that looks would have no say.

        Args:
            image: RGB, uint8, ``(H, W, 3)``.
            mask: The object, bool, ``(H, W)``, not empty.
        """
        if not self.losses and self.start is None:
            self._scale = min(1.0, RADIUS / sqrt(np.count_nonzero(mask) / pi))
        if (shown := self._look(image, mask)) is None:
            return
        self.losses.append(_loss(self._learned, shown))
        self._start_losses.append(_loss(self.start, shown))
        self._shown = [*self._shown, shown][-KEPT:]
        self._learn()

    def _learn(self) -> None:
        self._learned = self._fit()
        start_is_better = self.start is not None and sum(self._start_losses) <= sum(self.losses)
        self.prior = self.start if start_is_better else self._learned

    def _look(self, image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32] | None:
        """Cues of pixels of an object and of a ring as wide as its radius; ``None``: it teaches nothing."""
        box = mask_box(mask)
        if max(one.stop - one.start for one in box) * self._scale > MAX_SIDE:
            return None
        room = round(MARGIN / self._scale + sqrt(np.count_nonzero(mask) / pi)) + 1
        part = tuple(
            slice(max(0, one.start - room), min(side, one.stop + room))
            for one, side in zip(box, mask.shape, strict=True)
        )
        small = shrunk(image[part], self._scale)
        covered = cv2.resize(mask[part].astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA)
        share = np.asarray(covered, np.float32)
        inside = share > min(0.5, float(share.max()) / 2)
        if inside.all():
            return None
        radius = max(3.0, sqrt(np.count_nonzero(inside) / pi))
        away = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, 5)
        ring = (away > 0) & (away <= radius)
        cues = pixel_cues(small)
        generator = np.random.default_rng([self.seed, len(self.losses)])
        chosen = [generator.choice(np.flatnonzero(some), SHOWN) for some in (inside, ring)]
        return np.stack([cues.reshape(-1, N_CUES)[one] for one in chosen])

    def _fit(self) -> AppearancePrior:
        shown = np.stack(self._shown)
        rows = shown.reshape(-1, N_CUES)
        middle, spread = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64) + 1e-3
        units = tuple(middle.round(6).tolist()), tuple(spread.round(6).tolist())
        plain = AppearancePrior(self._scale, *units, (0.0,) * N_CUES, bias=0.0, weight=0.0)
        known = np.concatenate([plain.standardised(rows), np.ones((len(rows), 1))], axis=1, dtype=np.float64)
        belongs = np.broadcast_to([[1.0], [0.0]], (len(shown), 2, SHOWN)).ravel()
        *factors, bias = regression(known, belongs, np.zeros(N_CUES + 1), STRENGTH).round(6).tolist()
        return replace(plain, factors=tuple(factors), bias=bias, weight=self._worth())

    def _worth(self) -> float:
        """How much looks count: by the share of the doubt whether a pixel belongs that they take away."""
        left = (sum(self.losses) + _DOUBT) / (len(self.losses) + 1) / _DOUBT
        return round(min(1.0, max(0.0, TRUST * (1 - left))), 4)


def _loss(prior: AppearancePrior | None, shown: NDArray[np.float32]) -> float:
    """Mean logarithmic loss of pixels inside and outside, of float32 cues ``(2, n, N_CUES)``."""
    if prior is None:
        return _DOUBT
    odds = np.clip(prior.odds(shown), -_CERTAIN, _CERTAIN) * np.array([[-1], [1]], np.float32)
    return round(float(np.logaddexp(0, odds).mean()), 6)
