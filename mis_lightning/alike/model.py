"""A few marked objects -> the others on any image, each with a score.

A depth map (:mod:`.appearance`) has a merge tree of its levels (:mod:`.level_tree`). What IoU each node
should have with an object is learned from the nodes about the marked ones, whose IoU is known. The best
disjoint nodes (:mod:`.antichain`) are the proposals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.alike.antichain import best_antichain
from mis_lightning.alike.appearance import COLOURS, DepthModel, MarkedLeaves, describe_leaves, forest
from mis_lightning.alike.level_tree import level_tree
from mis_lightning.alike.node_features import node_features, node_sums
from mis_lightning.alike.proposal import Proposal
from mis_lightning.alike.settings import AlikeSettings
from mis_lightning.alike.tiles import Tile, tiles
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.leaf_grid import leaf_pixels
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.segmenters.base import check_image

SURE = 0.6
"""Least IoU that is expected of what is learned from unasked."""
STEP = 0.04
"""Nodes are looked at where they have grown by this factor, in e-folds."""
CURVE = (6.0, -2.6)
"""Slope and offset of the logistic curve from an expected IoU to a score."""
SIZES = (0.25, 4.0)
"""Sizes of proposals, in those of a marked object."""


TAKEN = 0.2
"""Share of a proposal that may be marked already."""


@dataclass(frozen=True)
class MarkedImage:
    """An image with what a user marked on it.

    Attributes:
        image: RGB, uint8, ``(H, W, 3)``.
        examples: Masks of marked objects, bool, ``(H, W)`` each.
        rejected: Masks of what is none, bool, ``(H, W)`` each.
    """

    image: NDArray[np.uint8]
    examples: Sequence[NDArray[np.bool_]]
    rejected: Sequence[NDArray[np.bool_]] = ()


class AlikeModel:
    """What was learned from marked objects. Finding changes nothing: several threads may share a model.

    Args:
        marked: Images with at least one example among them.
        settings: How.

    Raises:
        InputError: There is no example, or masks and images do not fit.

    Attributes:
        area: Median of the examples, in pixels.
    """

    def __init__(self, marked: Sequence[MarkedImage], settings: AlikeSettings | None = None) -> None:
        self.settings = settings if settings is not None else AlikeSettings()
        self.area = _median_area(marked)
        radius = math.sqrt(self.area / math.pi)
        self._scale = min(1.0, self.settings.radius / radius)
        self._radius = radius * self._scale
        self._leaves = self.area * self._scale**2
        parts = [part for one in marked for part in self._parts(one)]
        self._fit(parts)
        for _ in range(self.settings.rounds - 1):
            self._fit([self._with_found(part) for part in parts])

    def find(self, image: NDArray[np.uint8], taken: NDArray[np.bool_] | None = None) -> list[Proposal]:
        """Find the objects of an image.

        Args:
            image: RGB, uint8, ``(H, W, 3)``.
            taken: What is marked already, bool, ``(H, W)``: of no region more than a fifth lies in it.

        Returns:
            Disjoint regions, best first.
        """
        small = self._shrink(check_image(image))
        busy = None if taken is None else _shrunk(taken, small.shape[:2])
        found = [
            one
            for tile in tiles(small.shape[:2], self._margin)
            for one in self._find(small, tile, busy, (image.shape[0], image.shape[1]))
        ]
        return sorted(found, key=lambda one: -one.score)

    def _fit(self, parts: Sequence[MarkedLeaves]) -> None:
        how = self.settings
        self._depth = DepthModel(how.trees, how.contrasts, how.seed).fit(parts, self._radius)
        self._quality = forest(how.trees, 0.6, how.seed).fit(*self._lessons(parts))

    def _with_found(self, part: MarkedLeaves) -> MarkedLeaves:
        """A part with what is surely alike as further examples, at most three for each."""
        tree, seen = self._tree(part.description)
        marked = np.any(np.stack([*part.examples, *part.rejected]), axis=0)
        found = sorted(self._choose(tree, seen, marked), key=lambda one: -one[1])
        sure = [tree.mask(node) for node, quality in found if quality >= SURE]
        return replace(part, examples=[*part.examples, *sure[: 3 * len(part.examples) + 3]])

    def _choose(
        self, tree: MergeTree, seen: NDArray[np.float32], taken: NDArray[np.bool_] | None
    ) -> list[tuple[int, float]]:
        """The best disjoint nodes of a tree, and the IoU that each should have."""
        possible = _grown(tree) & self._sized(tree)
        if taken is not None:
            possible &= _inside(tree, taken) <= TAKEN * tree.sizes
        nodes = np.flatnonzero(possible)
        if not len(nodes):
            return []
        quality = self._quality.predict(seen[nodes])
        size = (tree.sizes[nodes] / self._leaves) ** self.settings.weight
        worth = np.full(tree.n_nodes, -np.inf, np.float32)
        worth[nodes] = (quality - self.settings.price) * size
        expected = dict(zip(nodes.tolist(), quality.tolist(), strict=True))
        return [(node, expected[node]) for node in best_antichain(tree, worth).tolist()]

    def _sized(self, tree: MergeTree) -> NDArray[np.bool_]:
        """Which nodes are about as large as an example."""
        low, high = SIZES
        return np.asarray((tree.sizes > low * self._leaves) & (tree.sizes < high * self._leaves), np.bool_)

    @property
    def _margin(self) -> int:
        return math.ceil(4 * self._radius)

    def _shrink(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._scale == 1:
            return image
        height, width = (max(2, round(side * self._scale)) for side in image.shape[:2])
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    def _parts(self, one: MarkedImage) -> list[MarkedLeaves]:
        """The tiles in which something is marked."""
        small = self._shrink(one.image)
        grid = small.shape[:2]
        masks = [[_shrunk(mask, grid) for mask in masks] for masks in (one.examples, one.rejected)]
        parts = []
        for tile in tiles(grid, self._margin):
            examples, rejected = (
                [m[tile.rows, tile.cols] for m in some if _in_core(m, tile)] for some in masks
            )
            if examples or rejected:
                seen = describe_leaves(np.ascontiguousarray(small[tile.rows, tile.cols]), self._radius)
                parts.append(MarkedLeaves(seen, examples, rejected))
        return parts

    def _tree(self, description: NDArray[np.float32]) -> tuple[MergeTree, NDArray[np.float32]]:
        """The merge tree of a part, and what its nodes look like."""
        depth = self._depth(description)
        if self.settings.blur:
            depth = np.asarray(cv2.GaussianBlur(depth, (0, 0), self.settings.blur), np.float32)
        tree = level_tree(depth)
        return tree, node_features(tree, depth, description[..., COLOURS], self._leaves)

    def _lessons(
        self, parts: Sequence[MarkedLeaves]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        """Nodes about what is marked, the IoU that each has, and what it counts."""
        generator = np.random.default_rng(self.settings.seed)
        lessons = []
        for part in parts:
            tree, seen = self._tree(part.description)
            size, grown = tree.sizes, _grown(tree)
            within = grown & (size > 0.1 * self._leaves) & (size < 8 * self._leaves)
            marked = np.zeros(tree.n_nodes)
            for mask in part.examples:
                inside = _inside(tree, mask)
                marked += inside
                near = np.flatnonzero(within & (inside > 0.3 * np.minimum(size, np.count_nonzero(mask))))
                lessons.append((seen[near], _iou(tree, mask, inside)[near], 1.0))
            for mask in part.rejected:
                inside = _inside(tree, mask)
                near = np.flatnonzero(within & (_iou(tree, mask, inside) > 0.5))
                lessons.append((seen[near], np.zeros(len(near)), 1.0))
            far = np.flatnonzero(within & self._sized(tree) & (marked == 0) & (seen[:, 1] < -0.2))
            far = generator.choice(far, min(len(far), 300), replace=False)
            lessons.append((seen[far], np.zeros(len(far)), float(len(part.examples))))
        lessons = [lesson for lesson in lessons if len(lesson[0])]
        if not lessons:
            raise InputError("Expected examples that can be told from their surroundings; mark another one.")
        return (
            np.concatenate([rows for rows, *_ in lessons]),
            np.concatenate([ious for _, ious, _ in lessons]),
            np.concatenate([np.full(len(rows), weight / len(rows)) for rows, _, weight in lessons]),
        )

    def _find(
        self, small: NDArray[np.uint8], tile: Tile, taken: NDArray[np.bool_] | None, shape: tuple[int, int]
    ) -> list[Proposal]:
        part = np.ascontiguousarray(small[tile.rows, tile.cols])
        if min(part.shape[:2]) < 2:
            return []
        tree, seen = self._tree(describe_leaves(part, self._radius))
        busy = None if taken is None else taken[tile.rows, tile.cols]
        found = []
        for node, quality in self._choose(tree, seen, busy):
            one = _region(tree, node, tile, small.shape[:2], shape)
            if one is not None:
                found.append(Proposal(_probability(quality), *one))
        return found


def _probability(quality: float) -> float:
    """Of an IoU of at least 0.5, where the forest expects this one."""
    return 1 / (1 + math.exp(-(CURVE[0] * quality + CURVE[1])))


def _median_area(marked: Sequence[MarkedImage]) -> float:
    """Check what is marked; the median area of the examples."""
    areas = []
    for one in marked:
        shape = check_image(one.image).shape[:2]
        for mask in (*one.examples, *one.rejected):
            if mask.dtype != np.bool_ or mask.shape != shape:
                raise InputError(
                    f"Expected masks of an image of {shape[0]}x{shape[1]} pixels as bool, but got "
                    f"{mask.dtype} {mask.shape}."
                )
        if any(mask.all() for mask in one.examples):
            raise InputError("Expected marked objects with surroundings, but one covers its whole image.")
        areas += [np.count_nonzero(mask) for mask in one.examples]
    areas = [area for area in areas if area]
    if not areas:
        raise InputError("Expected at least one marked object to find others like it, but got none.")
    return float(np.median(areas))


def _grown(tree: MergeTree) -> NDArray[np.bool_]:
    """The last node of each step in size on the way up: its neighbours look the same."""
    step = np.floor(np.log(tree.sizes) / STEP)
    return np.asarray(step != step[tree.parent], np.bool_)


def _inside(tree: MergeTree, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Leaves of each node in a mask, ``(2n - 1,)``."""
    return node_sums(tree, mask.reshape(-1, 1).astype(np.float32))[:, 0]


