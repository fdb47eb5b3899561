"""Unions of segments: connected, made of whole segments, within the limits; and the nodes beside them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.segment_unions import SegmentUnions, box_share, fill_holes

GRID = (12, 16)
PLACES = np.indices(GRID).reshape(2, -1).T  # by these features, segments are compact
TREE = build_merge_tree((PLACES + np.random.default_rng(0).random(PLACES.shape)).astype(np.float32), GRID)


def draw(source: SegmentUnions, seed: int, size: tuple[int, int] = GRID) -> np.ndarray:
    return source.draw(TREE, size, np.random.default_rng(seed))


def test_without_unions_it_draws_the_nodes_of_the_paper():
    ours, paper = SegmentUnions(union_probability=0.0, min_share=0.05), MergeTreeRegions(min_share=0.05)
    for seed in range(20):
        generator = np.random.default_rng(seed)
        generator.random()  # the choice between node and union
        np.testing.assert_array_equal(draw(ours, seed), paper.draw(TREE, GRID, generator))
    assert ours.settings() == paper.settings()  # so they share a store


def test_a_union_is_connected_and_made_of_whole_segments():
    limits = {"min_share": 0.0, "max_share": 1.0, "max_border": 1.0}
    source = SegmentUnions(union_probability=1.0, segments=(8, 8), growth=0.8, **limits)
    labels = TREE.cut(8).reshape(GRID)
    counts = []
    for seed in range(60):
        union = draw(source, seed)
        assert ndimage.label(union)[1] == 1
        for label in np.flatnonzero(np.bincount(labels[~union], minlength=8)):  # but for filled holes
            assert len(set(union[labels == label].tolist())) == 1, "a segment is in or out"
        counts.append(len(np.unique(labels[union])))
    assert {1, 2, 3} <= set(counts)


def test_limits_hold_where_they_can():
    source = SegmentUnions(
        union_probability=1.0, segments=(30, 30), min_share=0.05, max_share=0.3, max_border=0.1
    )
    for seed in range(60):
        union = draw(source, seed)
        edge = np.concatenate([union[0], union[-1], union[:, 0], union[:, -1]])
        assert 0.05 < union.mean() <= 0.3
        assert edge.mean() <= 0.1
    hopeless = SegmentUnions(union_probability=1.0, segments=(1, 1), max_share=0.3)
    assert draw(hopeless, 0).all()  # the whole image is the only union of one segment


def test_unions_that_fill_their_box_come_more_often():
    limits = {"union_probability": 1.0, "segments": (30, 30), "min_share": 0.02, "max_border": 1.0}
    shares = [
        np.mean([box_share(draw(SegmentUnions(fill=fill, **limits), seed)) for seed in range(80)])
        for fill in (0.0, 4.0)
    ]
    assert shares[1] > shares[0] + 0.05
    assert box_share(np.eye(4, dtype=bool)) == 0.25


def test_scaled_by_the_floor_convention():
    source = SegmentUnions(union_probability=1.0)
    small, large = draw(source, 5), draw(source, 5, (30, 50))
    for row in range(30):
        for col in range(50):
            assert large[row, col] == small[row * 12 // 30, col * 16 // 50]


def test_fill_holes_against_scipy():
    generator = np.random.default_rng(0)
    for _ in range(30):
        region = generator.random((9, 11)) < 0.6
        np.testing.assert_array_equal(fill_holes(region), ndimage.binary_fill_holes(region))


@pytest.mark.parametrize(
    "bad",
    [
        {"union_probability": 1.1},
        {"growth": -0.1},
        {"fill": -1.0},
        {"max_share": 2.0},
        {"max_border": float("nan")},
        {"segments": (0, 5)},
        {"segments": (6, 5)},
    ],
)
def test_numbers_out_of_range(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        SegmentUnions(**bad)
