"""The rule from patches to pixels against OpenCV, whose nearest neighbour the published code uses."""

from __future__ import annotations

import cv2
import numpy as np

from mis_lightning.merge_tree.scaling import patch_of_pixels


def test_the_rule_is_that_of_opencv() -> None:
    differs = 0
    for pixels in range(1, 700):
        for patches in {1, 2, 7, max(1, pixels // 8), max(1, pixels // 16), pixels, pixels + 3}:
            row = np.arange(patches, dtype=np.uint16)[None]
            expected = cv2.resize(row, (pixels, 1), interpolation=cv2.INTER_NEAREST)[0]
            np.testing.assert_array_equal(patch_of_pixels(pixels, patches), expected)
            differs += not np.array_equal(expected, np.arange(pixels) * patches // pixels)
    assert differs > 50  # from the floor of the exact quotient


def test_a_tie_falls_one_lower() -> None:
    exact = np.arange(333) * 42 // 333
    found = patch_of_pixels(333, 42)
    assert set(exact - found) == {0, 1}
    assert (np.diff(found) >= 0).all()
