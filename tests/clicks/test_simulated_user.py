"""A brute-force distance transform, and each rule of docs/protocol.md#simulated-user by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.errors import InputError
from mis_lightning.structures import Click


def depths(region: np.ndarray) -> np.ndarray:
    """Exact distance to the nearest pixel outside, outside the image included: every pair of pixels."""
    padded = np.pad(region, 1)
    outside = np.argwhere(~padded)
    result = np.zeros(padded.shape, dtype=np.float32)
    for row, col in np.argwhere(padded):
        squares = ((outside - (row, col)) ** 2).sum(axis=1)
        result[row, col] = np.sqrt(np.float32(squares.min()))
    return result[1:-1, 1:-1]


def brute_force(mask, prediction, ignore, clicked) -> Click:
    valid = ~ignore
    missed, added = depths(mask & ~prediction & valid), depths(~mask & prediction & valid)
    for row, col in clicked:
        missed[row, col] = added[row, col] = 0
    chosen, positive = (missed, True) if missed.max() > added.max() else (added, False)
    for row in range(mask.shape[0]):
        for col in range(mask.shape[1]):
            if chosen[row, col] == chosen.max():
                return Click(row, col, positive)
    raise AssertionError


def blobs(rng: np.random.Generator, shape: tuple[int, int], density: float) -> np.ndarray:
    noise = rng.random(shape)
    for _ in range(2):
        padded = np.pad(noise, 1, mode="edge")
        noise = sum(padded[i : i + shape[0], j : j + shape[1]] for i in range(3) for j in range(3)) / 9
    return noise > np.quantile(noise, 1 - density)


@pytest.mark.parametrize("seed", range(40))
def test_against_brute_force(seed) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 26)), int(rng.integers(1, 26)))
    mask, prediction = blobs(rng, shape, rng.uniform(0.1, 0.9)), blobs(rng, shape, rng.uniform(0, 0.9))
    ignore = blobs(rng, shape, 0.1)
    clicked = [(int(rng.integers(shape[0])), int(rng.integers(shape[1]))) for _ in range(rng.integers(0, 6))]
    for _ in range(4):  # keep clicking, so that clicked pixels are the deepest ones
        click = next_click(mask, prediction, ignore, clicked)
        assert click == brute_force(mask, prediction, ignore, clicked)
        clicked.append((int(click.row), int(click.col)))


@pytest.mark.parametrize("seed", range(10))
def test_depth_is_exact_on_large_regions(seed) -> None:
    # Few holes, so distances are long and oblique, where chamfer approximations go wrong.
    rng = np.random.default_rng(seed)
    mask = rng.random((150, 200)) < 0.999
    exact = distance_transform_edt(np.pad(mask, 1)).astype(np.float32)[1:-1, 1:-1]
    row, col = np.unravel_index(exact.argmax(), exact.shape)
    assert next_click(mask, np.zeros_like(mask)) == Click(row, col, True)


def test_first_click_is_the_deepest_pixel_of_the_object() -> None:
    mask = np.zeros((11, 13), dtype=bool)
    mask[2:9, 3:10] = True
    assert next_click(mask, np.zeros_like(mask)) == Click(5, 6, True)


def test_the_image_border_is_a_boundary() -> None:
    # Without padding the whole image would be infinitely deep and the first pixel would win.
    whole = np.ones((5, 9), dtype=bool)
    assert next_click(whole, ~whole) == Click(2, 2, True)


def test_ignored_pixels_are_a_boundary_and_no_error() -> None:
    mask = np.ones((7, 15), dtype=bool)
    ignore = np.zeros_like(mask)
    ignore[:, 5] = True  # left part 7x5, right part 7x9: the right one is deeper
    assert next_click(mask, ~mask, ignore) == Click(3, 9, True)
    assert next_click(mask, ~mask, np.ones_like(mask)) == Click(0, 0, False)


def test_a_tie_gives_a_negative_click() -> None:
    mask, prediction = np.zeros((2, 7, 14), dtype=bool)
    mask[2:5, 1:4] = True
    prediction[2:5, 8:11] = True
    assert next_click(mask, prediction) == Click(3, 9, False)
    mask[1:6, 0:5] = True
    assert next_click(mask, prediction) == Click(3, 2, True)


def test_the_first_pixel_in_row_major_order_wins() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[5:8, 0:3] = mask[1:4, 5:8] = True  # equal depth; the right one is higher up
    assert next_click(mask, np.zeros_like(mask)) == Click(2, 6, True)
    mask = np.zeros((4, 9), dtype=bool)
    mask[1:3, 2:8] = True  # all depth 1
    assert next_click(mask, np.zeros_like(mask)) == Click(1, 2, True)


def test_a_clicked_pixel_is_no_candidate_but_still_inside() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[1:8, 1:8] = True
    empty = np.zeros_like(mask)
    # Were the clicked pixel (4, 4) outside the region, its neighbours would be of depth 1.
    assert next_click(mask, empty, clicked=[Click(4, 4, True)]) == Click(3, 3, True)
    assert next_click(mask, empty, clicked=[(4.7, 4.2)]) == Click(3, 3, True)


def test_every_pixel_is_clicked_once_before_the_degenerate_click() -> None:
    mask = np.zeros((5, 6), dtype=bool)
    mask[1:4, 1:5] = True
    clicked: list[Click] = []
    for _ in range(mask.sum()):
        clicked.append(next_click(mask, np.zeros_like(mask), clicked=clicked))
    assert {(c.row, c.col) for c in clicked} == {(int(r), int(c)) for r, c in np.argwhere(mask)}
    assert all(c.positive for c in clicked)
    assert next_click(mask, np.zeros_like(mask), clicked=clicked) == Click(0, 0, False)


def test_no_error_left_clicks_the_corner_also_when_it_was_clicked() -> None:
    mask = np.ones((3, 3), dtype=bool)
    assert next_click(mask, mask) == Click(0, 0, False)
    assert next_click(mask, mask, clicked=[(0, 0)]) == Click(0, 0, False)


def test_clicked_as_a_map_equals_clicked_as_positions() -> None:
    rng = np.random.default_rng(5)
    mask = blobs(rng, (30, 40), 0.5)
    clicked = np.zeros_like(mask)
    clicked[:, ::2] = True
    assert next_click(mask, ~mask, clicked=clicked) == next_click(
        mask, ~mask, clicked=[(r, c) for r, c in np.argwhere(clicked)]
    )


def test_arrays_need_not_be_contiguous() -> None:
    rng = np.random.default_rng(6)
    mask, prediction = blobs(rng, (30, 40), 0.5), blobs(rng, (30, 40), 0.3)
    expected = next_click(mask, prediction)
    assert next_click(np.asfortranarray(mask), prediction) == expected
    assert next_click(np.repeat(mask, 2, axis=1)[:, ::2], prediction[::-1][::-1]) == expected


MASK = np.zeros((4, 5), dtype=bool)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((MASK.astype(np.uint8), MASK), "mask"),
        ((MASK[0], MASK[0]), "mask"),
        ((np.zeros((0, 5), dtype=bool), np.zeros((0, 5), dtype=bool)), "mask"),
        ((MASK, MASK.T), "prediction"),
        ((MASK, MASK.astype(np.float32)), "prediction"),
        ((MASK, MASK, MASK[:3]), "ignore"),
        ((MASK, MASK, None, MASK.T), "clicked"),
        ((MASK, MASK, None, [(4, 0)]), "clicks inside"),
        ((MASK, MASK, None, [(-1, 0)]), "clicks inside"),
        ((MASK, MASK, None, [(float("nan"), 0)]), "clicks inside"),
    ],
)
def test_refuses(arguments, named) -> None:
    with pytest.raises(InputError, match=named):
        next_click(*arguments)
