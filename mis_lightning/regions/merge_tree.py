"""The paper's region source: every node of a merge tree.

Rules: docs/protocol.md#merging, docs/protocol.md#drawing-a-node.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.merge_tree.sampling import node_mask, sample_node
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.regions.source import Features, Regions, RegionSource
from mis_lightning.structures import Connectivity


class MergeTreeRegions(RegionSource):
    """Patches merged bottom-up by Ward's method; regions drawn from the root downwards.

    Args:
        extractor: Makes the patch features; the weights-free :class:`ColourTexture` if none is given.
        connectivity: ``"grid"``: only neighbours merge; ``"full"``: any two regions may.
        decay: Chance to go on descending, per level of the tree (docs/protocol.md#drawing-a-node).
        min_share: Share of the image that a region must exceed (docs/protocol.md#accepting-a-node).
        max_draws: Draws until the last one is taken whatever its size (docs/protocol.md#accepting-a-node).

    Raises:
        InputError: A number is out of range.
    """

    extractor: PatchExtractor

    def __init__(
        self,
        extractor: PatchExtractor | None = None,
        connectivity: Connectivity = "grid",
        decay: float = 0.9,
        min_share: float = 0.05,
        max_draws: int = 100,
    ) -> None:
        if not 0 <= decay <= 1:
            raise InputError(f"Expected `decay` in [0, 1], but got {decay}.")
        if not 0 <= min_share < 1:
            raise InputError(f"Expected `min_share` in [0, 1), but got {min_share}.")
        if max_draws < 1:
            raise InputError(f"Expected `max_draws` of at least 1, but got {max_draws}.")
        self.extractor = extractor if extractor is not None else ColourTexture()
        self.connectivity: Connectivity = connectivity
        self.decay = decay
        self.min_share = min_share
        self.max_draws = max_draws

    def settings(self) -> dict[str, Any]:
        """Return the extractor's settings and the connectivity."""
        return {"source": "merge_tree", **self.extractor.settings(), "connectivity": self.connectivity}

    def find(self, image: NDArray[np.uint8], key: str, features: Features | None) -> MergeTree:
        """Merge the patches."""
        if features is None:
            raise TypeError("A merge tree needs the features of its extractor.")
        return build_merge_tree(*features, self.connectivity)

    def draw(
        self, regions: Regions, size: tuple[int, int], generator: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Draw a node and bring it to the size of the image.

        Rule: docs/protocol.md#drawing-a-node.
        """
        if not isinstance(regions, MergeTree):
            raise TypeError(f"Expected a MergeTree, but got {type(regions).__name__}.")
        node = sample_node(regions, generator, self.decay, self.min_share, self.max_draws)
        return node_mask(regions, node, size)
