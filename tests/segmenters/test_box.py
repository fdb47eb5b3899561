"""A box: nothing outside it, and inside what model, tree and colours agree on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.metrics.functional import iou
from mis_lightning.segmenters.box import BINS, colour_evidence, segment_box
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.structures import Click


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A red disc on noisy green, its mask, and a box two pixels larger than it."""
    rows, cols = np.mgrid[0:120, 0:150]
    disc = (rows - 60) ** 2 + (cols - 80) ** 2 < 35**2
    image = np.where(disc[..., None], np.uint8([180, 60, 60]), np.uint8([70, 140, 70])).astype(np.float64)
    image += np.random.default_rng(0).normal(0, 6, image.shape)
    box = np.zeros_like(disc)
    box[24:97, 44:117] = True
    return np.clip(image, 0, 255).astype(np.uint8), disc, box


def unsure(previous: np.ndarray, clicks) -> np.ndarray:
    """A model that repeats the previous mask, blurred: all it knows is the box."""
    return 4 * cv2.resize(cv2.GaussianBlur(previous, (0, 0), 8), (40, 40)) - np.float32(1.2)


def test_tree_and_colours_find_the_object_in_the_box() -> None:
    image, disc, box = scene()
    assert iou(box, disc) < 0.75
    assert iou(segment_box(unsure, image, box, Refinement()), disc) > 0.97


def test_nothing_outside_the_box_belongs_whatever_the_model_says() -> None:
    image, _, box = scene()
    mask = segment_box(lambda previous, clicks: np.full((40, 40), 9, np.float32), image, box, Refinement())
    assert mask.any()
    assert not mask[~box].any()


def test_a_model_that_sees_nothing_gives_an_empty_mask() -> None:
    image, _, box = scene()
    image[:] = 90  # nor do the colours
    asked: list[tuple[float, list[Click]]] = []

    def nothing(previous: np.ndarray, clicks) -> np.ndarray:
        asked.append((float(previous.max()), list(clicks)))
        return np.full((40, 40), -9, np.float32)

    assert not segment_box(nothing, image, box, Refinement()).any()
    assert asked == [(1.0, [Click(60, 80, True)]), (0.5, [Click(60, 80, True)])]


def test_the_model_sees_what_was_found_and_a_click_in_it() -> None:
    image, disc, box = scene()
    asked: list[tuple[np.ndarray, list[Click]]] = []

    def ask(previous: np.ndarray, clicks) -> np.ndarray:
        asked.append((previous, list(clicks)))
        return unsure(previous, clicks)

    segment_box(ask, image, box, Refinement())
    previous, (click,) = asked[2]
    assert iou(previous > 0.5, disc) > 0.95
    assert disc[int(click.row), int(click.col)]


def test_a_box_as_large_as_the_image_and_one_of_a_pixel() -> None:
    image, _, _ = scene()
    everything = np.ones(image.shape[:2], bool)
    segment_box(unsure, image, everything, Refinement())
    pixel = np.zeros_like(everything)
    pixel[3, 4] = True
    assert segment_box(lambda p, c: np.full((9, 9), 9, np.float32), image, pixel, Refinement()).sum() <= 1


@pytest.mark.parametrize("box", [np.zeros((120, 150), bool), np.ones((120, 151), bool)])
def test_no_box_is_refused(box: np.ndarray) -> None:
    image, _, _ = scene()
    with pytest.raises(InputError, match="Expected a box"):
        segment_box(unsure, image, box, Refinement())


def test_colours_that_occur_on_one_side_only_speak_for_it() -> None:
    bins = np.zeros((2, 4), np.int64)
    bins[:, 2:] = BINS**3 - 1
    labels = np.zeros((2, 4), bool)
    labels[:, 2:] = True
    assert colour_evidence(bins, labels).tolist() == [[-3, -3, 3, 3]] * 2
    half = np.array([[True, False, True, False]] * 2)  # as many of each: nothing to tell
    np.testing.assert_allclose(colour_evidence(bins, half), 0, atol=1e-6)
