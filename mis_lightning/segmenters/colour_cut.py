"""A first answer, corrected by its colours where they tell the object apart.

A graph cut (GrabCut) starts from the network's answer: it learns the colours of both sides and moves the
border to where they part. Where the cut nearly agrees with the answer, the two are mixed. Where it does not,
colours do not tell this object from its surroundings, and the answer stays. Measured in
``experiments/colour_cut``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.metrics.functional import iou
from mis_lightning.segmenters.grabcut import graph_cut
from mis_lightning.segmenters.number_settings import NumberSettings
from mis_lightning.structures import Click

_CLICKED = 2  # radius of the certain disk around a click, in pixels of the view


@dataclass(frozen=True)
class ColourCut(NumberSettings):
    """How far a cut is trusted.

    Attributes:
        agree: Least IoU of the cut with the network's answer, in ``(0, 1]``; below it the answer stays.
        share: How much the cut counts, in ``(0, 1]``; the rest is the network's answer.
        sure: Log-odds of a pixel that is cut out, above 0; the network's answer is clipped to them, too.
    """

    called = "a colour cut"

    agree: float = 0.6
    share: float = 0.5
    sure: float = 4.0

    def __post_init__(self) -> None:
        if not (0 < self.agree <= 1 and 0 < self.share <= 1 and 0 < self.sure <= 100):
            raise InputError(
                "Expected `agree` and `share` in (0, 1] and `sure` in (0, 100] of a colour cut, "
                f"but got {self.agree}, {self.share} and {self.sure}."
            )

    def mixed(self, view: Tensor, logits: Tensor, clicks: Sequence[Click]) -> Tensor:
        """An answer and its cut, in log-odds.

        Args:
            view: What the network saw, RGB in ``[0, 1]``, float32, ``(3, h, w)``.
            logits: What it answered, float32, ``(h, w)``.
            clicks: All clicks, in pixels of the view; those outside it are left out.

        Returns:
            float32, ``(h, w)``; the logits as they are where the cut does not agree with them.
        """
        answer = logits.cpu().numpy() > 0
        cut = _cut(view, answer, clicks)
        if cut is None or not iou(cut, answer, None) >= self.agree:
            return logits
        sure = torch.from_numpy(np.where(cut, self.sure, -self.sure).astype(np.float32)).to(logits.device)
        return torch.lerp(logits.clamp(-self.sure, self.sure), sure, self.share)


def _cut(view: Tensor, answer: NDArray[np.bool_], clicks: Sequence[Click]) -> NDArray[np.bool_] | None:
    """The pieces of the cut that are clicked, all of it where none is; ``None``: too small to be cut."""
    image = np.rint(255 * view.permute(1, 2, 0).cpu().numpy()).clip(0, 255).astype(np.uint8)
    trimap = np.where(answer, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    height, width = answer.shape
    wanted = []
    for click in clicks:
        row, col = round(click.row), round(click.col)
        if 0 <= row < height and 0 <= col < width:
            label = cv2.GC_FGD if click.positive else cv2.GC_BGD
            cv2.circle(trimap, (col, row), _CLICKED, label, cv2.FILLED)
            wanted += [(row, col)] if click.positive else []
    cut = graph_cut(image, trimap, iterations=1)
    if cut is None:
        return None
    _, pieces = cv2.connectedComponents(cut.view(np.uint8))
    clicked = {int(pieces[place]) for place in wanted} - {0}
    return np.isin(pieces, list(clicked)) if clicked else cut
