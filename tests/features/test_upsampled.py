"""Features on a finer grid follow an edge that lies inside a patch."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.features.upsampled import Upsampled


class Halves:
    """One channel, on patches of 16 pixels: the share of the patch that is bright."""

    def __call__(self, image):
        grid = (image.shape[0] // 16, image.shape[1] // 16)
        bright = (image[..., 0] > 128).reshape(grid[0], 16, grid[1], 16).mean(axis=(1, 3))
        return bright.reshape(-1, 1).astype(np.float32), grid

    def settings(self):
        return {"extractor": "halves"}


def test_a_planted_edge_is_followed() -> None:
    image = np.full((64, 96, 3), 40, np.uint8)
    image[:, 40:] = 200  # in the middle of a patch, 32..48
    features, grid = Upsampled(Halves(), factor=4)(image)
    assert grid == (16, 24)
    assert features.shape == (16 * 24, 1)
    found = features.reshape(grid)
    truth = np.arange(24) * 4 + 2 > 40
    assert ((found > 0.5) == truth).all()  # the edge is where the image has it, not at the patch's border
    assert found[:, :9].max() < 0.1
    assert found[:, 11:].min() > 0.9
    blurred = Upsampled(Halves(), factor=4, sigma_colour=1e6)(image)[0].reshape(grid)
    assert np.abs(found[:, 8:12] - truth[8:12]).mean() < 0.5 * np.abs(blurred[:, 8:12] - truth[8:12]).mean()


def test_a_constant_stays_one() -> None:
    image = np.random.default_rng(0).integers(0, 100, (48, 48, 3), np.uint8)
    features, _ = Upsampled(Halves())(image)
    assert (features == 0).all()


def test_settings_and_bad_numbers() -> None:
    fine = Upsampled(Halves(), factor=3)
    assert fine.settings()["extractor"] == "halves"
    assert fine.settings()["upsampled"]["factor"] == 3
    with pytest.raises(InputError, match="`factor` >= 2"):
        Upsampled(Halves(), factor=1)
