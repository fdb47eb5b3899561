"""Several region sources behind one: each draw comes from one of them, by weight."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.region_bundle import RegionBundle
from mis_lightning.regions.source import Features, Regions, RegionSource


class Mixture(RegionSource):
    """Draws from one of several sources, chosen at random.

    Not of the paper. Trees of several features hold different objects; salient regions are few but seldom
    parts. Sources that find the same, such as nodes and unions of one tree, find it once.

    Args:
        sources: What to draw from.
        weights: How often each is drawn from, relative to the others; ``None``: all alike.

    Raises:
        InputError: There is no source, or the weights do not fit.

    Example:
        >>> from mis_lightning.regions.merge_tree import MergeTreeRegions
        >>> from mis_lightning.regions.segment_unions import SegmentUnions
        >>> mixture = Mixture([MergeTreeRegions(), SegmentUnions()], weights=[1, 3])
        >>> len(mixture.find(np.zeros((40, 60, 3), np.uint8), "", None).parts)
        1
    """

    def __init__(self, sources: Sequence[RegionSource], weights: Sequence[float] | None = None) -> None:
        shares = np.ones(len(sources)) if weights is None else np.asarray(weights, np.float64)
        if len(sources) == 0:
            raise InputError("Expected at least one source in `sources`, but got none.")
        if shares.shape != (len(sources),) or not (np.isfinite(shares) & (shares > 0)).all():
            raise InputError(
                f"Expected `weights` above 0, one for each of {len(sources)} sources, but got {weights}."
            )
        self.sources = list(sources)
        self.weights = shares / shares.sum()
        found = [json.dumps(source.settings(), sort_keys=True) for source in self.sources]
        self._distinct = [found.index(one) for one in dict.fromkeys(found)]
        self._part = [list(dict.fromkeys(found)).index(one) for one in found]

    def settings(self) -> dict[str, Any]:
        """Return the settings of the sources that find something of their own."""
        return {"source": "mixture", "parts": [self.sources[index].settings() for index in self._distinct]}

    def find(self, image: NDArray[np.uint8], key: str, features: Features | None) -> RegionBundle:
        """Find the regions of every source; each uses its own extractor."""
        parts: list[MergeTree | MaskSet] = []
        for index in self._distinct:
            source = self.sources[index]
            own = None if source.extractor is None else source.extractor(image)
            found = source.find(image, key, own)
            if isinstance(found, RegionBundle):
                raise InputError(
                    "Expected sources in `sources`, but got a mixture; name its sources instead."
                )
            parts.append(found)
        return RegionBundle(tuple(parts))

    def draw(
        self, regions: Regions, size: tuple[int, int], generator: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Choose a source and let it draw; bool, ``(H, W)``."""
        if not isinstance(regions, RegionBundle) or len(regions.parts) != len(self._distinct):
            raise TypeError(f"Expected {len(self._distinct)} kinds of regions, but got {regions!r:.80}.")
        chosen = int(generator.choice(len(self.sources), p=self.weights))
        return self.sources[chosen].draw(regions.parts[self._part[chosen]], size, generator)
