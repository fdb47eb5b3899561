"""Several sources behind one: what it finds, keeps and draws."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.mixture import Mixture
from mis_lightning.regions.record import from_bytes, to_bytes
from mis_lightning.regions.region_bundle import RegionBundle
from mis_lightning.regions.segment_unions import SegmentUnions
from mis_lightning.regions.source import MaskSource, RegionSource


class Square(MaskSource):
    """One mask: a square of a given side in the corner."""

    def __init__(self, side: int) -> None:
        self.side = side

    def settings(self) -> dict[str, Any]:
        return {"source": "square", "side": self.side}

    def find(self, image: np.ndarray, key: str, features: Any) -> MaskSet:
        mask = np.zeros((1, *image.shape[:2]), np.bool_)
        mask[0, : self.side, : self.side] = True
        return MaskSet.pack(mask)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)


def test_draws_come_by_weight(image: np.ndarray) -> None:
    mixture = Mixture([Square(3), Square(5)], weights=[1, 3])
    regions = mixture.find(image, "", None)
    generator = np.random.default_rng(0)
    counts = Counter(int(mixture.draw(regions, (24, 32), generator).sum()) for _ in range(400))
    assert counts.keys() == {9, 25}
    assert counts[25] == pytest.approx(300, abs=30)


def test_what_is_the_same_is_found_once(image: np.ndarray) -> None:
    coarse, fine = ColourTexture(stride=8), ColourTexture(stride=4)
    mixture = Mixture([MergeTreeRegions(coarse), Square(4), SegmentUnions(coarse), SegmentUnions(fine)])
    regions = mixture.find(image, "", None)
    assert [type(part) for part in regions.parts] == [MergeTree, MaskSet, MergeTree]
    assert [part.grid for part in regions.parts if isinstance(part, MergeTree)] == [(3, 4), (6, 8)]
    assert mixture.settings()["parts"] == [s.settings() for s in (mixture.sources[i] for i in (0, 1, 3))]
    generator = np.random.default_rng(0)
    assert all(mixture.draw(regions, (24, 32), generator).shape == (24, 32) for _ in range(12))


def test_a_store_keeps_all_parts(image: np.ndarray) -> None:
    mixture: RegionSource = Mixture([MergeTreeRegions(ColourTexture(stride=8)), Square(4)])
    regions = mixture.find(image, "", None)
    again = from_bytes(to_bytes(regions))
    assert isinstance(again, RegionBundle)
    tree, masks = again.parts
    assert isinstance(tree, MergeTree)
    assert isinstance(masks, MaskSet)
    np.testing.assert_array_equal(tree.children, regions.parts[0].children)
    np.testing.assert_array_equal(masks.unpack(), regions.parts[1].unpack())
    one, other = (mixture.draw(r, (24, 32), np.random.default_rng(3)) for r in (regions, again))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weights", [[1], [1, 0], [1, -1], [1, float("nan")]])
def test_bad_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(InputError, match="`weights` above 0, one for each of 2 sources"):
        Mixture([Square(3), Square(5)], weights)


def test_no_source_is_refused() -> None:
    with pytest.raises(InputError, match="at least one source"):
        Mixture([])


def test_a_mixture_in_a_mixture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="got a mixture"):
        Mixture([Mixture([Square(3)])]).find(image, "", None)


def test_regions_of_another_source_are_refused(image: np.ndarray) -> None:
    regions = Square(3).find(image, "", None)
    with pytest.raises(TypeError, match="1 kinds of regions"):
        Mixture([Square(3)]).draw(regions, (24, 32), np.random.default_rng(0))
