import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.merge_tree.ward import build_merge_tree


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((375, 500), (94, 125)),  # 93.75 rounds up
        ((512, 512), (128, 128)),
        ((1024, 512), (128, 64)),  # long side scaled down to 512
        ((1, 1), (1, 1)),
        ((2, 3), (2, 2)),
        ((7, 5), (2, 2)),  # at least two patches a side
        ((1, 2000), (1, 128)),
        ((3000, 3), (128, 2)),
    ],
)
def test_grid_and_shape(size, grid):
    features, got = ColourTexture()(noise(*size))
    assert got == grid
    assert features.shape == (grid[0] * grid[1], 128)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    build_merge_tree(features, got).validate()


def test_parameters_set_the_grid_and_the_channels():
    features, grid = ColourTexture(stride=8, max_side=64, frequencies=5)(noise(100, 200))
    assert grid == (4, 8)
    assert features.shape == (32, 10)


def test_rows_are_row_major_and_patches_lie_where_their_pixels_are():
    image = np.zeros((16, 24, 3), np.uint8)
    image[8:12, 16:20] = 255  # exactly patch (2, 4) of a 4 x 6 grid
    features, (_, w) = ColourTexture()(image)
    assert np.linalg.norm(features - features[0], axis=1).argmax() == 2 * w + 4


def test_a_flipped_image_gives_flipped_features():
    image = noise(64, 96)
    features, grid = ColourTexture()(image)
    flipped, _ = ColourTexture()(np.ascontiguousarray(image[::-1, ::-1]))
    np.testing.assert_allclose(
        flipped.reshape(*grid, -1)[::-1, ::-1].reshape(features.shape), features, atol=1e-3
    )


def test_distances_are_those_of_a_gaussian_kernel_on_lab():
    # Greys: Lab is (L, 0, 0), L = 116 Y^(1/3) - 16 above Y = 0.0089, Y by the sRGB curve.
    levels = np.array([60, 70, 90, 200])
    y = ((levels / 255 + 0.055) / 1.055) ** 2.4
    lightness = 116 * np.cbrt(y) - 16
    gap = 0.5 * (lightness[:, None] - lightness)
    wanted = np.exp(-(gap**2) / (2 * 10**2))
    image = np.repeat(levels.astype(np.uint8), 16)[None, :, None].repeat(8, 0).repeat(3, 2)
    features, (_, w) = ColourTexture(frequencies=20_000)(image)
    inner = features[:w][[1, 5, 9, 13]]  # away from the edges, where the resampling rings
    np.testing.assert_allclose(inner @ inner.T, wanted, atol=0.03)


def test_unlike_colours_are_about_equally_far_apart():
    solid = [
        np.full((8, 8, 3), colour, np.uint8) for colour in ((220, 30, 30), (30, 220, 30), (250, 250, 250))
    ]
    red, green, white = (ColourTexture()(image)[0][0] for image in solid)
    gaps = [np.linalg.norm(red - green), np.linalg.norm(red - white), np.linalg.norm(green - white)]
    assert max(gaps) < 1.25 * min(gaps)


def test_deterministic_also_from_threads():
    images = [noise(60, 80, seed) for seed in range(8)]
    extractor = ColourTexture()
    alone = [extractor(image)[0] for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = [features for features, _ in pool.map(extractor, images)]
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_image_is_left_as_it_was():
    image = noise(40, 40)
    before = image.copy()
    ColourTexture()(image)
    np.testing.assert_array_equal(image, before)


def test_views_give_what_their_copies_give():
    image = noise(40, 60)[:, ::-1]
    np.testing.assert_array_equal(ColourTexture()(image)[0], ColourTexture()(image.copy())[0])


@pytest.mark.parametrize("level", [0, 127, 255])
def test_an_even_image_has_one_feature(level):
    features, _ = ColourTexture()(np.full((33, 47, 3), level, np.uint8))
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features, features[:1].repeat(len(features), 0), atol=1e-6)


