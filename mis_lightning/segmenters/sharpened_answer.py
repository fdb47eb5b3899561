"""A click model's answer in its crop, sharpened by the merge tree of the crop and near new clicks alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.merge_tree.leaf_grid import obey
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.segmenters.click_state import ClickState, held_in, mask_with, roi_pixels
from mis_lightning.segmenters.locality import keep_near
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.zoom_in import ROI, in_roi
from mis_lightning.structures import Click


def sharpened_answer(
    refinement: Refinement,
    state: ClickState,
    roi: ROI,
    over: NDArray[np.float32],
    new: Sequence[Click],
    before: Tensor | None,
    around: Tensor | None = None,
) -> tuple[Tensor, MergeTree]:
    """The mask after an answer, and the merge tree of its crop.

    Args:
        refinement: How to sharpen.
        state: With all clicks; its tree is used where it is of the same crop.
        roi: The crop.
        over: The answer in log-odds above the threshold, float32, ``(h, w)``.
        new: Those of the clicks that are new.
        before: The mask that they change near them, bool, ``(H, W)``; ``None``: all may change.
        around: The mask outside the crop, bool, ``(H, W)``; ``None``: as before.

    Returns:
        bool, ``(H, W)``, and the tree.
    """
    tree = state.tree if state.roi == roi and state.tree is not None else None
    tree = tree if tree is not None else refinement.tree(roi_pixels(state, roi))
    clicks, held = in_roi(state.clicks, roi), held_in(state, roi)
    inside = refinement.mask(tree, over, (roi.height, roi.width), clicks, held)
    if before is not None:
        whole = before.cpu().numpy()
        limit = refinement.small * len(clicks) * math.sqrt(np.count_nonzero(whole) / math.pi)
        inside = keep_near(whole[roi.window], inside, in_roi(new, roi), limit, refinement.reach)
        obey(inside, clicks, held)
    return mask_with(state, roi, inside, before if around is None else around), tree
