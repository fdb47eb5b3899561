"""Clicks answered by the merge tree alone: no network, no training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.inference.answers import check_click
from mis_lightning.inference.stepping import SteppingPredictor
from mis_lightning.inference.tree_answers import TreeAnswers, TreeState, default_source
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.merge_tree import MergeTreeRegions


class TreePredictor(SteppingPredictor[TreeState]):
    """Answers clicks with nodes of the merge tree; otherwise a predictor like any other.

    Each positive click stands for the node above its patch that holds no negative click, covers a share of
    the image between ``min_share`` and ``max_share``, and stands out most: its parent cost the most in
    proportion to itself. Where no node covers such a share, it is the largest below ``max_share``. The mask
    is the union over the positive clicks.

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
        super().__init__()

    @property
    def answers(self) -> TreeAnswers:
        """The steps behind the clicks."""
        return TreeAnswers(self.source, self.min_share, self.max_share)

    @property
    def tree(self) -> MergeTree:
        """The tree of the image.

        Raises:
            InputError: No image is set.
        """
        return self._state.tree

    def settings(self) -> dict[str, Any]:
        """Return everything that fixes the answers, as JSON values."""
        return self.answers.settings()

    def nodes_at(self, row: float, col: float) -> NDArray[np.int32]:
        """Return the nodes that hold a pixel, from its patch to the whole image: a slider of granularity.

        Raises:
            InputError: No image is set, or the pixel is not on it.
        """
        state = self._state
        return self.answers.nodes_at(state, check_click(row, col, True, state.shape))