def test_the_tree_splits_two_colours_exactly():
    rng = np.random.default_rng(0)
    image = np.empty((96, 128, 3), np.uint8)
    image[:] = np.array([150, 90, 60]) + rng.integers(-15, 16, (96, 128, 1))
    image[:, 64:] = np.array([60, 110, 150]) + rng.integers(-15, 16, (96, 64, 1))
    features, grid = ColourTexture()(image)
    wanted = np.zeros(grid, int)
    wanted[:, grid[1] // 2 :] = 1
    np.testing.assert_array_equal(build_merge_tree(features, grid).cut(2), wanted)


def test_the_tree_splits_two_textures_of_the_same_mean_exactly():
    """Light and dark stripes against red and green ones: the same mean colour, other distributions."""
    stripes = (np.arange(128) // 4 % 2)[None, :, None].repeat(96, 0)
    image = np.where(stripes, (160, 160, 160), (90, 90, 90)).astype(np.uint8)
    image[:, 64:] = np.where(stripes, (160, 90, 125), (90, 160, 125))[:, 64:]
    np.testing.assert_allclose(image[:, :64].mean((0, 1)), image[:, 64:].mean((0, 1)))
    features, grid = ColourTexture()(image)
    wanted = np.zeros(grid, int)
    wanted[:, grid[1] // 2 :] = 1
    np.testing.assert_array_equal(build_merge_tree(features, grid).cut(2), wanted)


def test_settings_say_what_fixes_the_output():
    assert isinstance(ColourTexture(), PatchExtractor)
    assert ColourTexture().settings() == ColourTexture().settings()
    assert json.loads(json.dumps(ColourTexture().settings())) == ColourTexture().settings()
    default = ColourTexture()
    image = noise(64, 96)
    for name, value in {
        "stride": 8, "max_side": 48, "lightness": 1.0, "colour_scale": 20.0, "frequencies": 32,
    }.items():  # fmt: skip
        other = ColourTexture(**{name: value})
        assert other.settings() != default.settings()
        assert not np.array_equal(other(image)[0], default(image)[0])


def test_the_default_output_has_not_changed_without_a_new_version():
    assert ColourTexture().settings() == {
        "extractor": "ColourTexture", "version": 2, "stride": 4, "max_side": 512,
        "lightness": 0.5, "colour_scale": 10.0, "frequencies": 64, "max_tokens": 40_000,
    }  # fmt: skip
    row = ColourTexture()(np.full((4, 4, 3), (200, 120, 40), np.uint8))[0][0]
    np.testing.assert_allclose(row[[0, 1, 63, 64, 65, 127]], GOLDEN, atol=2e-4)


GOLDEN = [-0.036822, 0.118847, 0.002345, -0.119454, -0.038736, -0.124978]  # of 2026-11, NumPy 2.4


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_other_images_are_refused(image):
    with pytest.raises(InputError, match="RGB image"):
        ColourTexture()(image)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stride", 0),
        ("max_side", 3),
        ("lightness", -1.0),
        ("colour_scale", 0.0),
        ("colour_scale", float("nan")),
        ("frequencies", 0),
    ],
)
def test_parameters_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        ColourTexture(**{name: value})


def test_more_patches_than_the_budget_are_scaled_down_with_a_warning():
    image = np.zeros((300, 400, 3), np.uint8)
    extractor = ColourTexture(stride=2, max_tokens=1000)
    with pytest.warns(UserWarning, match=r"400×300 pixels gives 30000 tokens, more than max_tokens=1000"):
        features, grid = extractor(image)
    assert grid == (27, 37)  # 300 and 400 pixels, 10.95 pixels a token
    assert len(features) == 27 * 37
    assert extractor.settings()["max_tokens"] == 1000
    assert ColourTexture(stride=2, max_tokens=30_000)(image)[1] == (150, 200)
    with pytest.raises(InputError, match="`max_tokens` of at least 1"):
        ColourTexture(max_tokens=0)
