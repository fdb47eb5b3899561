"""The box of a mask against the pixels that it holds."""

from __future__ import annotations

import numpy as np

from mis_lightning.mask_box import mask_box


def test_all_pixels_and_no_row_or_column_more() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        mask = np.zeros(generator.integers(1, 12, 2), bool)
        for _ in range(generator.integers(1, 4)):
            mask[tuple(generator.integers(mask.shape))] = True
        rows, cols = zip(*np.argwhere(mask).tolist(), strict=True)
        assert mask_box(mask) == (slice(min(rows), max(rows) + 1), slice(min(cols), max(cols) + 1))


def test_nothing_has_an_empty_box() -> None:
    assert mask_box(np.zeros((3, 4), bool)) == (slice(0, 0), slice(0, 0))
