"""The merge tree as a segmenter: no network, no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.merge_tree.sampling import leaf_counts, node_mask
from mis_lightning.merge_tree.scaling import patch_of_pixels
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.segmenters.base import Box, Segmenter, check_click, check_image
from mis_lightning.structures import Click


@dataclass(frozen=True)
class TreeState:
    """Everything the mask depends on. Never changed in place.

    Attributes:
        tree: The tree of the image, shared by all states.
        shape: ``(H, W)`` of the image.
        clicks: All clicks so far, in pixels of the image.
        base: The mask that the first ``settled`` clicks stand for, bool, ``(H, W)``; ``None``: none.
        settled: Number of those clicks.
    """

    tree: MergeTree
    shape: tuple[int, int]
    clicks: tuple[Click, ...] = ()
    base: NDArray[np.bool_] | None = None
    settled: int = 0


def default_source() -> MergeTreeRegions:
    """Trees over patches of 2 pixels, at 400 pixels a side."""
    return MergeTreeRegions(ColourTexture(stride=2, max_side=400))


class MergeTreeSegmenter(Segmenter[TreeState]):
    """Answers clicks with nodes of a merge tree.

    Each positive click adds its node: the one above its patch that holds no negative click, covers a share of
    the image between ``min_share`` and ``max_share``, and stands out most, since its parent cost the most in
    proportion to itself. Where no node covers such a share, it is the largest below ``max_share``. A negative
    click does no more than that, unless the object began with a mask (:meth:`place`): then it takes its
    own node, chosen likewise, out of that mask.

    The default shares and stride did best on the bundled objects. On the 50 objects of GrabCut, which had no
    say: NoC@85 6.20, NoC@90 8.54, IoU@1 0.454, IoU@5 0.737.

    Args:
        source: Makes the tree; patches of 2 pixels, at 400 pixels a side, if none is given.
        min_share: Least share of the image that one click marks.
        max_share: Largest share of the image that one click marks.

    Raises:
        InputError: The shares are not ``0 <= min_share < max_share <= 1``.
    """

    def __init__(
        self, source: MergeTreeRegions | None = None, min_share: float = 0.02, max_share: float = 0.3
    ) -> None:
        if not 0 <= min_share < max_share <= 1:
            raise InputError(
                f"Expected 0 <= `min_share` < `max_share` <= 1, but got {min_share} and {max_share}."
            )
        self.source = source if source is not None else default_source()
        self.min_share = min_share
        self.max_share = max_share

    def begin(self, image: NDArray[np.uint8]) -> TreeState:
        """Build the tree of an RGB image, uint8, ``(H, W, 3)``."""
        tree = self.source.find(check_image(image), "", self.source.extractor(image))
        return TreeState(tree, image.shape[:2])

    def click(self, states: Sequence[TreeState], clicks: Sequence[Sequence[Click]]) -> list[TreeState]:
        """Add clicks to each state."""
        pairs = zip(states, clicks, strict=True)
        return [replace(state, clicks=(*state.clicks, *new)) for state, new in pairs]

    def place(self, state: TreeState, mask: NDArray[Any], clicks: Sequence[Click] = ()) -> TreeState:
        """Start again from a mask, bool or a probability, ``(H, W)``, that the clicks stand for."""
        base = mask if mask.dtype == np.bool_ else mask > self.threshold
        return replace(state, clicks=tuple(clicks), base=base, settled=len(clicks))

    def carry(self, state: TreeState, mask: NDArray[np.bool_], clicks: Sequence[Click] = ()) -> TreeState:
        """Start again from an object as it is expected here: the clicks in it add no node."""
        return self.place(state, mask, clicks)

    def box(self, state: TreeState, box: Box) -> TreeState:
        """Start again from a box: of parts an eighth of it in size on average, those that lie in it.

        A part lies in the box with four fifths of its pixels at least; only what is inside counts. Where no
        part does, it is the node that overlaps the box most. With boxes drawn around the true masks the mean
        IoU is 0.776 on GrabCut (the box itself: 0.546) and 0.821 on the bundled objects (0.703); both
        numbers were chosen looking at these two sets, so the figures flatter.
        """
        tree, shape, inside = state.tree, state.shape, box.mask(state.shape)
        here, whole = leaf_counts(inside, tree.grid), leaf_counts(np.ones_like(inside), tree.grid)
        parts = tree.cut(min(tree.n_leaves, round(8 * inside.size / int(here.sum()))))
        share = np.bincount(parts.ravel(), here.ravel()) / np.bincount(parts.ravel(), whole.ravel())
        rows, cols = (patch_of_pixels(*lengths) for lengths in zip(shape, tree.grid, strict=True))
        mask = inside & (share >= 0.8)[parts][rows][:, cols]
        if not mask.any():
            mask = inside & node_mask(tree, tree.best_node(here, whole)[0], shape)
        return self.place(state, mask, [box.centre])

    def probability(self, state: TreeState) -> NDArray[np.float32]:
        """0 or 1 at each pixel, float32, ``(H, W)``."""
        return self.mask(state).astype(np.float32)

    def mask(self, state: TreeState) -> NDArray[np.bool_]:
        """The pixels that belong, bool, ``(H, W)``."""
        tree = state.tree
        patches = [(_patch(state, click), click.positive) for click in state.clicks]
        wanted = [patch for patch, positive in patches if positive]
        unwanted = [patch for patch, positive in patches if not positive]
        mask = np.zeros(state.shape, np.bool_) if state.base is None else state.base.copy()
        later = patches[state.settled :]
        if state.base is not None:
            for node in {self._node(tree, patch, wanted) for patch, positive in later if not positive}:
                mask &= ~node_mask(tree, node, state.shape)
        for node in {self._node(tree, patch, unwanted) for patch, positive in later if positive}:
            mask |= node_mask(tree, node, state.shape)
        return mask

    def nodes_at(self, state: TreeState, click: Click) -> NDArray[np.int32]:
        """The nodes that hold a pixel, from its patch to the whole image: a slider of granularity.

        Raises:
            InputError: The pixel is not on the image.
        """
        return state.tree.ancestors(_patch(state, check_click(*click, state.shape)))

    def settings(self) -> dict[str, Any]:
        """Everything that fixes the answers, as JSON values."""
        return {**self.source.settings(), "min_share": self.min_share, "max_share": self.max_share}

    @property
    def identity(self) -> str:
        """``"merge-tree"``."""
        return "merge-tree"

    def _node(self, tree: MergeTree, patch: int, against: list[int]) -> int:
        """The node that a click stands for, given the patches of the clicks against it."""
        path = tree.ancestors(patch)
        places = tree.places[against]
        clear = len(path)  # how many nodes of the path hold no click against it
        for number, node in enumerate(path):
            first, last = tree.span(int(node))
            if ((places >= first) & (places < last)).any():
                clear = max(number, 1)  # the patch itself stays: two clicks may share it
                break
        shares = tree.sizes[path] / tree.n_leaves
        fit = [i for i in range(clear) if self.min_share <= shares[i] <= self.max_share]
        if not fit:
            small = [i for i in range(clear) if shares[i] <= self.max_share]
            return int(path[small[-1] if small else 0])
        costs = np.concatenate([np.zeros(tree.n_leaves), tree.cost])[path]
        parents = np.append(costs[1:], costs[-1])
        return int(path[max(fit, key=lambda i: (parents[i] / max(costs[i], 1e-12), i))])


def _patch(state: TreeState, click: Click) -> int:
    """The patch of a click."""
    (height, width), (h, w) = state.shape, state.tree.grid
    row, col = patch_of_pixels(height, h)[int(click.row)], patch_of_pixels(width, w)[int(click.col)]
    return int(row * w + col)
