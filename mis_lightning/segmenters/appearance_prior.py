"""Objects of a folder are often alike: what the pixels of accepted ones look like, and those around them.

Not from the paper. What a pixel looks like is turned into log-odds that are added to the network's answer
before the merge tree sharpens it. Which look answers a first click is chosen without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.features.pixel_cues import MARGIN, N_CUES, pixel_cues
from mis_lightning.segmenters.zoom_in import ROI
from mis_lightning.structures import Click

AGAINST, FOR = -4.0, 1.0
"""How much a pixel's look may say, in log-odds. More against than for: the neighbours of an object look like
it, and which of them is meant only the network can tell."""
_LISTS = ("middle", "spread", "factors")
_MOST = 8.0  # deviations that a cue may be off
MAX_SIDE = 320
"""Longest side of an ROI in which looks have a say, in described pixels: in wider ones objects are specks."""


@dataclass(frozen=True)
class AppearancePrior:
    """A logistic regression from :func:`~mis_lightning.features.pixel_cues.pixel_cues` to "belongs".

    Attributes:
        scale: Images are made smaller by this before their pixels are described, in ``(0, 1]``.
        middle: Mean of each cue.
        spread: Deviation of each cue, above 0.
        factors: Of the standardised cues.
        bias: Added to them.
        weight: How much the sum counts, in ``[0, 1]``.
    """

    scale: float
    middle: tuple[float, ...]
    spread: tuple[float, ...]
    factors: tuple[float, ...]
    bias: float
    weight: float

    def __post_init__(self) -> None:
        lists = (self.middle, self.spread, self.factors)
        finite = np.isfinite([*self.middle, *self.spread, *self.factors, self.bias]).all()
        if not finite or any(len(one) != N_CUES for one in lists):
            raise InputError(f"Expected three times {N_CUES} finite numbers and a bias of an appearance.")
        if not (0 < self.scale <= 1 and 0 <= self.weight <= 1 and min(self.spread) > 0):
            raise InputError(
                "Expected `scale` of an appearance in (0, 1], `weight` in [0, 1] and `spread` above 0, "
                f"but got {self.scale}, {self.weight} and {min(self.spread)}."
            )

    def standardised(self, cues: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cues, float32, ``(..., N_CUES)``, in deviations from their means."""
        off = (cues - np.array(self.middle, np.float32)) / np.array(self.spread, np.float32)
        return np.asarray(np.clip(off, -_MOST, _MOST), np.float32)

    def log_odds(self, image: Tensor, roi: ROI, clicks: Sequence[Click], size: tuple[int, int]) -> Tensor:
        """What to add to the network's log-odds in an ROI.

        What the user points at is right: where the pixels of the positive clicks do not look as if they
        belong, on average, another kind of object is wanted, and looks have no say.

        Args:
            image: RGB, uint8, ``(3, H, W)``.
            roi: A part of it.
            clicks: In pixels of the image; those outside the ROI are left out.
            size: ``(h, w)`` of the answer, corners aligned with those of the ROI.

        Returns:
            float32, ``(h, w)``, on the device of ``image``, within ``weight`` times :data:`AGAINST` to
            :data:`FOR`; 0 where looks have no say, as in an ROI of more than :data:`MAX_SIDE` described
            pixels a side.
        """
        if not self.weight or max(roi.height, roi.width) * self.scale > MAX_SIDE:
            return torch.zeros(size, device=image.device)
        room = round(MARGIN / self.scale)
        part = ROI(
            max(0, roi.row_min - room),
            min(image.shape[1] - 1, roi.row_max + room),
            max(0, roi.col_min - room),
            min(image.shape[2] - 1, roi.col_max + room),
        )
        rows, cols = part.window
        cues = pixel_cues(shrunk(image[:, rows, cols].permute(1, 2, 0).cpu().numpy(), self.scale))
        down = _Axis.of(part.row_min, part.height, cues.shape[0], roi.row_min, roi.row_max)
        across = _Axis.of(part.col_min, part.width, cues.shape[1], roi.col_min, roi.col_max)
        odds = self.odds(cues[down.seen, across.seen])
        wanted = [
            odds[down.pixel(click.row), across.pixel(click.col)]
            for click in clicks
            if click.positive and roi.holds(click)
        ]
        if wanted and np.mean(wanted) < 0:
            return torch.zeros(size, device=image.device)
        y = down.middle(np.linspace(roi.row_min, roi.row_max, size[0]))[:, None]
        x = across.middle(np.linspace(roi.col_min, roi.col_max, size[1]))[None]
        said = np.clip(odds, AGAINST, FOR) * np.float32(self.weight)
        x, y = np.tile(x, (size[0], 1)), np.tile(y, (1, size[1]))
        sampled = cv2.remap(said, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return torch.from_numpy(np.asarray(sampled, np.float32)).to(image.device)

    def odds(self, cues: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-odds that pixels belong by their cues, float32, ``(..., N_CUES)`` -> ``(...)``, unweighted."""
        return self.standardised(cues) @ np.array(self.factors, np.float32) + np.float32(self.bias)

    def to_json(self) -> dict[str, Any]:
        """JSON values, for :meth:`from_json`."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Any) -> AppearancePrior:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: It is something else.
        """
        try:
            middle, spread, factors = (tuple(map(float, content[name])) for name in _LISTS)
            scale, bias, weight = (float(content[name]) for name in ("scale", "bias", "weight"))
            return cls(scale, middle, spread, factors, bias, weight)
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(
                f"Expected the numbers of an appearance, but got {str(content)[:200]}."
            ) from error


def shrunk(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """An image, uint8, ``(H, W, 3)``, made smaller by a factor in ``(0, 1]``."""
    if scale == 1:
        return np.ascontiguousarray(image)
    size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


class _Axis(NamedTuple):
    """Where the described pixels of an ROI lie, along one side."""

    start: int  # of the described part, in pixels of the image
    step: float  # described pixels for one of the image
    seen: slice  # the described pixels of the ROI, and one more at either end

    @classmethod
    def of(cls, start: int, length: int, described: int, first: int, last: int) -> _Axis:
        """For an ROI from ``first`` to ``last`` in a part of ``length`` pixels, described by so many."""
        step = described / length
        low, high = int((first - start) * step) - 1, int((last + 1 - start) * step) + 2
        return cls(start, step, slice(max(0, low), min(described, high)))

    def pixel(self, at: float) -> int:
        """The described pixel that a place of the image lies in, counted from the first that is seen."""
        return int((at - self.start) * self.step) - self.seen.start

    def middle(self, at: NDArray[np.float64]) -> NDArray[np.float32]:
        """Where the middles of pixels of the image lie among those that are seen."""
        return ((at - self.start + 0.5) * self.step - 0.5 - self.seen.start).astype(np.float32)
