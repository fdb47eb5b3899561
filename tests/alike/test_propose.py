"""Disks are found from a few disks, squares are not; what is refused teaches."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from mis_lightning.alike.model import AlikeModel, MarkedImage
from mis_lightning.alike.proposal import Proposal
from mis_lightning.alike.propose import distinct, propose, propose_on
from mis_lightning.alike.settings import AlikeSettings
from mis_lightning.alike.sharpen import sharpen
from mis_lightning.errors import InputError
from mis_lightning.metrics.functional import iou
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.grabcut import GrabCutSegmenter
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter

SHAPE = (150, 180)
QUICK = AlikeSettings(trees=8)


def hits(proposals, masks, least=0.7):
    """Which masks are found."""
    return [any(iou(one.whole(mask.shape), mask, None) >= least for one in proposals) for mask in masks]


def test_the_other_disks_are_found_and_refused_squares_are_not(scene):
    image, disks, squares = scene()
    marked = [(0, disks[0]), (0, disks[1])]
    found = propose([image], marked, [(0, squares[0])], settings=QUICK)
    likely = [one for one in found if one.score >= 0.5]
    assert all(hits(likely, disks[2:]))
    assert not any(hits(likely, squares))
    assert not any(hits(found, disks[:2], 0.3))  # marked already
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    painted = np.sum([one.whole(SHAPE) for one in found], axis=0)
    assert (painted > 1).mean() < 0.01


def test_one_example_is_enough_and_another_image_is_as_good(scene):
    image, disks, _ = scene()
    other, others, _ = scene(seed=5)
    found = propose([image, other], [(0, disks[3])], settings=QUICK)
    assert np.mean(hits([one for one in found if one.image == 1 and one.score >= 0.5], others)) >= 0.8
    assert {one.image for one in found} == {0, 1}


def test_the_same_twice(scene):
    image, disks, _ = scene()
    first, second = (
        propose([image], [(0, disks[0])], settings=AlikeSettings(trees=4, seed=3)) for _ in range(2)
    )
    assert [one.score for one in first] == [one.score for one in second]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(first, second, strict=True))


def test_what_is_refused_teaches_the_next_round(scene):
    image, disks, squares = scene(squares=6)
    grey = np.repeat(image[..., :1], 3, axis=2)  # squares look more like disks now
    grey[np.any(squares, axis=0)] = 190
    first = propose([grey], [(0, disks[0])], settings=QUICK)
    assert sum(hits([one for one in first if one.score > 0.3], squares)) >= 3  # or there is nothing to learn
    refused = [(0, mask) for mask in squares[:2]]
    second = propose([grey], [(0, disks[0])], refused, settings=QUICK)
    score = {
        name: np.mean([max([o.score for o in found if hits([o], [m])[0]], default=0) for m in squares[2:]])
        for name, found in (("first", first), ("second", second))
    }
    assert score["second"] < score["first"] - 0.2
    assert not any(hits(second, squares[:2], 0.3))


def test_large_objects_are_looked_for_in_a_smaller_image(scene):
    image, disks, _ = scene(size=(120, 150), disks=5, squares=2)
    big = image.repeat(4, axis=0).repeat(4, axis=1)
    masks = [mask.repeat(4, axis=0).repeat(4, axis=1) for mask in disks]
    found = propose([big], [(0, masks[0]), (0, masks[1])], settings=QUICK)
    assert np.mean(hits(found, masks[2:])) >= 0.6


def test_tiles_find_what_the_whole_image_does(scene, monkeypatch):
    image, disks, _ = scene()
    whole = propose([image], [(0, disks[0]), (0, disks[1])], settings=QUICK)
    monkeypatch.setattr("mis_lightning.alike.tiles.tiles.__defaults__", (110,))
    tiled = propose([image], [(0, disks[0]), (0, disks[1])], settings=QUICK)
    assert sum(hits(tiled, disks[2:])) >= sum(hits(whole, disks[2:])) - 1
    masks = [one.whole(SHAPE) for one in tiled]
    assert max(iou(a, b, None) for k, a in enumerate(masks) for b in masks[:k]) < 0.3


class Knows(Segmenter):
    """Answers with the disk under the click, or without a mask before it with everything."""

    def __init__(self, disks, lost=False):
        self.disks, self.lost = disks, lost

    def begin(self, image):
        return SimpleNamespace(shape=image.shape[:2], mask=np.zeros(image.shape[:2], np.bool_), placed=False)

    def place(self, state, mask, clicks=()):
        return SimpleNamespace(shape=state.shape, mask=mask, placed=True)

    def click(self, states, clicks):
        answers = []
        for state, (click,) in zip(states, clicks, strict=True):
            disk = next(disk for disk in self.disks if disk[click.row, click.col])
            mask = disk if state.placed and not self.lost else np.ones(state.shape, np.bool_)
            answers.append(SimpleNamespace(shape=state.shape, mask=mask, placed=True))
        return answers

    def probability(self, state):
        return state.mask.astype(np.float32)


def test_sharpened_by_two_of_three(scene):
    image, disks, _ = scene(disks=6, squares=0)
    cores = [ndimage.binary_erosion(disk, iterations=2) for disk in disks]
    rough = [Proposal(0.5 + k / 20, core, 0, 0) for k, core in enumerate(cores)]
    good = list(sharpen(image, rough, Knows(disks)))
    assert [one.score for one in good] == [one.score for one in rough]
    assert all(np.array_equal(one.whole(SHAPE), disk) for one, disk in zip(good, disks, strict=True))
    lost = list(sharpen(image, rough, Knows(disks, lost=True)))  # two of three say: everything
    assert all(np.array_equal(one.whole(SHAPE), core) for one, core in zip(lost, cores, strict=True))


def test_sharpened_by_a_merge_tree(scene):
    image, disks, _ = scene(disks=4, squares=0)
    model = AlikeModel([MarkedImage(image, disks[:1])], QUICK)
    assert all(hits(propose_on(image, model, disks[:1], MergeTreeSegmenter()), disks[1:]))


def test_a_segmenter_without_masks_is_refused(scene):
    image, disks, _ = scene(disks=3, squares=0)
    with pytest.raises(InputError, match="cannot start from a mask"):
        propose([image], [(0, disks[0])], segmenter=GrabCutSegmenter())


def test_what_better_ones_cover_is_left_out():
    full, half = np.ones((4, 4), np.bool_), np.ones((4, 2), np.bool_)
    some = [
        Proposal(0.4, half, 0, 0),
        Proposal(0.9, full, 0, 0),
        Proposal(0.5, full, 0, 3),
        Proposal(0.6, full, 5, 5),
    ]
    taken = np.zeros((12, 12), np.bool_)
    taken[5:9, 5:8] = True
    assert [one.score for one in distinct(some, taken)] == [0.9, 0.5]


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ([], "at least one marked object"),
        ([(1, np.ones(SHAPE, np.bool_))], "number of an image"),
        ([(0, np.ones((3, 3), np.bool_))], "masks of an image"),
        ([(0, np.ones(SHAPE, np.uint8))], "masks of an image"),
        ([(0, np.zeros(SHAPE, np.bool_))], "at least one marked object"),
        ([(0, np.ones(SHAPE, np.bool_))], "surroundings"),
    ],
)
def test_refused(scene, examples, words):
    with pytest.raises(InputError, match=words):
        propose([scene()[0]], examples)


@pytest.mark.parametrize(
    "bad",
    [
        {"radius": 1},
        {"price": 1},
        {"weight": 2},
        {"blur": -1},
        {"trees": 0},
        {"rounds": 0},
        {"contrasts": ()},
        {"contrasts": (0.0,)},
    ],
)
def test_settings_out_of_range(bad):
    with pytest.raises(InputError):
        AlikeSettings(**bad)
