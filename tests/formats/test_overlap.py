"""Who gets the pixels that several objects want, against a pixel at a time."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.formats.overlap import check_overlap, paint
from mis_lightning.mask_box import BoxedMask


@pytest.mark.parametrize("policy", ["keep", "overwrite", "allow"])
def test_each_pixel_is_of_the_first_or_the_last_that_wants_it(policy: str) -> None:
    generator = np.random.default_rng(0)
    masks = {number: generator.random((7, 9)) < 0.3 for number in (4, 2, 9)}
    masks[5] = np.zeros((7, 9), bool)
    found = paint(((n, BoxedMask.of(mask)) for n, mask in masks.items()), (7, 9), check_overlap(policy))
    assert found.dtype == np.uint16
    for row, col in np.ndindex(7, 9):
        wanting = [number for number, mask in masks.items() if mask[row, col]] or [0]
        assert found[row, col] == wanting[0 if policy == "keep" else -1]


def test_another_policy_is_refused() -> None:
    with pytest.raises(InputError, match="`overlap`"):
        check_overlap("mix")
