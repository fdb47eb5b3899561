"""The merge tree sharpens a model's answer: all steps between its logits and a mask of pixels.

Pure functions of the ROI's pixels, its tree, the model's logits and the clicks; whoever calls keeps the tree
while the ROI stays. Which settings, and why: ``experiments/refinement/refinement.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.merge_tree.leaf_grid import (
    MAX_SIDE,
    clicked_leaves,
    leaf_evidence,
    leaf_extractor,
    leaf_pixels,
    obey,
)
from mis_lightning.merge_tree.refinement import drop_specks, refine
from mis_lightning.merge_tree.scaling import patch_of_pixels
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.segmenters.number_settings import NumberSettings
from mis_lightning.structures import Click


@dataclass(frozen=True)
class Refinement(NumberSettings):
    """How a merge tree sharpens answers.

    Attributes:
        price: What a piece costs in log-odds, where leaves are at least as fine as the model's pixels.
        clip: What a leaf may weigh at most, in log-odds.
        sure: A speck or hole stays where the model's log-odds for it reach this somewhere.
        max_side: Leaves on the longer side of the tree; a smaller ROI has a leaf for each pixel.
        feedback: Share of the sharpened mask in the previous mask of the next click, in ``[0, 1]``; the rest
            is the model's own answer. Half was the best of 0, 0.5 and 1 on development objects.
        reach: How far a click that corrects a small error changes the mask, in depths of the click; also,
            that a click changes only what has its label (:func:`.locality.keep_near`). 0: all may change.
        small: Up to which share of the object's radius an error is small, for each click so far: the more
            clicks, the more is right.
    """

    called = "a refinement"

    price: float = 10.0
    clip: float = 4.0
    sure: float = 2.0
    max_side: int = MAX_SIDE
    feedback: float = 0.5
    reach: float = 0.0
    small: float = 0.02

    def __post_init__(self) -> None:
        if not (0 <= self.price < np.inf and 0 < self.clip < np.inf and 0 <= self.sure < np.inf):
            raise InputError(
                "Expected `price` and `sure` of at least 0 and `clip` above 0 of a refinement, "
                f"but got {self.price}, {self.sure} and {self.clip}."
            )
        if not 0 <= self.feedback <= 1:
            raise InputError(f"Expected `feedback` of a refinement in [0, 1], but got {self.feedback}.")
        if not (0 <= self.reach < np.inf and 0 <= self.small < np.inf):
            raise InputError(
                "Expected `reach` and `small` of a refinement of at least 0, "
                f"but got {self.reach} and {self.small}."
            )
        if not 2 <= self.max_side <= 1024:
            raise InputError(
                f"Expected `max_side` in 2..1024 leaves of a refinement, but got {self.max_side}."
            )

    def tree(self, roi: NDArray[np.uint8], extractor: PatchExtractor | None = None) -> MergeTree:
        """The tree of an ROI; build it anew only where the ROI is another.

        Args:
            roi: The pixels of the ROI, RGB, uint8, ``(H, W, 3)``.
            extractor: Makes the features of the leaves; colours of up to ``max_side`` leaves a side if none
                is given.
        """
        extract = extractor if extractor is not None else leaf_extractor(self.max_side)
        return build_merge_tree(*extract(np.ascontiguousarray(roi)))

    def piece_price(self, leaves: int, answer: tuple[int, int]) -> float:
        """What a piece of a tree costs: ``price * min(1, leaves / pixels of the answer) ** 2``.

        Where the model sees the ROI finer than its leaves, the tree could only move the model's borders by
        whole leaves; the price falls until the answer stays as it is. Chosen on the development halves of
        eight sets, where no other cue (size of the object, agreement of tree and answer) added to this one.

        Args:
            leaves: Of the ROI's tree.
            answer: ``(h, w)`` of the model's logits.

        Example:
            >>> [round(Refinement().piece_price(side**2, (160, 160)), 3) for side in (40, 80, 160, 256)]
            [0.039, 0.625, 10.0, 10.0]
        """
        return self.price * min(1.0, leaves / (answer[0] * answer[1])) ** 2

    def mask(
        self,
        tree: MergeTree,
        logits: NDArray[np.float32],
        shape: tuple[int, int],
        clicks: Sequence[Click],
        scribbles: Sequence[tuple[NDArray[np.bool_], bool]] = (),
    ) -> NDArray[np.bool_]:
        """The pixels of an ROI that belong. Every clicked and scribbled pixel has the label it was given.

        Args:
            tree: Of the ROI (:meth:`tree`).
            logits: The model's answer for the whole ROI, corners aligned (docs/protocol.md#zoom-in), float32,
                ``(h, w)``.
            shape: ``(H, W)`` of the ROI.
            clicks: All clicks, in pixels of the ROI; those outside it are left out. Later ones count over
                earlier ones at the same pixel, and in the same leaf as far as the leaf goes.
            scribbles: Pixels drawn, bool, ``(H, W)``, and whether they belong; they come after the clicks.

        Returns:
            bool, ``(H, W)``.

        Raises:
            InputError: A scribble has another shape.
        """
        evidence = leaf_evidence(logits, shape, tree.grid, self.clip)
        fixed = clicked_leaves(clicks, shape, tree.grid)
        for drawn, positive in scribbles:
            fixed[drawn_leaves(drawn, shape, tree.grid)] = 1 if positive else -1
        labels = refine(tree, evidence, self.piece_price(tree.n_leaves, logits.shape), fixed)
        labels = drop_specks(
            labels, (fixed > 0) | (evidence >= self.sure), (fixed < 0) | (evidence <= -self.sure)
        )
        mask = leaf_pixels(labels, shape)
        obey(mask, clicks, scribbles)
        return mask


def drawn_leaves(
    drawn: NDArray[np.bool_], shape: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.bool_]:
    """The leaves that hold a drawn pixel, bool, ``(h, w)``.

    Args:
        drawn: bool, ``(H, W)``.
        shape: ``(H, W)`` of the ROI.
        grid: ``(h, w)`` leaves.

    Raises:
        InputError: ``drawn`` is not of the ROI's shape.

    Example:
        >>> drawn = np.zeros((4, 4), bool)
        >>> drawn[1, 1:3] = True
        >>> drawn_leaves(drawn, (4, 4), (2, 2)).tolist()
        [[True, True], [False, False]]
    """
    if drawn.shape != tuple(shape):
        raise InputError(f"Expected a scribble of the ROI's shape {tuple(shape)}, but got {drawn.shape}.")
    leaves = np.zeros(grid, np.bool_)
    rows, cols = np.nonzero(drawn)
    leaves[patch_of_pixels(shape[0], grid[0])[rows], patch_of_pixels(shape[1], grid[1])[cols]] = True
    return leaves
