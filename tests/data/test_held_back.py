"""What is held back: whole images where there are enough, at least one object, the same by the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.data.held_back import Part, RegionsAsObjects, evenly, held_back
from mis_lightning.data.region_dataset import RegionDataset
from mis_lightning.data.training_images import find_training_images
from mis_lightning.data.training_sample import SampleMaker
from mis_lightning.errors import InputError
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.store import RegionStore
from mis_lightning.regions.true_masks import TrueMasks


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_images_are_held_back_whole(share):
    groups = [f"{index % 10}" for index in range(50)]
    for seed in range(5):
        out = held_back(groups, share, seed)
        assert out == held_back(groups, share, seed)
        held = {group for group, is_held in zip(groups, out, strict=True) if is_held}
        assert [group in held for group in groups] == out
        assert len(held) == round(share * 10)
    assert len({tuple(held_back(groups, share, seed)) for seed in range(5)}) > 1


def test_of_few_images_single_objects_are_held_back():
    assert sum(held_back(["a", "a", "a", "b", "b", "c", "c", "c"], 0.25, 0)) == 2
    assert sum(held_back(["a", "b"], 0.1, 0)) == 1  # one at least
    assert held_back(["a"], 0.25, 0) == [False]  # but not the only one
    assert held_back([], 0.25, 0) == []
    assert not any(held_back(["a"] * 9, 0.0, 0))


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_shares_out_of_range(share):
    with pytest.raises(InputError, match="held back in"):
        held_back(["a", "b"], share, 0)


def test_evenly():
    assert evenly(100, 4) == [0, 25, 50, 75]
    assert evenly(3, 4) == [0, 1, 2]


def test_regions_are_objects(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "ab":
        Image.fromarray(np.full((8, 10, 3), ord(name), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    source, store = TrueMasks(str(tmp_path)), RegionStore(tmp_path / "store", {})
    masks = np.zeros((2, 8, 10), bool)
    masks[0, :4], masks[1, 4:] = True, True
    images = find_training_images(tmp_path / "images")
    for image in images:
        store.save(image.key, MaskSet.pack(masks))
    make = SampleMaker(lambda image, mask, generator: (image, mask), InitialPoints())
    whole = RegionsAsObjects(RegionDataset(images, store, source, make, regions_per_image=8))
    assert len(whole) == 16
    part = Part(whole, [1, 2, 15])
    assert [part[index].name for index in range(len(part))] == ["b.png#0", "a.png#1", "b.png#7"]
    assert part[0].image[0, 0, 0] == ord("b")
    drawn = [tuple(np.flatnonzero(whole[index].mask.any(axis=1))) for index in range(16)]
    assert set(drawn) == {(0, 1, 2, 3), (4, 5, 6, 7)}
    assert drawn == [tuple(np.flatnonzero(whole[index].mask.any(axis=1))) for index in range(16)]
