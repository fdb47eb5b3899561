"""Sets of masks: what goes in comes out, at any size."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.regions.mask_set import MaskSet


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 1, 1), (2, 8, 8), (0, 4, 6)])
def test_round_trip(shape):
    masks = np.random.default_rng(0).random(shape) < 0.5
    packed = MaskSet.pack(masks)
    assert (len(packed), packed.size, packed.bits.nbytes) == (
        shape[0],
        shape[1:],
        shape[0] * -(-shape[1] * shape[2] // 8),
    )
    assert packed.scores.tolist() == [1.0] * shape[0]
    np.testing.assert_array_equal(packed.unpack(), masks)
    for index in range(shape[0]):
        np.testing.assert_array_equal(packed.mask(index), masks[index])
    packed.validate()


@pytest.mark.parametrize("size", [(12, 20), (5, 7), (3, 2), (1, 1), (13, 11)])
def test_another_size_follows_the_floor_rule(size):
    mask = np.random.default_rng(1).random((5, 7)) < 0.5
    scaled = MaskSet.pack(mask[None]).mask(0, size)
    for row in range(size[0]):
        for column in range(size[1]):
            assert scaled[row, column] == mask[row * 5 // size[0], column * 7 // size[1]]


def test_bad_input():
    with pytest.raises(InputError, match=r"bool \(N, h, w\), but got uint8"):
        MaskSet.pack(np.zeros((1, 2, 3), np.uint8))
    with pytest.raises(InputError, match="but got bool"):
        MaskSet.pack(np.zeros((2, 3), np.bool_))
    with pytest.raises(InputError, match=r"one score for each of 2 masks, but got shape \(1,\)"):
        MaskSet.pack(np.zeros((2, 3, 3), np.bool_), np.ones(1))
    with pytest.raises(InputError, match="at least 1x1"):
        MaskSet.pack(np.zeros((1, 3, 3), np.bool_)).mask(0, (0, 3))


@pytest.mark.parametrize(
    ("bits", "scores", "size"),
    [
        (np.zeros((1, 2), np.uint8), np.ones(2, np.float32), (3, 3)),
        (np.zeros((1, 1), np.uint8), np.ones(1, np.float32), (3, 3)),
        (np.zeros((1, 2), np.int8), np.ones(1, np.float32), (3, 3)),
        (np.zeros((1, 2), np.uint8), np.ones(1), (3, 3)),
        (np.zeros((1, 0), np.uint8), np.ones(1, np.float32), (0, 3)),
    ],
)
def test_parts_that_do_not_fit(bits, scores, size):
    with pytest.raises(ValueError, match="masks"):
        MaskSet(bits, scores, size).validate()
