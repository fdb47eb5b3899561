"""The interface of region sources, which all kinds of training regions share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.region_bundle import RegionBundle

Regions = MergeTree | MaskSet | RegionBundle
"""What a source finds in one image and a store keeps."""

Features = tuple[NDArray[np.float32], tuple[int, int]]
"""What a patch extractor returns: features ``(n, c)`` and the grid ``(h, w)``."""


class RegionSource(ABC):
    """Finds the regions of an image once, then draws training regions from them.

    To add one, write a class with the three methods and name it by ``class_path`` in a config. Finding has
    two stages, so that they can overlap: features come from ``extractor`` (on an accelerator, if it has one),
    the regions from :meth:`find`, on the CPU, in several processes or threads at once.

    Attributes:
        extractor: Makes the patch features that :meth:`find` gets; ``None`` if it needs none.
    """

    extractor: PatchExtractor | None = None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return everything that determines what :meth:`find` finds, as JSON values, but not the draw.

        It goes into the store's manifest; ``"source"`` holds the name of the method.
        """

    @abstractmethod
    def find(self, image: NDArray[np.uint8], key: str, features: Features | None) -> Regions:
        """Find the regions of one image; called from several threads.

        Args:
            image: RGB, uint8, ``(H, W, 3)``.
            key: The image's key in the store, its path inside the image folder.
            features: What ``extractor`` makes of the image; ``None`` without an extractor.

        Raises:
            InputError: The image or a file that belongs to it cannot be used.
        """

    @abstractmethod
    def draw(
        self, regions: Regions, size: tuple[int, int], generator: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Draw one training region.

        Args:
            regions: What :meth:`find` found.
            size: Size of the image, ``(H, W)`` in pixels.
            generator: The randomness.

        Returns:
            The region, bool, ``(H, W)``; nowhere true if the image has none.
        """


class MaskSource(RegionSource):
    """A source whose regions are a set of masks, of which each draw takes one, all alike.

    Rule: docs/protocol.md#sets-of-masks.

    An image without a mask gives an empty region: the network learns to answer "nothing here".
    """

    @abstractmethod
    def find(self, image: NDArray[np.uint8], key: str, features: Features | None) -> MaskSet:
        """Find the masks of one image (:meth:`RegionSource.find`)."""

    def draw(
        self, regions: Regions, size: tuple[int, int], generator: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Draw one mask, uniformly."""
        if not isinstance(regions, MaskSet):
            raise TypeError(f"Expected a MaskSet, but got {type(regions).__name__}.")
        if len(regions) == 0:
            return np.zeros(size, np.bool_)
        return regions.mask(int(generator.integers(len(regions))), size)
