"""Choice by rank against listing all pixels."""

from __future__ import annotations

import numpy as np

from mis_lightning.clicks.pixel_choice import choose_pixels


def test_rank_is_row_major():
    generator = np.random.default_rng(0)
    for density in (0.02, 0.5, 1.0):
        region = generator.random((13, 17)) < density
        every = np.argwhere(region)
        uniform = (np.arange(len(every)) + 0.5) / len(every)
        np.testing.assert_array_equal(choose_pixels(region, uniform), every)


def test_ends_of_the_unit_interval():
    region = np.zeros((4, 5), bool)
    region[1, 2] = region[3, 4] = True
    ends = np.array([0.0, np.nextafter(0.5, 0), 0.5, np.nextafter(1.0, 0)])
    assert choose_pixels(region, ends).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]


def test_empty_region_yields_nothing():
    assert choose_pixels(np.zeros((4, 5), bool), np.array([0.3])).shape == (0, 2)
    assert choose_pixels(np.ones((4, 5), bool), np.empty(0)).shape == (0, 2)
