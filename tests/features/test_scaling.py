"""docs/protocol.md#patch-grid against exact fractions, and the resampler against Keys' cubic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mis_lightning.features.scaling import MAX_TOKENS, resize_bicubic, scaled_size, token_scale


@pytest.mark.parametrize("patch", [8, 14, 16])
def test_every_patch_size_gives_the_published_grid(patch):
    height, width = scaled_size((375, 500), patch)
    assert (height // patch, width // patch) == (47, 63)


def test_sizes_follow_the_rule_in_exact_arithmetic():
    def by_the_rule(pixels, patch):
        rounded = round(Fraction(pixels * patch, 8))  # of a Fraction: half to even
        return next(side for side in range(patch, 2 * rounded + 2 * patch, patch) if side >= rounded)

    for patch in (4, 8, 12, 14, 16, 32):
        for pixels in [*range(1, 70), 375, 499, 500, 1023]:
            assert scaled_size((pixels, 40), patch)[0] == by_the_rule(pixels, patch), (patch, pixels)
            assert scaled_size((40, pixels), patch)[1] == by_the_rule(pixels, patch), (patch, pixels)


def test_half_pixels_round_to_even():
    assert scaled_size((9, 11), 4) == (4, 8)  # 4.5 -> 4, one patch; 5.5 -> 6, two


@pytest.mark.parametrize("size", [(3000, 4000), (200, 9000), (4000, 4000)])
@pytest.mark.parametrize("patch", [8, 14, 16])
def test_large_images_are_scaled_to_about_max_tokens(size, patch):
    with pytest.warns(UserWarning, match="more than max_tokens=10000"):
        height, width = scaled_size(size, patch, max_tokens=10_000)
    h, w = height // patch, width // patch
    assert height % patch == 0
    assert width % patch == 0
    assert 9_500 <= h * w <= 10_000 + h + w + 1  # rounding up adds less than one row and one column
    assert abs(h / w - size[0] / size[1]) <= (1 + size[0] / size[1]) / w  # less than a patch


def test_images_below_max_tokens_keep_their_size(recwarn):
    assert token_scale((1600, 1600), 8, MAX_TOKENS) == 1
    assert token_scale((4000, 3000), 8, None) == 1
    assert token_scale((489, 489), 1 / (256 / 489), 256**2) == 1, "rounding is no reason to scale"
    assert scaled_size((375, 500), 14, max_tokens=40_000) == scaled_size((375, 500), 14)
    assert not recwarn


def test_an_image_that_fits_is_not_touched():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert resize_bicubic(image, (4, 6)) is image


def keys_cubic(x, a):
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


@pytest.mark.parametrize(("before", "after"), [(6, 15), (40, 11)])
def test_rows_are_resampled_with_an_antialiased_cubic(before, after):
    line = np.random.default_rng(0).integers(60, 196, before).astype(np.uint8)
    step = before / after
    widen = max(step, 1.0)  # where the image shrinks, the kernel grows with it
    expected = []
    for i in range(after):
        centre = (i + 0.5) * step
        weights = np.array([keys_cubic((k + 0.5 - centre) / widen, a=-0.5) for k in range(before)])
        expected.append((weights / weights.sum()) @ line)
    image = np.broadcast_to(line[:, None, None], (before, 5, 3))
    resized = resize_bicubic(image, (after, 5))
    assert resized.shape == (after, 5, 3)
    assert resized.dtype == np.uint8
    np.testing.assert_allclose(resized[:, 2, 1], expected, atol=1)
