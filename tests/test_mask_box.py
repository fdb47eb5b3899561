"""The box of a mask against the pixels that it holds."""

from __future__ import annotations

import numpy as np

from mis_lightning.mask_box import BoxedMask, common_box, mask_box


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


def blob(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A mask with a hole, of no pixel at times."""
    row, col, height, width = (int(one) for one in generator.integers(0, (*shape, *shape)))
    mask = np.zeros(shape, bool)
    mask[row : row + height, col : col + width] = True
    mask[row + 1 : row + 2, col + 1 : col + 2] = False
    return mask


def test_a_boxed_mask_is_the_mask_and_takes_no_more_than_its_box() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        mask = blob(generator, (9, 13))
        boxed = BoxedMask.of(mask)
        np.testing.assert_array_equal(boxed.whole(), mask)
        assert boxed.area == mask.sum()
        assert boxed.inside.base is None  # no view that keeps the whole mask
        assert boxed.inside.shape == mask[mask_box(mask)].shape
        first, start = generator.integers(0, (9, 13))
        region = slice(int(first), int(first) + 4), slice(int(start), int(start) + 5)
        np.testing.assert_array_equal(boxed.within(region).whole(), mask[region])


def test_the_common_box_is_that_of_the_union() -> None:
    generator = np.random.default_rng(1)
    for _ in range(100):
        masks = [blob(generator, (9, 13)) for _ in range(3)]
        assert common_box(map(BoxedMask.of, masks)) == mask_box(np.logical_or.reduce(masks))
    assert common_box([]) == (slice(0, 0), slice(0, 0))
