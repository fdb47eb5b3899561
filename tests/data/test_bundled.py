from __future__ import annotations

import json
from importlib import util
from importlib.machinery import ModuleSpec
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

import mis_lightning
from mis_lightning.data.bundled import BundledBenchmark, bundled_images, fill_outlines
from mis_lightning.errors import DatasetNotFoundError, InputError

OUTLINES = Path(mis_lightning.__file__).parent / "assets" / "bundled" / "objects.json"

PARTS = {  # part -> whole: at least 95 % of the part lies inside
    "astronaut.png#face": "person",
    "astronaut.png#hair": "person",
    "astronaut.png#mission_patch": "person",
    "astronaut.png#name_tag": "person",
    "camera.png#head": "man",
    "chelsea.png#left_eye": "cat",
    "chelsea.png#right_eye": "cat",
    "chelsea.png#nose": "cat",
    "coffee.png#coffee": "cup",
    "rocket.jpg#fairing": "rocket",
}

APART = {  # objects that hide one another: their visible parts do not overlap
    "astronaut.png": ("person", "helmet", "flag", "shuttle"),
    "camera.png": ("man", "camcorder"),
    "coffee.png": ("cup", "saucer", "spoon"),
    "motorcycle_left.png": ("seat", "tank", "headlight", "box_front"),
}

PIXELS = {  # (row, col) read off the photographs by eye: one on the object, one beside it
    "astronaut.png#face": ((130, 225), (225, 130)),
    "astronaut.png#mission_patch": ((385, 140), (385, 215)),
    "camera.png#camcorder": ((165, 290), (290, 165)),
    "chelsea.png#nose": ((235, 265), (265, 235)),
    "coffee.png#spoon": ((290, 365), (290, 310)),
    "coffee.png#saucer": ((300, 150), (150, 300)),
    "coins.png#coin_r3c6": ((186, 320), (186, 312)),
    "motorcycle_left.png#tank": ((220, 380), (260, 380)),
    "rocket.jpg#rocket": ((300, 320), (320, 300)),
}


@pytest.fixture(scope="module")
def samples():
    benchmark = BundledBenchmark()
    return {sample.name: sample for sample in (benchmark[index] for index in range(len(benchmark)))}


@pytest.fixture(scope="module")
def outlines():
    images = json.loads(OUTLINES.read_text("utf-8"))["images"]
    return {f"{file}#{name}": rings for file, e in images.items() for name, rings in e["objects"].items()}


def test_counts_and_order(samples, outlines):
    benchmark = BundledBenchmark()
    assert benchmark.name == "bundled"
    assert not benchmark.comparable
    assert len(benchmark) == benchmark.expected_count == len(samples) == 31
    assert list(samples) == list(outlines)
    files = [path.name for path in bundled_images()]
    assert files == sorted(files) == list(dict.fromkeys(name.split("#")[0] for name in samples))
    assert len(files) == benchmark.expected_images == 7
    assert OUTLINES.stat().st_size < 60_000


def test_every_sample_is_well_formed(samples):
    for name, sample in samples.items():
        height, width = sample.image.shape[:2]
        assert sample.image.dtype == np.uint8, name
        assert sample.image.shape == (height, width, 3), name
        assert sample.mask.dtype == np.bool_, name
        assert sample.mask.shape == (height, width), name
        assert sample.ignore is None, name
        assert 900 <= sample.mask.sum() < 0.8 * sample.mask.size, name


def test_grey_photographs_have_equal_channels(samples):
    for name in ("camera.png#man", "coins.png#coin_r1c6"):
        image = samples[name].image
        assert (image == image[..., :1]).all()


def test_outlines_stay_on_the_photograph(samples, outlines):
    for name, rings in outlines.items():
        height, width = samples[name].mask.shape
        points = np.concatenate([np.asarray(ring) for ring in rings])
        assert points.min() >= -0.5, name
        assert (points.max(axis=0) <= (height - 0.5, width - 0.5)).all(), name


def test_areas_equal_the_shoelace_formula(samples, outlines):
    # No outline lies inside another one here, so the areas add up.
    for name, rings in outlines.items():
        area = 0.0
        for ring in rings:
            row, col = np.asarray(ring).T
            area += abs(row @ np.roll(col, 1) - col @ np.roll(row, 1)) / 2
        assert samples[name].mask.sum() == pytest.approx(area, rel=0.02), name


