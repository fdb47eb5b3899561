"""Drawn regions: a picture each, the region in colour, the rest dark."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.figures.drawn_regions import drawn_regions

IMAGE = np.random.default_rng(0).integers(60, 256, (20, 30, 3), np.uint8)


def test_the_region_is_lit_and_its_share_said():
    mask = np.zeros((20, 30), bool)
    mask[5:10, 6:18] = True
    figure = drawn_regions(IMAGE, [mask, np.zeros((20, 30), bool)], width=5)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["image", "10% of the image", "no region"]
    picture = figure.axes[1].images[0].get_array()
    np.testing.assert_allclose(picture[~mask], 0.4 * IMAGE[~mask] / 255)
    blue = np.array([0, 0x72, 0xB2]) / 255
    np.testing.assert_allclose(picture[mask], 0.6 * IMAGE[mask] / 255 + 0.4 * blue)


def test_masks_of_another_size_are_refused():
    with pytest.raises(InputError, match="masks"):
        drawn_regions(IMAGE, [np.zeros((20, 31), bool)])
    with pytest.raises(InputError, match="masks"):
        drawn_regions(IMAGE, [np.zeros((20, 30), np.uint8)])
