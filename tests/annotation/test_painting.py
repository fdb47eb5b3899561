"""Strokes and polygons against their definitions, tidy masks against small pictures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mis_lightning.annotation.painting import (
    Paint,
    brush_mask,
    drop_specks,
    fill_holes,
    largest_part,
    polygon_mask,
    simplified,
    smooth_border,
)
from mis_lightning.structures import Click

SHAPE = (40, 60)


def picture(text: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


@pytest.mark.parametrize("radius", [0.5, 1.0, 3.5, 9.0])
def test_a_dot_is_a_disc_and_a_line_all_that_is_near_it(radius) -> None:
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    disc = np.hypot(rows - 5, cols - 58) <= radius  # over the edge of the image
    np.testing.assert_array_equal(brush_mask([(5, 58)], radius, SHAPE), disc)
    level = np.hypot(rows - 20, cols - cols.clip(10, 40)) <= radius
    np.testing.assert_array_equal(brush_mask([(20, 10), (20, 40)], radius, SHAPE), level)


def test_a_stroke_goes_through_all_its_points_however_it_bends() -> None:
    points = [(5, 5), (30, 20), (8, 50), (35, 55)]
    stroke = brush_mask(points, 2.0, SHAPE)
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    near = np.full(SHAPE, np.inf)
    for a, b in pairwise(points):
        a, along = np.array(a), np.subtract(b, a)
        share = ((rows - a[0]) * along[0] + (cols - a[1]) * along[1]) / (along @ along)
        foot = [a[k] + share.clip(0, 1) * along[k] for k in (0, 1)]
        near = np.minimum(near, np.hypot(rows - foot[0], cols - foot[1]))
    assert stroke[near <= 1.25].all()  # a line of pixels is within half a pixel, and a bit, of the line
    assert not stroke[near >= 2.75].any()


def test_points_that_do_not_matter_are_left_out() -> None:
    line = [(10, col) for col in range(5, 51)] + [(row, 50) for row in range(11, 30)]
    assert simplified(line) == ((10, 5), (10, 50), (29, 50))
    assert simplified([(3, 4)]) == ((3, 4),)
    np.testing.assert_array_equal(brush_mask(line, 3, SHAPE), brush_mask(simplified(line), 3, SHAPE))


def test_a_polygon_holds_its_border() -> None:
    mask = polygon_mask([(10, 10), (10, 30), (20, 30), (20, 10)], SHAPE)
    expected = np.zeros(SHAPE, bool)
    expected[10:21, 10:31] = True
    np.testing.assert_array_equal(mask, expected)


def test_holes_are_filled_unless_they_were_clicked_away() -> None:
    mask = picture("######### #..####.# #..####.# ######### ....#....")
    filled = picture("######### ######### ######### ######### ....#....")
    np.testing.assert_array_equal(fill_holes(mask), filled)
    kept = fill_holes(mask, [Click(1, 1, False), Click(0, 0, True)])
    np.testing.assert_array_equal(kept, picture("######### #..###### #..###### ######### ....#...."))


def test_specks_are_dropped_unless_they_were_clicked_on() -> None:
    mask = picture("####....# ####...#. ####..... ......##. #.....##.")
    assert largest_part(mask) == 12
    assert largest_part(np.zeros(SHAPE, bool)) == 0
    np.testing.assert_array_equal(
        drop_specks(mask, 3), picture("####..... ####..... ####..... ......##. ......##.")
    )
    kept = drop_specks(mask, 5, [Click(4, 0, True), Click(3, 6, False)])
    np.testing.assert_array_equal(kept, picture("####..... ####..... ####..... ......... #........"))


def test_a_smooth_border_has_no_hairs_and_no_steps() -> None:
    mask = np.zeros((60, 60), bool)
    mask[20:44, 10:50] = True
    hairy = mask.copy()
    hairy[5:20, 30] = True  # a hair
    hairy[20:26, 15] = False  # a cut
    smooth = smooth_border(hairy, 2.0)
    assert not smooth[:18].any()
    assert smooth[24, 15]
    assert abs(int(smooth.sum()) - int(mask.sum())) < 0.02 * mask.sum()
    np.testing.assert_array_equal(smooth[22:42, 20:48], mask[22:42, 20:48])
    assert smooth_border(hairy, 2.0, [Click(6, 30, True)])[6, 30]  # clicked, so it stays
    whole = np.ones((30, 30), bool)
    assert smooth_border(whole, 5.0).all()  # the edge of the image is no border


def test_what_is_said_last_about_a_pixel_holds() -> None:
    def dots(*places: tuple[int, int]) -> np.ndarray:
        mask = np.zeros((4, 6), bool)
        mask[tuple(zip(*places, strict=True))] = True
        return mask

    paint = (
        Paint.none((4, 6)).painted(dots((0, 0), (0, 1), (2, 2)), True).painted(dots((0, 1), (3, 3)), False)
    )
    np.testing.assert_array_equal(paint.over(np.zeros((4, 6), bool)), dots((0, 0), (2, 2)))
    assert not paint.over(np.ones((4, 6), bool))[0, 1]
    lifted = paint.lifted([Click(2, 2, False), Click(0, 1.5, True), Click(3, 3, False)])
    np.testing.assert_array_equal(lifted.inside, dots((0, 0)))  # the patch that was clicked is taken off
    np.testing.assert_array_equal(lifted.outside, dots((3, 3)))  # a click of its own sign says nothing new
