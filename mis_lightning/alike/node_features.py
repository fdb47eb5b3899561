"""What each node of a merge tree looks like, for all nodes at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit
from mis_lightning.merge_tree.tree import MergeTree

FEATURES = (
    "log size, in marked objects",
    "mean depth",
    "spread of the depth",
    "greatest depth",
    "least depth",
    "log growth to the parent",
    "depth lost across the border",
    "compactness",
    "fill of the ellipse of the same moments",
    "axes of that ellipse",
    "share of the border on the image's border",
)
"""What :func:`node_features` measures; colours of the description come behind."""


def node_features(
    tree: MergeTree, depth: NDArray[np.float32], colours: NDArray[np.float32], area: float
) -> NDArray[np.float32]:
    """Size, depth, contrast, shape and colour of each node.

    Args:
        tree: Of ``n`` leaves.
        depth: float32, ``(h, w)``.
        colours: Of the leaves, float32, ``(h, w, k)``.
        area: Of a marked object, in leaves.

    Returns:
        :data:`FEATURES` and the mean colours, float32, ``(2n - 1, 11 + k)``.
    """
    height, width = tree.grid
    row, col = np.mgrid[:height, :width].astype(np.float32)
    row -= height / 2  # sums of squares stay small
    col -= width / 2
    edge = np.zeros((height, width), np.float32)  # sides on the image's border
    edge[[0, -1]] += 1
    edge[:, [0, -1]] += 1
    parts = [depth, depth**2, row, col, row**2, col**2, row * col, _outflow(depth), edge]
    values = np.concatenate([np.stack(parts, axis=2), colours], axis=2).reshape(tree.n_leaves, -1)
    sums = node_sums(tree, values)
    size = tree.sizes.astype(np.float64)
    mean = sums / size[:, None]
    # A leaf is a square: 1/12 is the variance of a side.
    down = mean[:, 4] - mean[:, 2] ** 2 + 1 / 12
    across = mean[:, 5] - mean[:, 3] ** 2 + 1 / 12
    mixed = mean[:, 6] - mean[:, 2] * mean[:, 3]
    middle, half = (down + across) / 2, np.hypot((down - across) / 2, mixed)
    borders, on_edge = node_borders(tree).astype(np.float64), sums[:, 8]
    perimeter = np.maximum((borders + on_edge) * math.pi / 4, 1)  # of a digital disk
    greatest, least = _extremes(tree.children, depth.ravel())
    columns = [
        np.log(size / area),
        mean[:, 0],
        np.sqrt(np.maximum(mean[:, 1] - mean[:, 0] ** 2, 0)),
        greatest,
        least,
        np.log(size[tree.parent] / size),
        sums[:, 7] / np.maximum(borders, 1),
        4 * math.pi * size / perimeter**2,
        size / (4 * math.pi * np.sqrt(np.maximum(down * across - mixed**2, 1e-6))),
        np.sqrt(np.maximum(middle - half, 1e-3) / (middle + half)),
        on_edge / perimeter,
    ]
    return np.concatenate([np.stack(columns, axis=1), mean[:, 9:]], axis=1).astype(np.float32)


def _outflow(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each leaf exceeds its neighbours, added up.

    Inside a node the differences cancel: the sum over its leaves is that across its border.
    """
    flow = np.zeros_like(values)
    down, right = np.diff(values, axis=0), np.diff(values, axis=1)
    flow[:-1] -= down
    flow[1:] += down
    flow[:, :-1] -= right
    flow[:, 1:] += right
    return flow


def node_sums(tree: MergeTree, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Add up the values of the leaves of each node.

    Args:
        tree: A merge tree of ``n`` leaves.
        values: Of the leaves, float32, ``(n, c)``.

    Returns:
        float64, ``(2n - 1, c)``.
    """
    return _add_up(tree.children, np.ascontiguousarray(values, np.float32))


def node_borders(tree: MergeTree) -> NDArray[np.int32]:
    """Edges between a leaf of a node and a leaf outside it, for each node, int32, ``(2n - 1,)``.

    The border of the grid does not count.
    """
    return _borders(tree.children, tree.places, tree.order, tree.sizes, tree.grid[0], tree.grid[1])


@njit(cache=True, nogil=True)
def _add_up(children: NDArray[np.int32], values: NDArray[np.float32]) -> NDArray[np.float64]:
    n, channels = values.shape
    sums = np.empty((2 * n - 1, channels), np.float64)
    sums[:n] = values
    for merge in range(n - 1):
        a, b = children[merge, 0], children[merge, 1]
        for channel in range(channels):
            sums[n + merge, channel] = sums[a, channel] + sums[b, channel]
    return sums


@njit(cache=True, nogil=True)
def _borders(
    children: NDArray[np.int32],
    places: NDArray[np.int32],
    order: NDArray[np.int32],
    sizes: NDArray[np.int32],
    height: int,
    width: int,
) -> NDArray[np.int32]:
    """For each merge the leaves of the smaller child are looked at: O(n log n) leaves in all."""
    n = height * width
    borders = np.empty(2 * n - 1, np.int32)
    first = np.empty(2 * n - 1, np.int32)  # place of the first leaf of each node
    for leaf in range(n):
        row, col = leaf // width, leaf % width
        borders[leaf] = (row > 0) + (col > 0) + (row + 1 < height) + (col + 1 < width)
        first[leaf] = places[leaf]
    for merge in range(n - 1):
        a, b = children[merge, 0], children[merge, 1]
        first[n + merge] = min(first[a], first[b])
        if sizes[a] > sizes[b]:
            a, b = b, a
        low, high = first[b], first[b] + sizes[b]
        shared = 0
        for place in range(first[a], first[a] + sizes[a]):
            leaf = order[place]
            row, col = leaf // width, leaf % width
            if row > 0 and low <= places[leaf - width] < high:
                shared += 1
            if col > 0 and low <= places[leaf - 1] < high:
                shared += 1
            if row + 1 < height and low <= places[leaf + width] < high:
                shared += 1
            if col + 1 < width and low <= places[leaf + 1] < high:
                shared += 1
        borders[n + merge] = borders[a] + borders[b] - 2 * shared
    return borders


@njit(cache=True, nogil=True)
def _extremes(
    children: NDArray[np.int32], values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The greatest and the least value in each node."""
    n = len(values)
    greatest, least = np.empty(2 * n - 1, np.float32), np.empty(2 * n - 1, np.float32)
    greatest[:n] = values
    least[:n] = values
    for merge in range(n - 1):
        a, b = children[merge, 0], children[merge, 1]
        greatest[n + merge] = max(greatest[a], greatest[b])
        least[n + merge] = min(least[a], least[b])
    return greatest, least
