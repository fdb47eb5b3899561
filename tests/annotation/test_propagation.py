from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.annotation.propagation import Carrying, move_mask, score, signed_distance
from mis_lightning.errors import InputError


def textured(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Smooth noise with a contrast that flow can follow, RGB, uint8."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    return np.repeat(smooth.astype(np.uint8)[..., None], 3, axis=2)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("shift", [(0, 0), (4, -3), (-5, 5)])
@pytest.mark.parametrize("shape", [(130, 170), (40, 48)])
def test_a_mask_moves_as_the_picture_does(shift, shape) -> None:
    whole = textured(0, (shape[0] + 20, shape[1] + 20))
    before = whole[10 : 10 + shape[0], 10 : 10 + shape[1]]
    after = whole[10 - shift[0] : 10 - shift[0] + shape[0], 10 - shift[1] : 10 - shift[1] + shape[1]]
    mask = np.zeros(shape, bool)
    mask[12:28, 14:30] = True
    moved = move_mask(before, after, mask)
    expected = np.roll(mask, shift, (0, 1))
    assert moved.dtype == np.bool_
    assert dice(moved, expected) > 0.93
    if shift != (0, 0):
        assert dice(mask, expected) < 0.8  # unmoved it would not fit


def test_large_slices_are_scaled_down_for_the_flow() -> None:
    whole = np.repeat(np.repeat(textured(1, (260, 320)), 4, 0), 4, 1)
    mask = np.zeros((1000, 1200), bool)
    mask[100:900, 100:1100] = True
    moved = move_mask(whole[:1000, :1200], whole[16:1016, 12:1212], mask)
    assert dice(moved, np.roll(mask, (-16, -12), (0, 1))) > dice(moved, mask)
    assert dice(moved, np.roll(mask, (-16, -12), (0, 1))) > 0.99


def test_nothing_moves_to_nothing() -> None:
    image = textured(0, (40, 40))
    assert not move_mask(image, image, np.zeros((40, 40), bool)).any()
    with pytest.raises(InputError, match="one size"):
        move_mask(image, image[:30], np.zeros((40, 40), bool))


def test_the_score_falls_with_overlap_and_likeness() -> None:
    image = np.full((40, 40, 3), 200, np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    image[mask] = 90
    half = mask.copy()
    half[20:] = False
    assert score(image, mask, image, mask, mask) == 1
    assert score(image, mask, image, mask, half) == pytest.approx(2 / 3)
    changed = image.copy()
    changed[10:20, 10:30] = 200  # half of the object looks like the ground
    assert score(image, mask, changed, mask, mask) == pytest.approx(0.5)
    assert score(image, mask, image, mask, ~mask & False) == 0


def test_distances_are_those_to_the_border() -> None:
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    found = signed_distance(mask)
    assert found[4, 4] == pytest.approx(1.5)
    assert found[4, 2] == pytest.approx(-0.5)
    assert ((found > 0) == mask).all()
    assert (signed_distance(np.ones((3, 3), bool)) > 0).all()
    assert (signed_distance(np.zeros((3, 3), bool)) < 0).all()


@pytest.mark.parametrize("bad", [{"stop": 1.5}, {"margin": 0}, {"blur": 0.0}])
def test_settings_out_of_range_are_refused(bad) -> None:
    with pytest.raises(InputError, match="Expected"):
        Carrying(**bad)
