"""Each transform of docs/protocol.md#augmentation written out, with the random numbers given."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from mis_lightning.data import augment
from mis_lightning.data.augment import PaperAugmentation

RNG = np.random.default_rng(0)


class Given:
    """A generator that returns the numbers it was given and remembers what it was asked for."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)
        self.asked = []

    def uniform(self, low, high, size=None):
        self.asked.append((low, high))
        return self.numbers.pop(0)

    def random(self):
        return self.numbers.pop(0)

    def integers(self, below):
        self.asked.append(below)
        return self.numbers.pop(0)


def noise(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8), RNG.random((height, width)) < 0.5


def blobs(height, width):
    """A mask of smooth outline, and an image that is white inside it and black outside."""
    rows, cols = np.mgrid[:height, :width]
    mask = np.hypot(rows - 0.4 * height, cols - 0.6 * width) < 0.3 * min(height, width)
    mask |= (rows > 0.7 * height) & (cols < 0.3 * width)
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), mask


def assert_image_and_mask_moved_together(image, mask):
    """Where a pixel and its neighbours are all white the mask is set, where all are black it is not."""
    assert image.shape == (*mask.shape, 3)
    padded = np.pad(image[..., 0], 1, mode="edge")
    around = np.stack(
        [padded[r : r + mask.shape[0], c : c + mask.shape[1]] for r in range(3) for c in range(3)]
    )
    assert mask[(around == 255).all(axis=0)].all()
    assert not mask[(around == 0).all(axis=0)].any()
    assert mask.any()
    assert not mask.all()


@pytest.mark.parametrize(("scale", "size"), [(0.75, (28, 38)), (1.25, (46, 62)), (1.0, (37, 50))])
def test_resize_rounds_half_to_even(scale, size):
    # 37 * 0.75 = 27.75, 50 * 0.75 = 37.5 -> 38; 37 * 1.25 = 46.25, 50 * 1.25 = 62.5 -> 62
    image, mask = augment.resize(*noise(37, 50), scale)
    assert mask.shape == size
    assert image.shape == (*size, 3)
    assert (image.dtype, mask.dtype) == (np.uint8, np.bool_)
    assert augment.scaled(noise(37, 50)[1], scale) == size


def bilinear(image, rows, cols):
    """Values at real positions; outside the image black."""
    padded = np.pad(image.astype(float), ((1, 2), (1, 2), (0, 0)))
    rows, cols = np.clip(rows, -1, image.shape[0]) + 1, np.clip(cols, -1, image.shape[1]) + 1
    r, c = np.floor(rows).astype(int), np.floor(cols).astype(int)
    y, x = (rows - r)[..., None], (cols - c)[..., None]
    return (1 - y) * ((1 - x) * padded[r, c] + x * padded[r, c + 1]) + y * (
        (1 - x) * padded[r + 1, c] + x * padded[r + 1, c + 1]
    )


