"""Mask of one object -> the points a training sample starts with.

Rule: docs/protocol.md#initial-points.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.clicks.pixel_choice import choose_pixels
from mis_lightning.errors import InputError

SAMPLED_ORDER = 100.0  # marks a point as sampled, not simulated
_SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class InitialPoints:
    """Draws positive points inside the object and negative points around or away from it.

    The single-object case of the multi-point sampler of RITM and SimpleClick. Runs in data loader workers:
    numpy and OpenCV only.

    Attributes:
        max_points: ``K``, the most points of either kind. The number of positive points is ``1 + k`` with
            ``P(k) ~ gamma^k``, ``k < K``; the number of negative points ``k <= K`` follows the same law from
            0.
        gamma: Decay of those laws, in ``(0, 1]``.
        erode_probability: How often the positive points keep away from the object's edge.
        erode_iterations: By how many pixels (3x3 square; the image border does not erode).
        min_eroded: The eroded object is used only if it has more pixels than this.
        background_probability: How often a negative point comes from anywhere outside the object. (The
            "background" 0.1 and "other object" 0.4 strategies coincide for a single object.) Otherwise it
            comes from a ring around it.
        expand_ratio: Width of that ring relative to ``sqrt(area)``, rounded up to whole pixels.
    """

    max_points: int = 24
    gamma: float = 0.8
    erode_probability: float = 0.9
    erode_iterations: int = 3
    min_eroded: int = 10
    background_probability: float = 0.5
    expand_ratio: float = 0.1

    def __post_init__(self) -> None:
        if self.max_points < 1 or not 0 < self.gamma <= 1:
            raise InputError(
                f"Expected max_points >= 1 and gamma in (0, 1], but got {self.max_points} and {self.gamma}."
            )

    def __call__(
        self,
        mask: NDArray[np.bool_],
        generator: np.random.Generator,
        dropped: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Draw the points of one sample; with replacement, each uniform in its region.

        Args:
            mask: The object, bool ``(H, W)``. If empty, there are no positive points and the negative ones
                come from everywhere outside ``dropped``.
            generator: Source of all randomness.
            dropped: A region that is too small to be the object of this sample, bool ``(H, W)``; as in the
                published code it is no background either. ``None``: there is none.

        Returns:
            float32 ``(2K, 3)``, layout as in :mod:`mis_lightning.structures`: filled rows first in each half,
            order column 100. An empty region (the outside of a full mask, say) yields no point.

        Example:
            >>> points = InitialPoints(max_points=3)(np.eye(32, dtype=bool), np.random.default_rng(0))
            >>> points.shape
            (6, 3)
        """
        mask = np.ascontiguousarray(mask, dtype=np.bool_)
        count_positive = 1 + self._draw_count(self.max_points, generator)
        count_negative = self._draw_count(self.max_points + 1, generator)
        erode = generator.random() < self.erode_probability
        from_background = generator.random(count_negative) < self.background_probability

        positive = choose_pixels(self._interior(mask) if erode else mask, generator.random(count_positive))
        uniform = generator.random(count_negative)
        outside = ~mask if dropped is None else ~(mask | dropped)
        negative = [choose_pixels(outside, uniform[from_background])]
        if not from_background.all():  # the ring is the costly part
            ring = self._ring(mask)
            negative.append(
                choose_pixels(outside if ring is None else ring & outside, uniform[~from_background])
            )
        points = np.full((2 * self.max_points, 3), -1, dtype=np.float32)
        for start, drawn in (
            (0, positive),
            (self.max_points, generator.permutation(np.concatenate(negative))),
        ):
            points[start : start + len(drawn), :2] = drawn
            points[start : start + len(drawn), 2] = SAMPLED_ORDER
        return points

    def _draw_count(self, choices: int, generator: np.random.Generator) -> int:
        """Draw ``k`` from ``0..choices-1`` with ``P(k) ~ gamma^k``."""
        cumulative = np.cumsum(self.gamma ** np.arange(choices))
        return int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right"))

    def _interior(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The object without its edge, or the whole object if too little would be left."""
        eroded = cv2.erode(mask.view(np.uint8), _SQUARE, iterations=self.erode_iterations)
        return eroded.view(np.bool_) if cv2.countNonZero(eroded) > self.min_eroded else mask

    def _ring(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """The pixels around the object, a square-cornered ring; ``None`` if there is no object."""
        target = mask.view(np.uint8)
        area = cv2.countNonZero(target)
        if area == 0:
            return None
        radius = ceil(self.expand_ratio * sqrt(area))
        left, top, width, height = cv2.boundingRect(target)
        around = np.s_[
            max(top - radius, 0) : top + height + radius, max(left - radius, 0) : left + width + radius
        ]
        ring = np.zeros_like(target)
        ring[around] = cv2.dilate(target[around], _SQUARE, iterations=radius) - target[around]
        return ring.view(np.bool_)