def _iou(tree: MergeTree, mask: NDArray[np.bool_], inside: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(inside / (tree.sizes + np.count_nonzero(mask) - inside), np.float64)


def _shrunk(mask: NDArray[np.bool_], grid: tuple[int, ...]) -> NDArray[np.bool_]:
    if mask.shape == tuple(grid):
        return mask
    share = cv2.resize(mask.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(share > 0.5, np.bool_)


def _in_core(mask: NDArray[np.bool_], tile: Tile) -> bool:
    """Whether the middle of a mask lies in the core of a tile; not where it is empty."""
    rows, cols = np.nonzero(mask)
    return len(rows) > 0 and tile.holds(rows.mean(), cols.mean())


def _region(
    tree: MergeTree, node: int, tile: Tile, grid: tuple[int, ...], shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], int, int] | None:
    """The pixels of a node, holes filled, and where their box begins; ``None``: another tile's."""
    leaves = tree.leaves(node)
    rows, cols = leaves // tree.grid[1] + tile.rows.start, leaves % tree.grid[1] + tile.cols.start
    if not tile.holds(rows.mean(), cols.mean()):
        return None
    first, start = max(rows.min() - 2, 0), max(cols.min() - 2, 0)  # the border may move by half a leaf
    last, stop = min(rows.max() + 3, grid[0]), min(cols.max() + 3, grid[1])
    mask = np.zeros((last - first, stop - start), np.uint8)
    mask[rows - first, cols - start] = 1
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, outlines, -1, 1, cv2.FILLED)
    y0, y1 = (round(edge * shape[0] / grid[0]) for edge in (first, last))
    x0, x1 = (round(edge * shape[1] / grid[1]) for edge in (start, stop))
    pixels = leaf_pixels(mask.astype(np.bool_), (y1 - y0, x1 - x0))
    return (pixels, y0, x0) if pixels.any() else None
