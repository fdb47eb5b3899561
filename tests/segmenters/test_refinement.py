"""What sharpens an answer: clicks and scribbles are always obeyed, borders come from the tree."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy import ndimage

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.leaf_grid import leaf_evidence
from mis_lightning.segmenters.refinement import Refinement, drawn_leaves
from mis_lightning.structures import Click


def picture(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Smooth blobs of random colours with noise."""
    blobs = ndimage.gaussian_filter(generator.normal(size=(height, width, 3)), (4, 4, 0)) * 900
    return np.clip(blobs + 128 + generator.normal(0, 5, blobs.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(25))
def test_every_click_is_obeyed(seed: int) -> None:
    """Random images of all sizes, random answers, and clicks that contradict the answer and each other."""
    generator = np.random.default_rng(seed)
    shape = tuple(int(side) for side in generator.integers(1, 120, 2))
    how = Refinement(
        price=float(generator.choice([0, 1, 10, 1000])), max_side=int(generator.choice([8, 32, 256]))
    )
    tree = how.tree(picture(generator, *shape))
    logits = ndimage.gaussian_filter(generator.normal(0, 30, (16, 16)), 2).astype(np.float32)
    clicks: list[Click] = []
    for _ in range(12):
        near = clicks and generator.random() < 0.4  # in the same leaf, or the same pixel
        row, col = (
            (clicks[-1].row + generator.integers(-1, 2), clicks[-1].col + generator.integers(-1, 2))
            if near
            else (generator.integers(shape[0]), generator.integers(shape[1]))
        )
        if not (0 <= row < shape[0] and 0 <= col < shape[1]):
            continue
        clicks.append(Click(float(row), float(col), bool(generator.random() < 0.5)))
        mask = how.mask(tree, logits, shape, clicks)
        labels = {(int(c.row), int(c.col)): c.positive for c in clicks}  # the later of two on one pixel
        assert {place: bool(mask[place]) for place in labels} == labels
    again = how.mask(tree, logits, shape, clicks)
    np.testing.assert_array_equal(again, mask)  # a pure function: undo, redo and replay give the same


def test_a_scribble_is_obeyed_pixel_for_pixel_over_the_clicks() -> None:
    generator = np.random.default_rng(0)
    how = Refinement(max_side=16)
    image = picture(generator, 64, 64)
    logits = np.full((20, 20), -3, np.float32)
    drawn, struck = np.zeros((2, 64, 64), bool)
    drawn[10, 5:40] = True
    struck[20:30, 33] = True
    mask = how.mask(
        how.tree(image), logits, (64, 64), [Click(10, 7, False)], [(drawn, True), (struck, False)]
    )
    assert mask[drawn].all()
    assert not mask[struck].any()
    assert mask.sum() > drawn.sum()  # whole leaves, at least


def test_borders_come_from_the_image() -> None:
    rows, cols = np.mgrid[0:200, 0:200]
    disc = (rows - 90) ** 2 + (cols - 110) ** 2 < 60**2
    image = np.where(disc[..., None], np.uint8([200, 60, 60]), np.uint8([60, 60, 200]))
    blurred = (ndimage.gaussian_filter(disc.astype(np.float32), 12)[::10, ::10] - 0.6) * 10
    how = Refinement()
    mask = how.mask(how.tree(image), blurred.astype(np.float32), (200, 200), [])
    assert (mask != disc).mean() < 0.015
    plain = dataclasses.replace(how, price=0.0).mask(
        how.tree(image), blurred.astype(np.float32), (200, 200), []
    )
    assert (plain != disc).mean() > 0.03


def test_a_model_that_sees_finer_than_the_pixels_keeps_its_answer() -> None:
    generator = np.random.default_rng(1)
    image = picture(generator, 20, 20)
    logits = ndimage.gaussian_filter(generator.normal(0, 30, (160, 160)), 12).astype(np.float32)
    how = Refinement(sure=0.0)
    plain = dataclasses.replace(how, price=0.0)
    tree = how.tree(image)
    kept = how.mask(tree, logits, (20, 20), []) == plain.mask(tree, logits, (20, 20), [])
    assert kept[np.abs(leaf_evidence(logits, (20, 20), (20, 20), 9.0)) > 0.1].all()


def test_specks_that_nothing_speaks_for_are_dropped_and_clicked_ones_stay() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[4:8, 4:8] = 255
    logits = np.full((40, 40), -3, np.float32)
    logits[4:8, 4:8] = 1.5  # not sure
    how = Refinement(price=1.0)
    tree = how.tree(image)
    assert not how.mask(tree, logits, (40, 40), []).any()
    assert how.mask(tree, logits, (40, 40), [Click(5, 5, True)]).sum() == 16
    assert dataclasses.replace(how, sure=1.0).mask(tree, logits, (40, 40), []).sum() == 16


def test_the_settings_are_json() -> None:
    how = Refinement(price=3.0)
    assert Refinement(**json.loads(json.dumps(dataclasses.asdict(how)))) == how


@pytest.mark.parametrize("bad", [{"price": -1}, {"clip": 0}, {"sure": np.nan}, {"max_side": 1}])
def test_settings_refuse(bad: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        Refinement(**bad)


def test_sides_in_json_are_whole_numbers() -> None:
    assert Refinement.from_json({"max_side": 64, "price": 3}) == Refinement(price=3, max_side=64)
    with pytest.raises(InputError, match="max_side"):
        Refinement.from_json({"max_side": 64.5})


def test_a_scribble_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="scribble"):
        drawn_leaves(np.zeros((3, 4), bool), (4, 4), (2, 2))
