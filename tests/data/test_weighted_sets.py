"""Sets are drawn by their shares, what is in them alike; a sample is a function of (seed, epoch, index)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.object_dataset import ObjectDataset
from mis_lightning.data.training_sample import SampleMaker
from mis_lightning.data.weighted_sets import WeightedSets
from mis_lightning.errors import InputError
from mis_lightning.structures import Sample


class Coloured(Benchmark):
    """Objects that tell by their colour which they are."""

    name = "coloured"

    def __init__(self, *colours: int) -> None:
        self.colours = colours

    def __len__(self) -> int:
        return len(self.colours)

    def __getitem__(self, index: int) -> Sample:
        image = np.full((6, 8, 3), self.colours[index], np.uint8)
        return Sample(image, image[..., 0] > 0, None, str(index))


def rolled(image, mask, generator):
    """Random, as augmentations are, and what was drawn stays to be seen."""
    image = image.copy()
    image[..., 1] = generator.integers(256)
    return image, mask


MAKE = SampleMaker(rolled, InitialPoints(max_points=2), min_object_area=1)


def objects(*colours, views=1, seed=0):
    return ObjectDataset(Coloured(*colours), MAKE, views, seed)


def test_objects_take_turns_and_views_differ():
    dataset = objects(10, 20, 30, views=4)
    assert len(dataset) == 12
    samples = [dataset[0, index] for index in range(12)]
    assert [int(sample["image"][0, 0, 0]) for sample in samples] == [10, 20, 30] * 4
    assert len({int(sample["image"][1, 0, 0]) for sample in samples}) > 8
    assert samples[0]["mask"].all()
    assert dataset[1, 0]["image"][1, 0, 0] != samples[0]["image"][1, 0, 0]


def test_no_objects_are_an_error():
    with pytest.raises(InputError, match="objects to learn from in coloured"):
        objects()


def test_sets_come_by_their_shares_and_what_is_in_them_alike():
    sets = WeightedSets([objects(10), objects(20, 30, 40)], [1, 3], 4000)
    assert len(sets) == 4000
    found = Counter(int(sets[0, index]["image"][0, 0, 0]) for index in range(4000))
    assert {colour: count / 1000 for colour, count in found.items()} == {
        colour: pytest.approx(1, abs=0.12) for colour in (10, 20, 30, 40)
    }


def test_the_same_item_is_the_same_sample():
    first, again, other = (WeightedSets([objects(10), objects(20)], [1, 1], 8, seed) for seed in (3, 3, 4))
    for index in range(8):
        for name, value in first[2, index].items():
            np.testing.assert_array_equal(value, again[2, index][name])
    seen = [
        [sets[epoch, index]["image"].tobytes() for index in range(8)]
        for sets, epoch in ((first, 0), (first, 1), (other, 0))
    ]
    assert len({tuple(one) for one in seen}) == 3


@pytest.mark.parametrize("shares", [[1], [1, 0], [1, -1], [1, float("nan")]])
def test_shares_that_do_not_fit(shares):
    with pytest.raises(InputError, match="a share above 0 for each of 2 training sets"):
        WeightedSets([objects(10), objects(20)], shares, 8)
