"""COCO's run-length encoding against pycocotools, character for character."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from mis_lightning.errors import InputError
from mis_lightning.formats.rle import (
    area_and_box,
    counts_to_text,
    decode_rle,
    encode_rle,
    rle_area,
    text_to_counts,
)


def some_masks():
    random = np.random.default_rng(0)
    for k in range(300):
        height, width = (int(side) for side in random.integers(1, 50, 2))
        density = random.choice([0.0, 0.02, 0.5, 0.98, 1.0])
        mask = random.random((height, width)) < density
        if k % 3 == 0:
            mask[random.integers(height) :, random.integers(width) :] ^= True
        yield mask
    large = np.zeros((700, 900), bool)  # runs of many characters
    large[100:, 200:300] = True
    yield large
    yield ~large


def test_the_same_characters_as_pycocotools() -> None:
    for mask in some_masks():
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        text = encode_rle(mask)
        assert text == theirs["counts"].decode()
        np.testing.assert_array_equal(decode_rle(text, mask.shape), mask)
        area, box = area_and_box(text, mask.shape)
        assert area == rle_area(text) == coco.area(theirs)
        assert list(box) == coco.toBbox(theirs).tolist()


def test_any_counts_survive() -> None:
    random = np.random.default_rng(1)
    for length in (0, 1, 2, 3, 4, 50):
        counts = random.integers(0, 2 ** random.integers(1, 40), length)
        np.testing.assert_array_equal(text_to_counts(counts_to_text(counts)), counts)


@pytest.mark.parametrize(
    "text",
    ["", "0", "9", "d", "x1", "é", " 0", "P" * 40, "0" + "o" * 11 + "0", "P"],
)
def test_damaged_text_is_refused(text) -> None:
    with pytest.raises(InputError, match="runs of a mask"):
        decode_rle(text, (4, 5))


def test_runs_whose_sum_overflows_are_refused() -> None:
    counts = np.array([2**62, 2**62, 2**62, 2**62, 20])
    with pytest.raises(InputError, match="runs of a mask"):
        decode_rle(counts_to_text(counts), (4, 5))
