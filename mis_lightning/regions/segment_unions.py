"""Unions of neighbouring segments: objects of several colours, which no single node of a tree holds."""

from __future__ import annotations

from math import log

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.merge_tree.scaling import patch_of_pixels
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.source import Regions
from mis_lightning.structures import Connectivity

_MAX_DRAWS = 20


class SegmentUnions(MergeTreeRegions):
    """A node of the merge tree, or a connected union of segments that the tree is cut into.

    Rule: docs/protocol.md#drawing-a-node.

    Not from the paper. A tree of colours has a node for a shirt and one for trousers, but rarely one for the
    person. A union is drawn by cutting the tree into a number of segments, log-uniform in ``segments``,
    starting from any of them, and adding random neighbours; holes are filled. Up to 20 unions are drawn until
    one covers more than ``min_share`` and at most ``max_share`` of the image, and at most ``max_border`` of
    the image's border: photographers keep objects inside. With ``fill`` above 0 it is also passed over the
    likelier the less of its box it fills, ``1 - share ** fill``: what fills its box is far likelier to be an
    object (experiments/gpu_training/README.md). The last one counts if none does.

    Args:
        extractor: As of :class:`~mis_lightning.regions.merge_tree.MergeTreeRegions`; trees are the same.
        connectivity: As there.
        decay: As there, for nodes.
        min_share: As there, for nodes and unions.
        union_probability: How often a union is drawn.
        segments: Fewest and most segments of a cut.
        growth: Chance to add one more segment to a union.
        max_share: Largest share of the image that a union covers.
        max_border: Largest share of the image's border that a union covers.
        fill: How much it counts that a union fills its box, at least 0.

    Raises:
        InputError: A number is out of range.
    """

    def __init__(
        self,
        extractor: PatchExtractor | None = None,
        connectivity: Connectivity = "grid",
        decay: float = 0.9,
        min_share: float = 0.02,
        union_probability: float = 0.5,
        segments: tuple[int, int] = (5, 50),
        growth: float = 0.7,
        max_share: float = 0.6,
        max_border: float = 0.2,
        fill: float = 0.0,
    ) -> None:
        super().__init__(extractor, connectivity, decay, min_share)
        for name, value in (
            ("union_probability", union_probability),
            ("growth", growth),
            ("max_share", max_share),
            ("max_border", max_border),
        ):
            if not 0 <= value <= 1:
                raise InputError(f"Expected `{name}` in [0, 1], but got {value}.")
        if not 1 <= segments[0] <= segments[1]:
            raise InputError(
                f"Expected `segments` as fewest and most, at least 1, but got {tuple(segments)}."
            )
        if not 0 <= fill < np.inf:
            raise InputError(f"Expected `fill` of at least 0, but got {fill}.")
        self.union_probability = union_probability
        self.segments = (segments[0], segments[1])
        self.growth = growth
        self.max_share = max_share
        self.max_border = max_border
        self.fill = fill

    def draw(
        self, regions: Regions, size: tuple[int, int], generator: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Draw a node or a union, and bring it to the size of the image; bool, ``(H, W)``."""
        if not isinstance(regions, MergeTree) or generator.random() >= self.union_probability:
            return super().draw(regions, size, generator)
        for _ in range(_MAX_DRAWS):
            union = fill_holes(self._union(regions, generator))
            edge = np.concatenate([union[0], union[-1], union[:, 0], union[:, -1]])
            fits = self.min_share < union.mean() <= self.max_share and edge.mean() <= self.max_border
            if fits and (self.fill == 0 or generator.random() < box_share(union) ** self.fill):
                break
        rows, cols = (patch_of_pixels(side, n) for side, n in zip(size, union.shape, strict=True))
        return union[rows[:, None], cols]

    def _union(self, tree: MergeTree, generator: np.random.Generator) -> NDArray[np.bool_]:
        """One union as patches, bool, ``(h, w)``."""
        fewest, most = (log(min(n, tree.n_leaves)) for n in self.segments)
        count = round(float(np.exp(generator.uniform(fewest, most))))
        labels = tree.cut(count).reshape(tree.grid)
        touching = np.zeros((count, count), np.bool_)
        for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
            touching[one.ravel(), other.ravel()] = True
        touching |= touching.T
        chosen = np.zeros(count, np.bool_)
        chosen[generator.integers(count)] = True
        while generator.random() < self.growth:
            around = np.flatnonzero(touching[chosen].any(axis=0) & ~chosen)
            if len(around) == 0:
                break
            chosen[generator.choice(around)] = True
        return chosen[labels]


def box_share(region: NDArray[np.bool_]) -> float:
    """Area of a region that is not empty divided by the area of its box.

    >>> box_share(np.array([[False, True], [True, True]]))
    0.75
    """
    _, _, width, height = cv2.boundingRect(region.view(np.uint8))
    return float(np.count_nonzero(region)) / (width * height)


def fill_holes(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add what a region encloses: the pixels that no path of 4-neighbours outside it joins to the border.

    Args:
        region: bool, ``(h, w)``.

    Returns:
        bool, ``(h, w)``.
    """
    outside = cv2.copyMakeBorder((~region).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return np.asarray(labels[1:-1, 1:-1] != labels[0, 0])
