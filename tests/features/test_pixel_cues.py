"""Cues of pixels say what they are named after, in a part of an image as in the whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mis_lightning.features.pixel_cues import MARGIN, N_CUES, WIDTHS, edges_and_ridges, pixel_cues


def test_of_one_colour_only_the_colour_speaks() -> None:
    image = np.full((40, 50, 3), (200, 30, 90), np.uint8)
    cues = pixel_cues(image)
    lab = cv2.cvtColor(np.float32([[[200, 30, 90]]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    assert cues.shape == (40, 50, N_CUES)
    assert cues.dtype == np.float32
    nothing = [np.log(0.1), np.log(0.1), 0, 0]
    expected = np.concatenate([lab, *([*lab, *nothing] for _ in WIDTHS)])
    np.testing.assert_allclose(cues, np.broadcast_to(expected, cues.shape), atol=0.02)


def test_gradient_and_curvature_of_a_paraboloid() -> None:
    rows, cols = np.mgrid[-20:21, -20:21].astype(np.float32)
    edge, bright, dark = edges_and_ridges(rows**2 - 0.5 * cols**2, 3.0)
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(edge[inner], 3 * np.hypot(2 * rows, cols)[inner], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(bright[inner], 9 * 2, rtol=1e-4)
    np.testing.assert_allclose(dark[inner], -9 * 1, rtol=1e-4)


@pytest.mark.parametrize("at", [(100, 90), (64, 128)])
def test_a_part_has_about_the_cues_of_the_whole(at: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    image = cv2.GaussianBlur(generator.integers(0, 256, (300, 320, 3)).astype(np.float32), (0, 0), 3)
    image = np.uint8(np.clip((image - 128) * 6 + 128, 0, 255))
    (top, left), side = at, 40
    whole = pixel_cues(image)[top : top + side, left : left + side]
    part = pixel_cues(image[top - MARGIN : top + side + MARGIN, left - MARGIN : left + side + MARGIN])
    off = np.abs(part[MARGIN:-MARGIN, MARGIN:-MARGIN] - whole)
    assert (off.mean(axis=(0, 1)) < 0.12 * np.maximum(whole.std(axis=(0, 1)), 0.5)).all()
