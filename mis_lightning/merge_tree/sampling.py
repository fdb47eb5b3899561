"""Draw a region from a merge tree, and bring it to the size of its image.

Rules: docs/protocol.md#drawing-a-node, docs/protocol.md#from-patches-to-pixels.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.scaling import patch_of_pixels
from mis_lightning.merge_tree.tree import MergeTree


class Uniforms(Protocol):
    """Anything that gives numbers uniform in ``[0, 1)``, such as :class:`numpy.random.Generator`."""

    def random(self) -> float:
        """The next number."""
        ...


def sample_node(
    tree: MergeTree,
    generator: np.random.Generator,
    decay: float = 0.9,
    min_share: float = 0.05,
    max_draws: int = 100,
) -> int:
    """Draw one region of the image, from the root downwards.

    A draw steps to a child with equal chances, and goes on below depth ``m`` with probability ``decay**m``: a
    node at depth ``m`` or more comes with probability ``decay**(m(m-1)/2)`` where the tree is deep enough.
    The root is never drawn, save from a tree that is a single leaf. Up to ``max_draws`` draws are made: the
    first
    region larger than ``min_share`` counts, else the last one drawn (docs/protocol.md#accepting-a-node).

    Args:
        tree: The tree to draw from.
        generator: The randomness.
        decay: In ``[0, 1]``; the smaller, the larger the regions.
        min_share: Share of the image that the region must exceed, in ``[0, 1)``.
        max_draws: At least 1.

    Returns:
        The node drawn.

    Raises:
        InputError: A number is out of range.
    """
    if not 0 <= decay <= 1:
        raise InputError(f"Expected `decay` in [0, 1], but got {decay}.")
    if not 0 <= min_share < 1:
        raise InputError(f"Expected `min_share` in [0, 1), but got {min_share}.")
    if max_draws < 1:
        raise InputError(f"Expected `max_draws` of at least 1, but got {max_draws}.")
    return int(_draw(tree.children, tree.sizes, generator, decay, min_share, max_draws))


def node_mask(tree: MergeTree, node: int, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The region of a node at the size of its image.

    Nearest neighbour, by the rule of :func:`~mis_lightning.merge_tree.scaling.patch_of_pixels`
    (docs/protocol.md#from-patches-to-pixels).

    Args:
        tree: The tree.
        node: The node.
        size: Size of the image, ``(H, W)`` in pixels.

    Returns:
        The mask, bool, ``(H, W)``.

    Raises:
        InputError: There is no such node, or the size is not positive.
    """
    _check_size(size)
    first, last = tree.span(node)
    return _scale_up(tree.places.reshape(tree.grid), first, last, size[0], size[1])


def leaf_counts(mask: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.float64]:
    """Count the pixels of a mask in each patch, by the rule of :func:`node_mask`.

    With it, :meth:`MergeTree.best_node` is exact in pixels:
    ``tree.best_node(leaf_counts(mask & ~ignore, grid), leaf_counts(~ignore, grid))``.

    Args:
        mask: bool, ``(H, W)``.
        grid: The patches, ``(h, w)``.

    Returns:
        Pixels set in each patch, float64, ``(h, w)``.

    Raises:
        InputError: The mask is not bool of two dimensions.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise InputError(f"Expected `mask` as bool (H, W), but got {mask.dtype} {mask.shape}.")
    _check_size(mask.shape)
    return _count(mask, grid[0], grid[1])


def _check_size(size: tuple[int, ...]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise InputError(f"Expected a size (H, W) of at least 1x1 pixels, but got {tuple(size)}.")


@njit(cache=True, nogil=True)
def _descend(children: NDArray[np.int32], n_leaves: int, uniforms: Uniforms, decay: float) -> int:
    """Draw a node (docs/protocol.md#drawing-a-node) with any source of uniform numbers."""
    node = 2 * n_leaves - 2
    stay = np.float32(1.0)
    while uniforms.random() <= stay and node >= n_leaves:
        node = children[node - n_leaves, 0 if uniforms.random() <= 0.5 else 1]
        stay = np.float32(stay * np.float32(decay))
    return node


@njit(cache=True, nogil=True)
def _draw(
    children: NDArray[np.int32],
    sizes: NDArray[np.int32],
    generator: np.random.Generator,
    decay: float,
    min_share: float,
    max_draws: int,
) -> int:
    n = children.shape[0] + 1
    node = 2 * n - 2
    for _ in range(max_draws):
        node = _descend(children, n, generator, decay)
        if sizes[node] / n > min_share:
            break
    return node


@njit(cache=True, nogil=True)
def _scale_up(places: NDArray[np.int32], first: int, last: int, height: int, width: int) -> NDArray[np.bool_]:
    """Where the places (h, w) are in first..last-1, at size (height, width)."""
    h, w = places.shape
    first_32, last_32 = (
        np.int32(first),
        np.int32(last),
    )  # of the width of the places: compared eight at a time
    rows = patch_of_pixels(height, h)
    columns = patch_of_pixels(width, w).astype(np.uint64)  # Numba checks the sign of other indices
    mask = np.empty((height, width), np.bool_)
    patches = np.empty(w, np.bool_)
    previous = -1
    for row in range(height):
        source = rows[row]
        if source == previous:
            for col in range(width):
                mask[row, col] = mask[row - 1, col]
            continue
        previous = source
        for col in range(w):
            patches[col] = (first_32 <= places[source, col]) & (places[source, col] < last_32)
        for col in range(width):
            mask[row, col] = patches[columns[col]]
    return mask


@njit(cache=True, nogil=True)
def _count(mask: NDArray[np.bool_], h: int, w: int) -> NDArray[np.float64]:
    height, width = mask.shape
    sources, columns = patch_of_pixels(height, h), patch_of_pixels(width, w)
    counts = np.zeros((h, w))
    rows = np.zeros(width, np.int32)  # the rows of pixels of one row of patches, added up
    for row in range(height):
        for col in range(width):
            rows[col] += mask[row, col]
        source = sources[row]
        if row + 1 == height or sources[row + 1] != source:
            for col in range(width):
                counts[source, columns[col]] += rows[col]
            rows[:] = 0
    return counts
