"""The merge tree as a region source: what it keeps, what it draws."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.merge_tree.sampling import node_mask, sample_node
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.merge_tree import MergeTreeRegions

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


@pytest.mark.parametrize("connectivity", ["grid", "full"])
def test_finds_the_tree_of_the_features_and_draws_as_the_paper_does(connectivity):
    source = MergeTreeRegions(ColourTexture(), connectivity, decay=0.8, min_share=0.1)
    features, grid = source.extractor(IMAGE)
    tree, expected = (
        source.find(IMAGE, "a.png", (features, grid)),
        build_merge_tree(features, grid, connectivity),
    )
    np.testing.assert_array_equal(tree.children, expected.children)
    for seed in range(20):
        node = sample_node(expected, np.random.default_rng(seed), 0.8, 0.1)
        drawn = source.draw(tree, (24, 32), np.random.default_rng(seed))
        np.testing.assert_array_equal(drawn, node_mask(expected, node, (24, 32)))


def test_settings_hold_what_fixes_the_tree_and_nothing_of_the_draw():
    settings = MergeTreeRegions(ColourTexture(stride=8), "full").settings()
    assert (settings["source"], settings["stride"], settings["connectivity"]) == ("merge_tree", 8, "full")
    assert settings == MergeTreeRegions(ColourTexture(stride=8), "full", decay=0.1, min_share=0.5).settings()


@pytest.mark.parametrize(
    "bad", [{"decay": 1.5}, {"decay": -0.1}, {"min_share": 1.0}, {"min_share": float("nan")}]
)
def test_numbers_out_of_range(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        MergeTreeRegions(**bad)


def test_regions_of_another_kind():
    with pytest.raises(TypeError, match="MergeTree, but got MaskSet"):
        MergeTreeRegions().draw(MaskSet.pack(np.ones((1, 2, 2), bool)), (2, 2), np.random.default_rng(0))