@pytest.mark.parametrize("scale", [0.75, 0.8137, 1.1, 1.25])
def test_resize_is_bilinear_for_images_and_nearest_for_masks(scale):
    image, mask = noise(37, 50)
    resized, region = augment.resize(image, mask, scale)
    (h, w), (height, width) = mask.shape, region.shape
    rows = np.clip((np.arange(height) + 0.5) * h / height - 0.5, 0, h - 1)
    cols = np.clip((np.arange(width) + 0.5) * w / width - 0.5, 0, w - 1)
    expected = bilinear(image, *np.meshgrid(rows, cols, indexing="ij"))
    np.testing.assert_allclose(resized, expected, atol=1.01)
    nearest = mask[np.ix_([r * h // height for r in range(height)], [c * w // width for c in range(width)])]
    np.testing.assert_array_equal(region, nearest)


def test_a_resized_image_keeps_a_pixel():
    image, mask = augment.resize(*noise(1, 40), 0.3)
    assert image.shape == (1, 12, 3)
    assert mask.shape == (1, 12)


@pytest.mark.parametrize(
    ("drawn", "source"),
    [
        (0, lambda r, c: (3 - r, c)),  # vertically
        (1, lambda r, c: (r, 4 - c)),  # horizontally
        (2, lambda r, c: (3 - r, 4 - c)),
    ],
)
def test_flips(drawn, source):
    image, mask = noise(4, 5)
    generator = Given(drawn)
    flipped, region = augment.flip(image, mask, generator)
    assert generator.asked == [3]
    for r in range(4):
        for c in range(5):
            assert (flipped[r, c] == image[source(r, c)]).all()
            assert region[r, c] == mask[source(r, c)]


@pytest.mark.parametrize(
    ("drawn", "size", "source"),
    [
        (0, (4, 5), lambda r, c: (r, c)),
        (1, (5, 4), lambda r, c: (c, 4 - r)),  # the right column becomes the top row: counter-clockwise
        (2, (4, 5), lambda r, c: (3 - r, 4 - c)),
        (3, (5, 4), lambda r, c: (3 - c, r)),
    ],
)
def test_quarter_turns_are_counter_clockwise(drawn, size, source):
    image, mask = noise(4, 5)
    generator = Given(drawn)
    turned, region = augment.rotate90(image, mask, generator)
    assert generator.asked == [4]
    assert region.shape == size
    for r in range(size[0]):
        for c in range(size[1]):
            assert (turned[r, c] == image[source(r, c)]).all()
            assert region[r, c] == mask[source(r, c)]


def shift_rotate(image, mask, generator, shift, degrees):
    motion = augment.shift_rotation(mask, 1.0, generator, shift, degrees)
    return augment.pad_and_crop(image, mask, Given(0.0, 0.0), mask.shape, motion)


def test_shifts_are_shares_of_width_and_height():
    image, mask = noise(20, 50)
    generator = Given(0.0, (0.06, -0.1))  # angle; columns, rows
    moved, region = shift_rotate(image, mask, generator, 0.1, 3.0)
    assert generator.asked == [(-3.0, 3.0), (-0.1, 0.1)]
    np.testing.assert_array_equal(moved[:18, 3:], image[2:, :47])  # 3 to the right, 2 up
    np.testing.assert_array_equal(region[:18, 3:], mask[2:, :47])
    assert not moved[18:].any()
    assert not moved[:, :3].any()
    assert not region[18:].any()
    assert not region[:, :3].any()


@pytest.mark.parametrize("angle", [3.0, -25.0, 90.0])
def test_rotation_is_counter_clockwise_about_half_the_size(angle):
    rows, cols = np.mgrid[:41, :60]
    image = np.stack([128 + 90 * np.sin(rows / 9), 128 + 90 * np.cos(cols / 11), rows + cols], axis=2)
    image = np.rint(image).astype(np.uint8)  # smooth, so that steps of 1/32 pixel do not show
    mask = np.hypot(rows - 12, cols - 40) < 9
    moved, region = shift_rotate(image, mask, Given(angle, (0.1, -0.05)), 0.1, 180)
    # A point up and right of (w/2, h/2), turned counter-clockwise as it is seen, goes up and left.
    across, up = cols - 30 - 0.1 * 60, -(rows - 20.5 + 0.05 * 41)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    source_cols, source_rows = 30 + across * cos + up * sin, 20.5 - (-across * sin + up * cos)
    np.testing.assert_allclose(moved, bilinear(image, source_rows, source_cols), atol=7)
    distance = np.hypot(source_rows - 12, source_cols - 40)
    inside = (source_rows >= 0) & (source_rows <= 40) & (source_cols >= 0) & (source_cols <= 59)
    assert region[inside & (distance < 8)].all()
    assert not region[(distance > 10) | ~inside].any()


@pytest.mark.parametrize(
    ("size", "wanted", "top", "left"),
    [((7, 9), (10, 9), 1, 0), ((7, 9), (7, 14), 0, 2), ((7, 9), (12, 10), 2, 0), ((7, 9), (8, 12), 0, 1)],
)
def test_padding_puts_the_odd_pixel_below_and_right(size, wanted, top, left):
    image, mask = noise(*size)
    padded, region = augment.pad_and_crop(image, mask, Given(0.7, 0.7), wanted)
    assert region.shape == wanted
    place = np.s_[top : top + 7, left : left + 9]
    np.testing.assert_array_equal(padded[place], image)
    np.testing.assert_array_equal(region[place], mask)
    assert padded.sum(dtype=int) == image.sum(dtype=int)  # black around
    assert region.sum() == mask.sum()


def test_one_side_is_padded_and_the_other_cropped():
    image, mask = noise(7, 9)
    cut, region = augment.pad_and_crop(image, mask, Given(0.7, 0.7), (5, 12))
    np.testing.assert_array_equal(cut, np.pad(image[1:6], ((0, 0), (1, 2), (0, 0))))
    np.testing.assert_array_equal(region, np.pad(mask[1:6], ((0, 0), (1, 2))))


@pytest.mark.parametrize("size", [(40, 40), (61, 83), (70, 50), (90, 100)])
def test_a_crop_of_what_moved_is_what_a_crop_of_the_whole_would_be(size):
    image, mask = blobs(61, 83)
    image = (image * np.linspace(0.2, 1, 83)[:, None]).astype(np.uint8)
    motion = augment.shift_rotation(mask, 1.0, Given(20.0, (0.1, -0.05)), 0.1, 30)
    moved, region = augment.pad_and_crop(image, mask, Given(0.0, 0.0), mask.shape, motion)
    cut, part = augment.pad_and_crop(image, mask, Given(0.6, 0.6), size, motion)
    expected, inside = augment.pad_and_crop(moved, region, Given(0.6, 0.6), size)
    assert cut.shape == (*size, 3)
    assert (np.abs(cut.astype(int) - expected) <= 8).all()  # OpenCV rounds positions to 1/32 pixel
    assert (part != inside).mean() < 0.005


@pytest.mark.parametrize("scale", [0.75, 1.0, 1.25])
def test_scale_and_motion_are_the_one_after_the_other(scale):
    rows, cols = np.mgrid[:61, :83]
    image = np.stack([128 + 90 * np.sin(rows / 12), 128 + 90 * np.cos(cols / 14), rows + cols], axis=2)
    image, mask = np.rint(image).astype(np.uint8), np.hypot(rows - 25, cols - 50) < 14
    motion = augment.shift_rotation(mask, scale, Given(20.0, (0.1, -0.05)), 0.1, 30)
    moved, region = augment.pad_and_crop(image, mask, Given(0.0, 0.0), motion.frame, motion)
    resized, flat = augment.resize(image, mask, scale)
    after = augment.shift_rotation(flat, 1.0, Given(20.0, (0.1, -0.05)), 0.1, 30)
    expected, inside = augment.pad_and_crop(resized, flat, Given(0.0, 0.0), flat.shape, after)
    assert moved.shape == expected.shape == (*augment.scaled(mask, scale), 3)
    there = np.pad(
        (expected.sum(axis=2) > 0).astype(np.uint8), 2
    )  # the border of the image blends with black
    within = cv2.erode(there, np.ones((5, 5), np.uint8))[2:-2, 2:-2] > 0
    assert within.mean() > 0.5
    assert (np.abs(moved.astype(int) - expected) <= 6)[within].all()
    assert (region != inside).mean() < 0.02


@pytest.mark.parametrize(
    ("uniform", "start"),
    [((0.0, 0.0), (0, 0)), ((0.34, 0.5), (1, 2)), ((0.999999, 0.999999), (2, 3)), ((1 / 3, 0.25), (1, 1))],
)
def test_crops_start_at_the_floor_of_the_scaled_number(uniform, start):
    image, mask = noise(8, 10)  # cropped to (5, 6): starts floor(3 u) and floor(4 u)
    cut, region = augment.pad_and_crop(image, mask, Given(*uniform), (5, 6))
    place = np.s_[start[0] : start[0] + 5, start[1] : start[1] + 6]
    np.testing.assert_array_equal(cut, image[place])
    np.testing.assert_array_equal(region, mask[place])


@pytest.mark.parametrize(("alpha", "beta"), [(1.4, 0.25), (0.85, -0.25), (1.1, 0.0), (1.0, 0.1), (1.0, 0.0)])
def test_brightness_and_contrast_are_clipped_and_cut_off(alpha, beta):
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    generator = Given(alpha - 1, beta)
    changed = augment.recolour(image, augment.brightness_contrast(generator, (-0.15, 0.4), (-0.25, 0.25)))
    assert generator.asked == [(-0.15, 0.4), (-0.25, 0.25)]
    expected = [int(min(max((1 + (alpha - 1)) * v + 255 * beta, 0), 255)) for v in range(256)]
    assert changed[..., 0].ravel().tolist() == expected
    assert changed.dtype == np.uint8


def test_values_are_truncated_not_rounded():
    image = np.full((1, 1, 3), 9, np.uint8)
    brighter = augment.brightness_contrast(Given(0.1, 0.0), (0, 1), (0, 1))
    shifted = augment.shift_rgb(Given(np.array([0.9, -0.9, 1.0])), 10)
    assert augment.recolour(image, brighter).max() == 9  # of 9.9
    assert augment.recolour(image, shifted).ravel().tolist() == [9, 8, 10]


def test_channels_shift_on_their_own():
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    generator = Given(np.array([10.0, -10.0, 0.25]))
    changed = augment.recolour(image, augment.shift_rgb(generator, 10.0))
    assert generator.asked == [(-10.0, 10.0)]
    values = np.arange(256)
    assert changed.dtype == np.uint8
    for channel, expected in enumerate((np.minimum(values + 10, 255), np.maximum(values - 10, 0), values)):
        np.testing.assert_array_equal(changed[..., channel].ravel(), expected)


def test_a_shift_of_zero_changes_nothing_else():
    image, _ = noise(5, 5)
    np.testing.assert_array_equal(augment.recolour(image, augment.shift_rgb(Given(np.zeros(3)), 10.0)), image)


def test_changes_of_colour_follow_each_other_as_if_made_one_by_one():
    image, _ = noise(30, 40)
    brighter = augment.brightness_contrast(Given(0.3, -0.1), (0, 1), (0, 1))
    shifted = augment.shift_rgb(Given(np.array([9.5, -7.25, 0.5])), 10)
    together = augment.recolour(image, brighter, shifted)
    np.testing.assert_array_equal(together, augment.recolour(augment.recolour(image, brighter), shifted))
    assert (together != augment.recolour(image, shifted, brighter)).any()
    assert augment.recolour(image) is image


def test_random_numbers_cover_their_ranges_evenly():
    generator = np.random.default_rng(0)
    image, mask = noise(2, 3)
    flips = [augment.flip(image, mask, generator)[0].tobytes() for _ in range(900)]
    turns = [augment.rotate90(image, mask, generator)[0].tobytes() for _ in range(800)]
    corners = [augment.pad_and_crop(image, mask, generator, (1, 1))[1].shape for _ in range(10)]
    assert sorted(flips.count(kind) for kind in set(flips)) == pytest.approx([300] * 3, abs=60)
    assert sorted(turns.count(kind) for kind in set(turns)) == pytest.approx([200] * 4, abs=50)
    assert set(corners) == {(1, 1)}


@pytest.mark.parametrize("size", [(61, 83), (40, 40), (30, 90)])
def test_image_and_mask_move_together_through_the_whole_chain(size):
    colours = {"brightness_contrast_probability": 0.0, "rgb_shift_probability": 0.0}
    chain = PaperAugmentation(size=(56, 56), degrees=40.0, shift=0.2, **colours)
    for seed in range(40):
        image, mask = chain(*blobs(*size), np.random.default_rng(seed))
        assert image.shape == (56, 56, 3)
        if mask.any():
            assert_image_and_mask_moved_together(image, mask)


def switched(**on):
    """The chain with all that is random switched off, but for what is named."""
    off = {
        "scale": (1.0, 1.0),
        "flip_probability": 0.0,
        "rotate90_probability": 0.0,
        "shift_rotate_probability": 0.0,
        "brightness_contrast_probability": 0.0,
        "rgb_shift_probability": 0.0,
    }
    return PaperAugmentation(size=(8, 8), **{**off, **on})


def test_all_switched_off_leaves_padding_and_cropping():
    image, mask = noise(5, 8)
    changed, region = switched()(image, mask, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, np.pad(image, ((1, 2), (0, 0), (0, 0))))
    np.testing.assert_array_equal(region, np.pad(mask, ((1, 2), (0, 0))))


def test_padding_comes_before_the_colours_and_after_the_turns():
    image, mask = noise(5, 8)
    bright = switched(brightness_contrast_probability=1.0, contrast=(0.0, 0.0), brightness=(0.2, 0.2))
    assert (bright(image, mask, np.random.default_rng(0))[0][0] == 51).all()
    image = np.full((5, 8, 3), 9, np.uint8)
    seen = set()
    for seed in range(12):  # turned first, the 5 x 8 image is padded at its sides or above and below
        turned, _ = switched(rotate90_probability=1.0)(image, mask, np.random.default_rng(seed))
        black = (turned == 0).all(axis=2)
        seen.add((tuple(np.flatnonzero(black.all(axis=1))), tuple(np.flatnonzero(black.all(axis=0)))))
    assert seen == {((0, 6, 7), ()), ((), (0, 6, 7))}  # padded first, a turn would bring (0, 1, 7)


def test_published_numbers_are_the_defaults():
    chain = PaperAugmentation()
    assert chain.size == (448, 448)
    assert chain.scale == (0.75, 1.25)
    assert (chain.flip_probability, chain.rotate90_probability, chain.shift_rotate_probability) == (
        0.5,
        0.5,
        0.75,
    )
    assert (chain.shift, chain.degrees) == (0.03, 3.0)
    assert (chain.brightness_contrast_probability, chain.rgb_shift_probability) == (0.75, 0.75)
    assert (chain.contrast, chain.brightness, chain.rgb_shift) == ((-0.15, 0.4), (-0.25, 0.25), 10.0)


def test_transforms_come_as_often_as_they_should():
    # Each changes the picture whenever it is on, save for a quarter turn of 0 degrees.
    image, mask = noise(8, 8)
    shares = {
        "flip_probability": (0.5, 0.5),
        "rotate90_probability": (0.5, 0.375),
        "shift_rotate_probability": (0.75, 0.75),
        "brightness_contrast_probability": (0.75, 0.75),
        "rgb_shift_probability": (0.75, 0.75),
    }
    for name, (probability, share) in shares.items():
        chain, generator = switched(**{name: probability}, shift=0.3), np.random.default_rng(1)
        changed = sum((chain(image, mask, generator)[0] != image).any() for _ in range(400))
        assert changed / 400 == pytest.approx(share, abs=0.08), name


def test_the_same_generator_gives_the_same_sample():
    image, mask = noise(30, 20)
    chain = PaperAugmentation(size=(24, 24))
    first, again, other = (chain(image, mask, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (16, 16), (41, 23)])
def test_any_size_comes_out_as_the_network_wants_it(size):
    image, mask = noise(*size)
    before = image.copy(), mask.copy()
    image.flags.writeable = mask.flags.writeable = False
    for seed in range(6):
        changed, region = PaperAugmentation(size=(32, 24))(image, mask, np.random.default_rng(seed))
        assert changed.shape == (32, 24, 3)
        assert region.shape == (32, 24)
        assert (changed.dtype, region.dtype) == (np.uint8, np.bool_)
        assert changed.flags.c_contiguous
        assert region.flags.c_contiguous
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])
