"""The merge tree of the ROI sharpens every answer (docs/method.md, "Sharpening an answer").

The network answers at its own size, so borders are blurred and thin parts lost. The merge tree of the same
pixels knows the borders. The labelling of its pieces that fits the answer best is found exactly
(:mod:`mis_lightning.merge_tree.refinement`), and every click is obeyed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.leaf_grid import (
    MAX_SIDE,
    clicked_leaves,
    leaf_evidence,
    leaf_extractor,
    leaf_pixels,
    obey,
)
from mis_lightning.merge_tree.refinement import drop_specks, refine
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.segmenters.base import Box
from mis_lightning.segmenters.zoom_in import ROI
from mis_lightning.structures import Click


@dataclass(frozen=True)
class TreeRefinement:
    """How an answer is sharpened.

    Attributes:
        price: What a piece costs in log-odds where the tree has at least as many leaves as the network has
            pixels. Where it has fewer the network sees finer than the tree, and the price falls with the
            square of their ratio.
        clip: What one leaf may weigh at most, in log-odds.
        sure: A piece or a hole stays only if it holds a click or a leaf of at least this weight, in log-odds.
        max_side: Leaves on the longer side of the ROI at most.
    """

    price: float = 10.0
    clip: float = 4.0
    sure: float = 2.0
    max_side: int = MAX_SIDE

    def __post_init__(self) -> None:
        if not (self.price >= 0 and self.clip > 0 and self.sure >= 0 and self.max_side >= 2):
            raise InputError(
                "Expected `price` >= 0, `clip` > 0, `sure` >= 0 and `max_side` >= 2 of a refinement, but got "
                f"{self.price}, {self.clip}, {self.sure} and {self.max_side}."
            )

    def tree(self, pixels: NDArray[np.uint8]) -> MergeTree:
        """The merge tree of an ROI, RGB, uint8, ``(H, W, 3)``."""
        features, grid = leaf_extractor(self.max_side)(np.ascontiguousarray(pixels))
        return build_merge_tree(features, grid)

    def leaves(
        self,
        tree: MergeTree,
        logits: NDArray[np.float32],
        roi: ROI,
        clicks: Sequence[Click],
        bound: Box | None = None,
    ) -> NDArray[np.bool_]:
        """Label the leaves of the ROI's tree.

        Args:
            tree: Of the ROI.
            logits: The network's answer in the ROI, less the log-odds of the threshold, float32, ``(s, t)``.
            roi: The ROI.
            clicks: All clicks so far, in pixels of the image.
            bound: Nothing outside this box belongs; ``None``: no box.

        Returns:
            Bool, ``(h, w)``, the grid of the tree.
        """
        shape, grid = (roi.height, roi.width), tree.grid
        evidence = leaf_evidence(logits, shape, grid, self.clip)
        fixed = clicked_leaves(_in_roi(clicks, roi), shape, grid)
        if bound is not None:
            fixed[~_inside(bound, roi, grid) & (fixed == 0)] = -1
        price = self.price * min(1.0, tree.n_leaves / logits.size) ** 2
        labels = refine(tree, evidence, price, fixed)
        return drop_specks(
            labels, (fixed > 0) | (evidence > self.sure), (fixed < 0) | (evidence < -self.sure)
        )

    def mask(
        self, leaves: NDArray[np.bool_], roi: ROI, shape: tuple[int, int], clicks: Sequence[Click]
    ) -> NDArray[np.bool_]:
        """The mask that labelled leaves mean, bool, ``(H, W)`` = ``shape``; every click is obeyed."""
        mask = np.zeros(shape, np.bool_)
        rows, cols = slice(roi.row_min, roi.row_max + 1), slice(roi.col_min, roi.col_max + 1)
        mask[rows, cols] = leaf_pixels(leaves, (roi.height, roi.width))
        obey(mask, clicks)
        return mask

    def to_json(self) -> dict[str, Any]:
        """JSON values, for :meth:`from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> TreeRefinement:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: It is something else.
        """
        known = {field.name for field in fields(cls)}
        numbers = content.values() if isinstance(content, dict) else ()
        if not isinstance(content, dict) or not set(content) <= known:
            raise InputError(f"Expected a refinement with entries among {', '.join(sorted(known))}.")
        if not all(type(number) in (int, float) and abs(number) < 1e9 for number in numbers):
            raise InputError(f"Expected numbers in a refinement, but got {str(content)[:200]}.")
        return cls(**{**content, "max_side": int(content.get("max_side", MAX_SIDE))})


def _in_roi(clicks: Sequence[Click], roi: ROI) -> list[Click]:
    return [c._replace(row=c.row - roi.row_min, col=c.col - roi.col_min) for c in clicks]


def _inside(box: Box, roi: ROI, grid: tuple[int, int]) -> NDArray[np.bool_]:
    """The leaves whose centres lie in a box, bool, ``(h, w)``."""
    rows = roi.row_min + (np.arange(grid[0]) + 0.5) * roi.height / grid[0] - 0.5
    cols = roi.col_min + (np.arange(grid[1]) + 0.5) * roi.width / grid[1] - 0.5
    within_rows = (rows >= int(box.top)) & (rows <= int(box.bottom))
    return within_rows[:, None] & (cols >= int(box.left)) & (cols <= int(box.right))