def even_odd(rings, size):
    """Brute force: a pixel is inside if a ray to the right of its centre crosses an odd number of edges."""
    inside = np.zeros(size, dtype=bool)
    cols = np.arange(size[1])
    for ring in rings:
        for (row_a, col_a), (row_b, col_b) in zip(ring, ring[1:] + ring[:1], strict=True):
            for row in range(max(0, int(np.ceil(min(row_a, row_b)))), size[0]):
                if row >= max(row_a, row_b):
                    break
                inside[row] ^= cols < col_a + (row - row_a) / (row_b - row_a) * (col_b - col_a)
    return inside


def test_masks_equal_brute_force(samples, outlines):
    for name, rings in outlines.items():
        np.testing.assert_array_equal(samples[name].mask, even_odd(rings, samples[name].mask.shape), name)


def test_no_pixel_centre_lies_on_an_outline(outlines):
    # Where one does, rasterisers differ; where none does, every version of scikit-image gives the same masks.
    for name, rings in outlines.items():
        for ring in rings:
            tenths = [(round(10 * row), round(10 * col)) for row, col in ring]
            np.testing.assert_allclose(np.asarray(tenths) / 10, ring, atol=1e-9)
            for (row, col), (next_row, next_col) in zip(tenths, tenths[1:] + tenths[:1], strict=True):
                steps = gcd(next_row - row, next_col - col)
                assert steps > 0, name
                for k in range(steps):
                    point = row + k * (next_row - row) // steps, col + k * (next_col - col) // steps
                    assert point[0] % 10 or point[1] % 10, (name, point)


def test_an_outline_inside_another_is_a_hole():
    outer = [[0.5, 0.5], [0.5, 8.5], [6.5, 8.5], [6.5, 0.5]]
    inner = [[2.5, 3.5], [2.5, 6.5], [4.5, 6.5], [4.5, 3.5]]
    expected = np.zeros((8, 12), dtype=bool)
    expected[1:7, 1:9] = True
    expected[3:5, 4:7] = False
    np.testing.assert_array_equal(fill_outlines([outer, inner], (8, 12)), expected)


@pytest.mark.parametrize("part", PARTS)
def test_parts_lie_inside_their_whole(samples, part):
    whole = samples[f"{part.split('#')[0]}#{PARTS[part]}"].mask
    mask = samples[part].mask
    assert (mask & whole).sum() >= 0.95 * mask.sum()
    assert mask.sum() < whole.sum()


@pytest.mark.parametrize("file", APART)
def test_objects_that_hide_one_another_do_not_overlap(samples, file):
    masks = [samples[f"{file}#{name}"].mask for name in APART[file]]
    doubly = (np.sum(masks, axis=0) > 1).sum()
    assert doubly <= 0.005 * min(mask.sum() for mask in masks) + 30  # pixels along a shared border


@pytest.mark.parametrize("name", PIXELS)
def test_known_pixels(samples, name):
    on, beside = PIXELS[name]
    assert samples[name].mask[on]
    assert not samples[name].mask[beside]


def test_coins_are_brighter_than_what_surrounds_them(samples):
    for name, sample in samples.items():
        if name.startswith("coins.png#"):
            near = binary_dilation(sample.mask, iterations=5) & ~binary_dilation(sample.mask, iterations=1)
            grey = sample.image[..., 0].astype(float)
            assert grey[sample.mask].mean() > grey[near].mean() + 30, name


@pytest.mark.parametrize("name", PIXELS)
def test_known_pixels_tell_rows_from_columns(samples, outlines, name):
    swapped = [[[col, row] for row, col in ring] for ring in outlines[name]]
    on, beside = PIXELS[name]
    mask = fill_outlines(swapped, samples[name].mask.shape)
    assert not mask[on] or mask[beside]


def pretend(monkeypatch, origin):
    spec = None if origin is None else ModuleSpec("skimage", None, origin=str(origin / "__init__.py"))
    find_spec = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *more: spec if name == "skimage" else find_spec(name))


def test_without_scikit_image(monkeypatch):
    pretend(monkeypatch, None)
    with pytest.raises(DatasetNotFoundError, match="pip install scikit-image") as caught:
        BundledBenchmark()
    assert isinstance(caught.value, InputError)


def test_missing_photograph(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"astronaut\.png.*missing.*0\.18\.3 to 0\.26\.0"):
        bundled_images()


def test_other_photograph_of_the_same_name(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    for path in bundled_images():
        (tmp_path / "data" / path.name).write_bytes(path.read_bytes())
    other = (tmp_path / "data" / "rocket.jpg").read_bytes()
    (tmp_path / "data" / "camera.png").write_bytes(other)
    pretend(monkeypatch, tmp_path)
    with pytest.raises(
        DatasetNotFoundError, match=r"camera\.png is not the photograph.*0\.18\.3 to 0\.26\.0"
    ):
        bundled_images()
