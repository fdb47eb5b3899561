"""Training samples: a function of (seed, epoch, image), whatever process makes them.

Rule: docs/protocol.md#training-samples.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.data.region_dataset import RegionDataset
from mis_lightning.data.training_images import find_training_images
from mis_lightning.data.training_sample import SampleMaker
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.store import RegionStore
from mis_lightning.regions.true_masks import TrueMasks

SIZE = (32, 40)


class Untouched:
    """Leaves image and region as they are and remembers the regions it was handed."""

    def __init__(self):
        self.seen = []

    def __call__(self, image, mask, generator):
        self.seen.append(mask)
        return image, mask


class Noisy:
    """Draws random numbers, as augmentations do."""

    def __call__(self, image, mask, generator):
        shift = int(generator.integers(SIZE[1]))
        return np.roll(image, shift, axis=1), np.roll(mask, shift, axis=1)


def make_images(folder, names):
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    for name in names:
        Image.fromarray(pixels).save(folder / name)  # all alike, so that only the key tells them apart
    store = RegionStore(folder.parent / "trees", {"made": "at random"})
    for image in find_training_images(folder):
        features = np.random.default_rng(1).random((8 * 10, 2), dtype=np.float32)
        store.save(image.key, build_merge_tree(features, (8, 10)))
    return find_training_images(folder), store


@pytest.fixture
def made(tmp_path):
    return make_images(tmp_path / "images", [f"{i}.png" for i in range(6)])


def make_dataset(made, augment=None, **settings):
    draw = {name: settings.pop(name) for name in ("decay", "min_share") if name in settings}
    source = settings.pop("source", None) or MergeTreeRegions(**draw)
    least = {name: settings.pop(name) for name in ("min_object_area", "keep_background") if name in settings}
    make = SampleMaker(augment or Noisy(), InitialPoints(max_points=3), **least)
    return RegionDataset(*made, source, make, **settings)


def assert_same(sample, other):
    assert sample.keys() == other.keys() == {"image", "mask", "points"}
    for name in sample:
        np.testing.assert_array_equal(sample[name], other[name])


def test_shapes_and_types(made):
    sample = make_dataset(made)[0, 2]
    assert (sample["image"].shape, sample["image"].dtype) == ((3, *SIZE), np.uint8)
    assert (sample["mask"].shape, sample["mask"].dtype) == ((1, *SIZE), np.bool_)
    assert (sample["points"].shape, sample["points"].dtype) == ((6, 3), np.float32)
    assert sample["image"].flags.c_contiguous


def test_image_region_and_points_belong_together(made):
    sample = make_dataset(made, Untouched())[0, 2]
    np.testing.assert_array_equal(sample["image"].transpose(1, 2, 0), np.asarray(Image.open(made[0][2].path)))
    image, region, _ = make_dataset(made).region(0, 2)
    assert image.shape == (*SIZE, 3)
    np.testing.assert_array_equal(sample["mask"][0], region)
    blocks = region.reshape(8, 4, 10, 4).transpose(0, 2, 1, 3).reshape(80, 16)  # 4 x 4 pixels per patch
    assert (blocks.all(axis=1) == blocks.any(axis=1)).all()
    rows, cols, orders = sample["points"].T
    for half, inside in ((slice(0, 3), True), (slice(3, 6), False)):
        used = orders[half] >= 0
        hits = region[rows[half][used].astype(int), cols[half][used].astype(int)]
        assert (hits == inside).all()


def test_samples_are_the_same_whatever_process_makes_them_in_whatever_order(made):
    dataset = make_dataset(made, seed=3)
    items = [(epoch, index) for epoch in (0, 1, 5) for index in range(6)]
    expected = {item: dataset[item] for item in items}
    shuffled = [items[i] for i in np.random.default_rng(0).permutation(len(items))]
    for workers, order in ((0, shuffled), (1, items), (2, shuffled)):
        loader = DataLoader(dataset, batch_size=None, sampler=order, num_workers=workers)
        for item, sample in zip(order, loader, strict=True):
            assert_same({name: np.asarray(value) for name, value in sample.items()}, expected[item])


def masks(dataset, items):
    return [dataset[item]["mask"].tobytes() for item in items]


def test_samples_differ_across_epochs_images_repeats_and_seeds(made):
    dataset = make_dataset(made, Untouched(), regions_per_image=4)
    assert len(dataset) == 24
    assert len(set(masks(dataset, [(epoch, 0) for epoch in range(12)]))) > 6
    assert len(set(masks(dataset, [(0, index) for index in range(6)]))) > 3  # all images are alike
    assert len(set(masks(dataset, [(0, index) for index in (0, 6, 12, 18)]))) > 1  # regions of one image
    other = make_dataset(made, Untouched(), seed=1)
    assert masks(dataset, [(0, i) for i in range(6)]) != masks(other, [(0, i) for i in range(6)])


def test_a_sample_does_not_depend_on_the_other_images(made):
    images, store = made
    fewer = make_dataset((images[:1:-1], store))
    assert_same(fewer[2, 0], make_dataset(made)[2, 5])


def test_regions_exceed_the_least_share(made):
    dataset = make_dataset(made, min_share=0.3)
    shares = [dataset.region(epoch, 0)[1].mean() for epoch in range(40)]
    assert min(shares) > 0.3
    assert make_dataset(made, decay=1.0, min_share=0.0).region(0, 0)[1].mean() == pytest.approx(
        1 / 80
    )  # a leaf


class Losing:
    """Loses the region ``times`` times, then finds it again."""

    def __init__(self, times):
        self.times, self.seen = times, []

    def __call__(self, image, mask, generator):
        self.seen.append(mask)
        found = np.ones_like(mask)
        return image, found if len(self.seen) > self.times else np.zeros_like(mask)


def test_a_lost_region_is_augmented_again_from_the_start(made):
    losing = Losing(times=7)
    dataset = make_dataset(made, losing, keep_background=0.0)
    sample = dataset[0, 0]
    assert len(losing.seen) == 8
    assert all(mask is losing.seen[0] for mask in losing.seen)  # the region is not drawn again
    assert sample["mask"].all()


def test_a_lost_region_is_kept_in_one_of_a_hundred(made):
    losing = Losing(times=10**9)
    dataset = make_dataset(made, losing)
    assert dataset.make.keep_background == 0.01
    for epoch in range(40):
        sample = dataset[epoch, 0]
        assert not sample["mask"].any()
        assert (sample["points"][:3] == -1).all()
    assert 40 * 55 < len(losing.seen) < 40 * 160  # 100 tries on average


class Pixels:
    """A region of so many pixels."""

    def __init__(self, count):
        self.count = count

    def __call__(self, image, mask, generator):
        return image, np.arange(mask.size).reshape(mask.shape) < self.count


@pytest.mark.parametrize(("count", "left"), [(80, 80), (79, 0), (1, 0)])
def test_small_regions_become_empty(made, count, left):
    samples = [make_dataset(made, Pixels(count))[epoch, 0] for epoch in range(8)]
    assert [sample["mask"].sum() for sample in samples] == [left] * 8
    for sample in samples:
        assert (sample["points"][:3, 2] >= 0).any() == (left > 0)
    assert any((sample["points"][3:, 2] >= 0).any() for sample in samples)


def test_no_point_falls_on_a_region_that_was_dropped(made):
    area = SIZE[0] * SIZE[1]
    dataset = make_dataset(made, Pixels(area - 9), min_object_area=area)  # nine pixels are background
    negatives = []
    for epoch in range(60):
        sample = dataset[epoch, 0]
        assert not sample["mask"].any()
        points = sample["points"]
        negatives += points[points[:, 2] >= 0, :2].astype(int).tolist()
    assert len(negatives) > 30
    assert {tuple(place) for place in negatives} <= {(31, col) for col in range(31, 40)}


def test_the_least_area_is_a_setting(made):
    assert make_dataset(made, Pixels(1), min_object_area=1)[0, 0]["mask"].sum() == 1
    assert make_dataset(made, Pixels(200), min_object_area=201)[0, 0]["mask"].sum() == 0


def test_an_image_without_a_region_gives_an_empty_one_at_once(made, tmp_path):
    images, store = made
    store.save(images[0].key, MaskSet.pack(np.zeros((0, *SIZE), np.bool_)))
    augment = Untouched()
    sample = make_dataset(made, augment, source=TrueMasks(str(tmp_path)))[0, 0]
    assert not sample["mask"].any()
    assert len(augment.seen) == 1  # there is nothing that another try could find


def test_names_that_are_not_utf8(tmp_path):
    made = make_images(tmp_path / "images", [os.fsdecode(b"latin-\xe9.png")])
    assert make_dataset(made)[0, 0]["mask"].any()


def test_a_missing_tree_is_named(made):
    made[1].path("3.png").unlink()
    with pytest.raises(InputError, match=r"No regions for 3\.png"):
        make_dataset(made)[0, 3]
