"""Tiles cover an image, their cores partition it."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.alike.tiles import tiles


@pytest.mark.parametrize("shape", [(5, 7), (60, 60), (61, 200), (333, 59)])
def test_cores_partition_the_image(shape):
    count = np.zeros(shape, int)
    for tile in tiles(shape, margin=10, side=60):
        top, bottom, left, right = tile.core
        count[top:bottom, left:right] += 1
        inside, outside = ((top, left), (bottom - 0.5, right - 0.5)), ((bottom, left), (top, right))
        assert all(tile.holds(*place) for place in inside)
        assert not any(tile.holds(*place) for place in outside)
        for cut, (first, last), length in (
            (tile.rows, (top, bottom), shape[0]),
            (tile.cols, (left, right), shape[1]),
        ):
            assert cut.stop - cut.start == min(60, length)
            assert first - cut.start >= (10 if first else 0)  # an object at the seam is whole
            assert cut.stop - last >= (10 if last < length else 0)
    assert (count == 1).all()
