"""Networks without training, and a picture to click on."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def net(disk_net):
    return disk_net()


@pytest.fixture
def other_net(disk_net):
    return disk_net(seed=1)


@pytest.fixture
def image() -> np.ndarray:
    """A few coloured rectangles with noise, uint8, (90, 120, 3)."""
    random = np.random.default_rng(0)
    image = np.full((90, 120, 3), 90, np.int64)
    image[10:50, 12:60] = (200, 40, 40)
    image[30:80, 70:110] = (40, 180, 60)
    image[60:85, 5:55] = (40, 60, 200)
    return (image + random.integers(-12, 13, image.shape)).astype(np.uint8)
