"""A click model that answers with a square of the size it is told, wherever the view is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.zoom_in import ZoomIn
from mis_lightning.structures import Prompt

SHAPE = (240, 320)
LOOK = FirstLook({}, wide=0.1, again=0.3)
SETTINGS = PredictionSettings(
    (96, 96),
    ZoomIn(min_size=32, grow_at_border=True),
    first_look=LOOK,
    refinement=Refinement(max_side=64, reach=2.0),
)
NOISE = np.random.default_rng(0).integers(110, 130, (*SHAPE, 3), dtype=np.uint8)


class SizedModel:
    """Keeps what it was told; answers with a square about the first positive click of each view.

    Without a size the square covers ``share`` of the view.
    """

    takes_granularity = True
    exact_points = True

    def __init__(self, share: float = 0.04) -> None:
        self.share = share
        self.told: list[Tensor | None] = []

    def __call__(self, image: Tensor, prompt: Prompt) -> Tensor:
        self.told.append(None if prompt.granularity is None else prompt.granularity.clone())
        height, width = image.shape[-2:]
        rows, cols = torch.arange(height)[:, None], torch.arange(width)
        logits = []
        for i, points in enumerate(prompt.points):
            first = points[points[:, 2] >= 0][0]
            told = float("nan") if prompt.granularity is None else float(prompt.granularity[i])
            share = self.share if told != told else 10 ** (3 * (told - 1))
            away = torch.maximum((rows - first[0]).abs() / height, (cols - first[1]).abs() / width)
            logits.append(((share**0.5 / 2 - away) * 400).clamp(-8, 8))
        return torch.stack(logits)[:, None].float()


def sized(settings: PredictionSettings = SETTINGS) -> ClickModelSegmenter:
    """A segmenter that answers with it."""
    return ClickModelSegmenter(SizedModel(), settings)
