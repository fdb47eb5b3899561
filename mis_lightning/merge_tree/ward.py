"""Build the merge tree of patch features by Ward's criterion.

Rules: docs/protocol.md#linkage-cost, docs/protocol.md#merging.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.merge_tree.ward_full import merge_full
from mis_lightning.merge_tree.ward_grid import merge_grid


def build_merge_tree(
    features: NDArray[np.float32], grid: tuple[int, int], connectivity: Literal["grid", "full"] = "grid"
) -> MergeTree:
    """Merge patches bottom-up, at each step the two regions whose union raises the variance least.

    The linkage cost of two regions of ``s`` and ``t`` patches with mean features ``a`` and ``b`` is
    ``s t / (s + t) * ||a - b||^2``; scikit-learn and SciPy report ``sqrt(2 * cost)``.

    Of merges that cost the same in float32, the one goes first whose younger node is the older, then the one
    whose older node is. So the tree is a function of the features alone; on features without ties it is that
    of MIS, pair for pair, but for the rounding of float32.

    Args:
        features: One row per patch, row-major, float32, ``(n, c)``, finite.
        grid: The patches as ``(height, width)``, ``n = height * width``.
        connectivity: ``"grid"``: only regions that share an edge may merge (MIS). ``"full"``: any two may.

    Returns:
        The merge tree. In ``children``, the older node of a pair comes first.

    Raises:
        InputError: Shapes, types or values do not fit, or ``"full"`` would not fit into memory.

    Example:
        >>> tree = build_merge_tree(np.float32([[0], [4], [1], [4]]), (2, 2))
        >>> tree.children.tolist(), tree.cost.tolist()
        ([[1, 3], [0, 2], [4, 5]], [0.0, 0.5, 12.25])
    """
    _check(features, grid)
    # Numba compiles once more for each memory layout and for read-only arrays: hand it one kind only
    features = np.require(features, np.float32, ["C", "A", "W"])
    h, w = int(grid[0]), int(grid[1])
    if connectivity == "grid":
        children, cost = merge_grid(features, h, w)
        if h * w == 1 or not np.isfinite(cost).all():  # cheaper than to look at all features beforehand
            _check_values(features)
    elif connectivity == "full":
        _check_values(features)
        children, cost = merge_full(features)
    else:
        raise InputError(f'Expected `connectivity` as "grid" or "full", but got {connectivity!r}.')
    return MergeTree(children, cost, (h, w))


def _check(features: NDArray[np.float32], grid: tuple[int, int]) -> None:
    if not isinstance(features, np.ndarray) or features.dtype != np.float32 or features.ndim != 2:
        raise InputError(
            "Expected `features` as a float32 array (n, c), but got "
            f"{getattr(features, 'dtype', type(features).__name__)} of shape {np.shape(features)}; "
            "convert it with np.asarray(features, np.float32).reshape(n, c)."
        )
    if len(grid) != 2 or min(grid) < 1 or grid[0] * grid[1] != features.shape[0]:
        raise InputError(
            f"Expected `grid` (height, width) of {features.shape[0]} patches, one per row of `features`, "
            f"but got {tuple(grid)}."
        )
    if features.shape[1] < 1:
        raise InputError("Expected at least one channel in `features`, but got none.")


def _check_values(features: NDArray[np.float32]) -> None:
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise InputError(
            f"Expected finite `features`, but row {int(finite.argmin())} holds NaN or infinity; check the "
            "image or the extractor."
        )
    largest = float(np.abs(features).max())
    limit = float(np.finfo(np.float32).max)
    if 4 * features.size * largest**2 > limit:  # bounds every cost and every sum on the way
        raise InputError(
            f"Expected `features` whose squares add up within float32, but the largest value, {largest:.3g}, "
            "is too large; scale the features down."
        )
