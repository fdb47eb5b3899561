"""TokenCut on planted groups, against a dense computation written from docs/protocol.md#tokencut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.ndimage import label

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.vit import ViTFeatures
from mis_lightning.regions import tokencut
from mis_lightning.regions.tokencut import TokenCut, token_cut


def planted(grid, mask, noise=0.05, seed=0):
    """Features of two directions, one on the mask."""
    rng = np.random.default_rng(seed)
    base = np.where(mask.ravel()[:, None], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    return (base + noise * rng.standard_normal((mask.size, 3))).astype(np.float32)


@pytest.mark.parametrize("grid", [(8, 9), (20, 24)])
def test_a_planted_object_is_found(grid):
    mask = np.zeros(grid, bool)
    mask[2:5, 3:7] = True
    np.testing.assert_array_equal(token_cut(planted(grid, mask), grid), mask)


def test_only_the_part_around_the_seed_is_kept():
    mask = np.zeros((20, 20), bool)
    mask[2:6, 2:6] = mask[10:18, 9:17] = True
    found = token_cut(planted((20, 20), mask), (20, 20))
    assert found.sum() in (16, 64)
    assert not (found & ~mask).any()


def plainly(features, grid, tau=0.2, epsilon=1e-5):
    """docs/protocol.md#tokencut, steps 2 to 6, literally."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    affinity = np.where(unit @ unit.T > tau, 1.0, epsilon)
    degree = np.diag(affinity.sum(1))
    second = eigh(degree - affinity, degree)[1][:, 1]
    partition = second > second.mean()
    seed = np.abs(second).argmax()
    if not partition[seed]:
        partition = ~partition
    parts, _ = label(partition.reshape(grid))
    return parts == parts.ravel()[seed]


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_the_spec_word_for_word(seed):
    rng = np.random.default_rng(seed)
    grid = (14, 17)
    features = rng.standard_normal((grid[0] * grid[1], 6)) + 0.7 * np.repeat(
        rng.standard_normal((grid[0], 6)), grid[1], axis=0
    )
    found = token_cut(features.astype(np.float32), grid)
    np.testing.assert_array_equal(found, plainly(features.astype(np.float32).astype(float), grid))


@pytest.mark.parametrize("seed", range(4))
def test_groups_that_hardly_touch_are_not_mixed(seed):
    # Five objects joined by weak links alone: the eigenvalues differ by some 1e-5.
    rng = np.random.default_rng(seed)
    grid = (20, 22)
    group = np.zeros(grid, int)
    for number in range(1, 6):
        row = rng.integers(0, 11)
        # All of other sizes: between two that are alike, rounding would decide.
        group[row : row + 4 + number, 4 * number - 4 : 4 * number - 1] = number
    features = np.eye(6)[group.ravel()] + 0.02 * rng.standard_normal((group.size, 6))
    found = token_cut(features.astype(np.float32), grid)
    np.testing.assert_array_equal(found, plainly(features.astype(np.float32).astype(float), grid))


def photograph():
    image = np.full((60, 80, 3), 40, np.uint8)
    image[:, :, 1] = 90
    image[22:45, 31:58] = (230, 120, 30)
    return image


def test_the_bilateral_solver_brings_the_mask_to_the_edges():
    source = TokenCut(ColourTexture(stride=8))
    image = photograph()
    truth = (image[:, :, 0] == 230).astype(bool)
    coarse = source.find(image, "a", source.extractor(image)).mask(0, (60, 80))
    sharp_source = TokenCut(ColourTexture(stride=8), bilateral=True)
    sharp = sharp_source.find(image, "a", sharp_source.extractor(image))
    assert sharp.size == (60, 80)

    def iou(mask):
        return (mask & truth).sum() / (mask | truth).sum()

    assert iou(sharp.mask(0)) > max(0.97, iou(coarse))


def test_a_mask_larger_than_half_of_the_image_is_not_inverted():
    image = np.full((64, 64, 3), (30, 60, 90), np.uint8)
    image[:, :46] = (230, 120, 30)
    coarse = np.zeros((8, 8), bool)
    coarse[:, :6] = True  # 48 of 64 columns
    sharp = tokencut._sharpened(coarse, image)
    np.testing.assert_array_equal(sharp, image[:, :, 0] == 230)  # not inverted


def test_settings_and_errors():
    settings = TokenCut(ColourTexture(stride=8), threshold=0.3).settings()
    assert (settings["source"], settings["stride"], settings["threshold"]) == ("tokencut", 8, 0.3)
    for bad in ({"threshold": 1.0}, {"weak": 0.0}):
        with pytest.raises(InputError, match="threshold"):
            TokenCut(**bad)


def test_the_published_s8_can_be_chosen():
    """The published script has no address for it."""
    extractor = ViTFeatures("vit_small_patch8_224.dino", pretrained=False, output="keys", scaling="nearest")
    source = TokenCut(extractor, bilateral=False)
    image = np.zeros((40, 56, 3), np.uint8)
    image[8:24, 16:40] = 255
    found = source.find(image, "a", extractor(image))
    assert found.mask(0, (40, 56)).any()
