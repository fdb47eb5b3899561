"""Zoomed views for small networks: what they show, told by an image whose colours are its coordinates."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.data.zoom_augment import ZoomAugmentation

HEIGHT, WIDTH = 180, 240
ROWS, COLS = np.mgrid[:HEIGHT, :WIDTH]
COORDINATES = np.stack([ROWS, COLS, np.zeros_like(ROWS)], axis=2).astype(np.uint8)
PLAIN = {
    "flip_probability": 0.0,
    "any_flip_probability": 0.0,
    "grey_probability": 0.0,
    "colour_probability": 0.0,
}


def rectangle(top, bottom, left, right):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def window(image):
    """First and last row and column that an augmented image of coordinates shows, to one pixel."""
    return [int(extreme) for c in (0, 1) for extreme in (image[..., c].min(), image[..., c].max())]


REGIONS = [
    rectangle(60, 100, 80, 150),
    rectangle(0, 30, 200, 240),
    rectangle(0, 180, 0, 240),
    rectangle(170, 180, 3, 4),
    rectangle(90, 91, 100, 101),
]


@pytest.mark.parametrize("mask", REGIONS)
@pytest.mark.parametrize(("expansion", "min_crop"), [((1.0, 1.0), 1), ((1.05, 1.9), 1), ((1.0, 1.5), 100)])
def test_the_box_holds_the_region(mask, expansion, min_crop):
    zoom = ZoomAugmentation(
        (256, 256), whole_probability=0.0, expansion=expansion, jitter=0.0, min_crop=min_crop, **PLAIN
    )
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    for seed in range(8):
        image, region = zoom(COORDINATES, mask, np.random.default_rng(seed))
        top, bottom, left, right = window(image)
        assert top <= rows[0]
        assert bottom >= rows[-1]
        assert left <= cols[0]
        assert right >= cols[-1]
        for extent, seen in ((len(rows), bottom - top + 1), (len(cols), right - left + 1)):
            assert seen <= max(extent * expansion[1], min_crop) + 2
        assert region.any()


def test_boxes_inside_the_image_are_as_large_as_said():
    mask = rectangle(80, 100, 110, 140)  # 20 x 30 in the middle
    zoom = ZoomAugmentation((256, 256), 0.0, expansion=(2.0, 2.0), jitter=0.0, min_crop=50, **PLAIN)
    top, bottom, left, right = window(zoom(COORDINATES, mask, np.random.default_rng(0))[0])
    assert (top, bottom) == (65, 114)  # at least min_crop = 50, about row 90
    assert (left, right) == (95, 154)  # twice 30, about column 125


@pytest.mark.parametrize("mask", REGIONS)
def test_windows_are_squares_about_a_pixel_of_the_region(mask):
    share, least = (0.25, 0.8), 12
    zoom = ZoomAugmentation(
        (256, 256), 0.0, min_crop=least, window_probability=1.0, window_share=share, **PLAIN
    )
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    extent = max(np.ptp(rows), np.ptp(cols)) + 1
    sides = []
    for seed in range(40):
        image, region = zoom(COORDINATES, mask, np.random.default_rng(seed))
        top, bottom, left, right = window(image)
        height, width = bottom - top + 1, right - left + 1
        wanted = max(height, width)
        assert height == pytest.approx(min(wanted, HEIGHT), abs=2)  # square, but for the image's own sides
        assert width == pytest.approx(min(wanted, WIDTH), abs=2)
        assert min(max(extent / share[1], least), WIDTH) - 2 <= wanted
        assert wanted <= max(extent / share[0], least) + 2
        assert region.any()
        sides.append(wanted)
    if 20 < extent < 60:
        assert max(sides) > 2 * min(sides)


def test_windows_are_used_as_often_as_said_and_not_by_default():
    mask = rectangle(60, 70, 80, 130)  # boxes keep its shape, windows are square
    counts = []
    for chance in (0.0, 0.4):
        zoom = ZoomAugmentation(
            (64, 64), 0.0, expansion=(1, 1), jitter=0, min_crop=1, window_probability=chance, **PLAIN
        )
        views = [window(zoom(COORDINATES, mask, np.random.default_rng(seed))[0]) for seed in range(200)]
        counts.append(sum(bottom - top > 20 for top, bottom, _, _ in views))
    assert counts[0] == 0
    assert counts[1] / 200 == pytest.approx(0.4, abs=0.1)


def test_jitter_moves_the_box_by_a_share_of_the_region():
    mask = rectangle(80, 100, 100, 140)
    zoom = ZoomAugmentation((256, 256), 0.0, expansion=(1.5, 1.5), jitter=0.25, min_crop=1, **PLAIN)
    middles = []
    for seed in range(60):
        top, bottom, left, right = window(zoom(COORDINATES, mask, np.random.default_rng(seed))[0])
        middles.append(((top + bottom + 1) / 2 - 90, (left + right + 1) / 2 - 120))
    spread = np.abs(middles).max(axis=0)
    assert 3 < spread[0] <= 6  # a quarter of 20 rows, and rounding
    assert 8 < spread[1] <= 11
    assert np.abs(np.mean(middles, axis=0)).max() < 2


@pytest.mark.parametrize("mask", [REGIONS[0], np.zeros((HEIGHT, WIDTH), bool)])
def test_the_whole_image_loses_a_margin_at_most(mask):
    probability = 1.0 if mask.any() else 0.0  # without a region there is nothing to zoom to
    zoom = ZoomAugmentation((256, 256), probability, whole_share=0.75, **PLAIN)
    shares = []
    for seed in range(40):
        top, bottom, left, right = window(zoom(COORDINATES, mask, np.random.default_rng(seed))[0])
        shares.append(((bottom - top + 1) / HEIGHT, (right - left + 1) / WIDTH))
    assert np.min(shares) >= 0.74
    assert np.min(shares, axis=0).max() < 0.8
    assert np.max(shares, axis=0).min() > 0.95


def test_whole_images_come_as_often_as_said():
    zoom = ZoomAugmentation((32, 32), whole_probability=0.35, **PLAIN)
    generator = np.random.default_rng(0)
    mask = rectangle(90, 91, 100, 101)
    whole = sum(window(zoom(COORDINATES, mask, generator)[0])[3] > 170 for _ in range(400))
    assert whole / 400 == pytest.approx(0.35, abs=0.08)


@pytest.mark.parametrize("flips", [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_image_and_mask_move_together(flips):
    mask = (np.hypot(ROWS - 60, COLS - 150) < 40) | ((ROWS > 120) & (COLS < 90))
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    probabilities = {**PLAIN, "flip_probability": flips[0], "any_flip_probability": flips[1]}
    for size in ((64, 96), (300, 256)):  # smaller and larger than the box
        zoom = ZoomAugmentation(size, **probabilities)
        for seed in range(6):
            white, region = zoom(image, mask, np.random.default_rng(seed))
            np.testing.assert_array_equal(region[white[..., 0] > 129], True)
            np.testing.assert_array_equal(region[white[..., 0] < 126], False)


def test_the_usual_flip_is_left_to_right():
    zoom = ZoomAugmentation((64, 64), 1.0, **{**PLAIN, "flip_probability": 1.0})
    image, _ = zoom(COORDINATES, REGIONS[0], np.random.default_rng(0))
    assert (np.diff(image[..., 0].astype(int), axis=0) > 0).all()
    assert (np.diff(image[..., 1].astype(int), axis=1) < 0).all()


def test_colours():
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    grey, _ = ZoomAugmentation(**{**PLAIN, "grey_probability": 1.0})(
        image, REGIONS[0], np.random.default_rng(0)
    )
    assert (grey == grey[..., :1]).all()
    weighted = ZoomAugmentation(**PLAIN)(image, REGIONS[0], np.random.default_rng(0))[0] @ [
        0.299,
        0.587,
        0.114,
    ]
    np.testing.assert_allclose(grey[..., 0], weighted, atol=1)
    changed = ZoomAugmentation(**{**PLAIN, "colour_probability": 1.0})
    assert (changed(image, REGIONS[0], np.random.default_rng(0))[0] != grey).any()


def test_the_same_generator_gives_the_same_sample():
    first, again, other = (
        ZoomAugmentation()(COORDINATES, REGIONS[0], np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (1, 200), (400, 30)])
def test_any_size_comes_out_as_the_network_wants_it(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.random.default_rng(1).random(size) < 0.5
    image.flags.writeable = mask.flags.writeable = False
    for seed in range(8):
        changed, region = ZoomAugmentation((48, 32))(image, mask, np.random.default_rng(seed))
        assert changed.shape == (48, 32, 3)
        assert region.shape == (48, 32)
        assert (changed.dtype, region.dtype) == (np.uint8, np.bool_)
        assert changed.flags.c_contiguous
        assert region.flags.c_contiguous
