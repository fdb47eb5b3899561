"""A network without training that sees image, previous mask and every click, and a picture to click on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mis_lightning.structures import Prompt


class Net(nn.Module):
    """Random, recurrent in the previous mask; disks around the clicks."""

    input_size = (32, 48)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.convolution = nn.Conv2d(4, 1, 5, padding=2)
        self.calls = 0

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        self.calls += 1
        logits = 4 * self.convolution(torch.cat([image, prompt.previous_mask], 1)) - 1
        rows, cols = torch.arange(image.shape[-2])[:, None], torch.arange(image.shape[-1])
        for one, clicks in zip(logits, prompt.points, strict=True):
            for k, (row, col, order) in enumerate(clicks.tolist()):
                if order >= 0:
                    one[0, (rows - row) ** 2 + (cols - col) ** 2 < 60] += 3 if k < len(clicks) // 2 else -3
        return logits


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def other_net() -> Net:
    return Net(seed=1)


@pytest.fixture
def image() -> np.ndarray:
    """A few coloured rectangles with noise, uint8, (90, 120, 3)."""
    random = np.random.default_rng(0)
    image = np.full((90, 120, 3), 90, np.int64)
    image[10:50, 12:60] = (200, 40, 40)
    image[30:80, 70:110] = (40, 180, 60)
    image[60:85, 5:55] = (40, 60, 200)
    return (image + random.integers(-12, 13, image.shape)).astype(np.uint8)
