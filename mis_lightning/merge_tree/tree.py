"""The merge tree of one image: every region that bottom-up merging of its patches passed through.

Nodes are numbered as in scikit-learn: the leaves (patches) are ``0..n-1`` in row-major order, merge ``i``
makes node ``n + i`` out of ``children[i]``, and the root, the whole image, is ``2n - 2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mis_lightning.compiled import njit
from mis_lightning.errors import InputError


@dataclass(frozen=True, eq=False)
class MergeTree:
    """A binary tree of nested regions over a grid of patches.

    Trees made by :func:`~mis_lightning.merge_tree.ward.build_merge_tree` are sound; call :meth:`validate` on
    one made of data from outside, such as a file.

    Attributes:
        children: int32, ``(n - 1, 2)``: the two nodes that merge ``i`` joined into node ``n + i``.
        cost: float32, ``(n - 1,)``: the linkage cost of each merge, ``>= 0`` (docs/protocol.md#linkage-cost).
            In a tree of merges between neighbours a merge may cost less than an earlier one.
        grid: The patches as ``(height, width)``.

    Example:
        >>> tree = MergeTree(np.int32([[0, 1], [2, 3]]), np.float32([0.5, 2.0]), (1, 3)).validate()
        >>> tree.root, tree.leaves(3).tolist(), tree.mask(3).tolist()
        (4, [0, 1], [[True, True, False]])
        >>> tree.cut(2).tolist()
        [[0, 0, 1]]
    """

    children: NDArray[np.int32]
    cost: NDArray[np.float32]
    grid: tuple[int, int]

    @property
    def n_leaves(self) -> int:
        """Number of patches ``n``."""
        return self.grid[0] * self.grid[1]

    @property
    def n_nodes(self) -> int:
        """Number of nodes, ``2n - 1``."""
        return 2 * self.n_leaves - 1

    @property
    def root(self) -> int:
        """The node that holds the whole image."""
        return self.n_nodes - 1

    @cached_property
    def _layout(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        return _lay_out(self.children, self.n_leaves)

    @property
    def sizes(self) -> NDArray[np.int32]:
        """Leaves in each node, int32, ``(2n - 1,)``."""
        return self._layout[0]

    @property
    def places(self) -> NDArray[np.int32]:
        """Place of each leaf in an ordering where every node is a slice (:meth:`span`), int32, ``(n,)``."""
        return self._layout[1][: self.n_leaves]

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """The leaf at each place, int32, ``(n,)``: depth first, first children first."""
        order = np.empty(self.n_leaves, np.int32)
        order[self.places] = np.arange(self.n_leaves, dtype=np.int32)
        return order

    @cached_property
    def parent(self) -> NDArray[np.int32]:
        """Parent of each node, int32, ``(2n - 1,)``; the root is its own parent."""
        return _parents(self.children, self.n_leaves)

    @cached_property
    def depth(self) -> NDArray[np.int32]:
        """Steps from the root to each node, int32, ``(2n - 1,)``."""
        return _depths(self.children, self.n_leaves)

    def size(self, node: int) -> int:
        """Number of leaves under ``node``."""
        return int(self.sizes[self._checked(node)])

    def span(self, node: int) -> tuple[int, int]:
        """First place and one past the last place of the leaves under ``node``."""
        first = int(self._layout[1][self._checked(node)])
        return first, first + int(self.sizes[node])

    def leaves(self, node: int) -> NDArray[np.int32]:
        """Leaves under ``node``, int32, ``(size,)``, first child's first.

        A slice of :attr:`order`: a view, not to be written to.
        """
        first, last = self.span(node)
        return self.order[first:last]

    def mask(self, node: int) -> NDArray[np.bool_]:
        """The patches under ``node``, bool, ``(h, w)``."""
        first, last = self.span(node)
        return ((self.places >= first) & (self.places < last)).reshape(self.grid)

    def ancestors(self, node: int) -> NDArray[np.int32]:
        """The nodes from ``node`` itself up to the root, int32, ``(depth + 1,)``."""
        return _path_up(self.parent, self._checked(node))

    def cut(self, k: int) -> NDArray[np.int32]:
        """The ``k`` regions left when the last ``k - 1`` merges are undone.

        It is the order of merging that counts, not the cost: where merges between neighbours cost less than
        earlier ones, no single threshold on the cost gives the same regions.

        Args:
            k: Number of regions, in ``1..n``.

        Returns:
            Labels ``0..k-1``, int32, ``(h, w)``, numbered as they first appear in row-major order.

        Raises:
            InputError: ``k`` is not in ``1..n``.
        """
        if not 1 <= k <= self.n_leaves:
            raise InputError(f"Expected `k`, the number of regions, in 1..{self.n_leaves}, but got {k}.")
        return _cut(self.children, self.n_leaves, k).reshape(self.grid)

    def best_node(
        self, inside: NDArray[np.generic], total: NDArray[np.generic] | None = None
    ) -> tuple[int, float]:
        """The node whose region has the highest IoU with a mask, over all nodes, in O(n).

        Args:
            inside: A bool mask of patches ``(h, w)``, or for each patch the number of its pixels inside a
                mask of pixels, in which case the IoU is that of the mask of pixels
                (:func:`~mis_lightning.merge_tree.sampling.leaf_counts` counts them).
            total: The number of pixels of each patch that count, ``(h, w)``; ``None``: one each.

        Returns:
            The node, the lowest-numbered of equals, and its IoU in ``[0, 1]`` (0 where nothing is inside).

        Raises:
            InputError: A shape is not the tree's grid, or ``total`` is missing for counts above one.
        """
        inside_counts = self._per_leaf(inside, "inside")
        total_counts = np.ones(self.n_leaves) if total is None else self._per_leaf(total, "total")
        if not ((inside_counts >= 0) & (inside_counts <= total_counts)).all():
            raise InputError(
                "Expected `inside` between 0 and `total` for each patch, but got more inside than in total; "
                "pass `total`, the number of pixels of each patch."
            )
        node, iou = _best_node(self.children, inside_counts, total_counts)
        return int(node), float(iou)

    def validate(self) -> MergeTree:
        """Check a tree made of data from outside.

        Returns:
            The tree itself.

        Raises:
            InputError: Shapes or types do not fit the grid, a cost is negative or not finite, or the children
                are not a binary tree in which each node is made before it is used and is used once.
        """
        if not (len(self.grid) == 2 and all(isinstance(s, int) and s > 0 for s in self.grid)):
            raise InputError(f"Expected `grid` as two positive whole numbers, but got {self.grid!r}.")
        n = self.n_leaves
        for name, array, dtype, shape in (
            ("children", self.children, np.int32, (n - 1, 2)),
            ("cost", self.cost, np.float32, (n - 1,)),
        ):
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
                raise InputError(
                    f"Expected `{name}` of a {self.grid[0]}x{self.grid[1]} merge tree as {np.dtype(dtype)} "
                    f"{shape}, but got {getattr(array, 'dtype', type(array))} {np.shape(array)}."
                )
        if _is_sound(self.children, self.cost):  # in one pass; what follows finds out what is wrong
            return self
        if not (np.isfinite(self.cost) & (self.cost >= 0)).all():
            raise InputError("Expected finite linkage costs of at least 0 in `cost` of a merge tree.")
        made = np.arange(n, 2 * n - 1)[:, None]  # the node that each row makes
        if ((self.children < 0) | (self.children >= made)).any():
            row = int(((self.children < 0) | (self.children >= made)).any(axis=1).argmax())
            raise InputError(
                f"Expected merge {row} to join nodes in 0..{n + row - 1}, but got "
                f"{self.children[row].tolist()}; build the merge tree again."
            )
        used = np.bincount(self.children.ravel(), minlength=self.root)
        if (used != 1).any():
            node = int((used != 1).argmax())
            raise InputError(
                f"Expected every node but the root to be joined once, but node {node} is joined {used[node]} "
                "times; build the merge tree again."
            )
        return self

    def _checked(self, node: int) -> int:
        if not 0 <= node < self.n_nodes:
            raise InputError(f"Expected a node of the merge tree in 0..{self.root}, but got {node}.")
        return node

    def _per_leaf(self, values: NDArray[np.generic], name: str) -> NDArray[np.float64]:
        values = np.asarray(values)
        if values.shape != tuple(self.grid):
            raise InputError(
                f"Expected `{name}` of the tree's grid {self.grid}, but got shape {values.shape}."
            )
        return np.ascontiguousarray(values, np.float64).ravel()


@njit(cache=True, nogil=True)
def _is_sound(children: NDArray[np.int32], cost: NDArray[np.float32]) -> bool:
    """Whether costs are finite and at least 0, and each node is made before it is used, and used once."""
    n = len(children) + 1
    used = np.zeros(2 * n - 1, np.bool_)
    sound = True
    for i in range(n - 1):
        sound &= 0 <= cost[i] < np.inf
        for child in (children[i, 0], children[i, 1]):
            if not 0 <= child < n + i:
                return False
            sound &= not used[child]
            used[child] = True
    return sound


@njit(cache=True, nogil=True)
def _lay_out(children: NDArray[np.int32], n: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Size of each node, and its first place in an ordering of the leaves in which every node is a slice."""
    # unsigned indices spare Numba the handling of negative ones: half the time, and it counts at each sample
    one, leaves, nodes = np.uint64(1), np.uint64(n), children.view(np.uint32)
    sizes = np.ones(2 * n - 1, np.int32)
    for i in range(leaves - one):
        sizes[leaves + i] = sizes[np.uint64(nodes[i, 0])] + sizes[np.uint64(nodes[i, 1])]
    places = np.zeros(2 * n - 1, np.int32)
    for back in range(one, leaves):
        i = leaves - one - back
        place = places[leaves + i]
        first = np.uint64(nodes[i, 0])
        places[first] = place
        places[np.uint64(nodes[i, 1])] = place + sizes[first]
    return sizes, places


@njit(cache=True, nogil=True)
def _parents(children: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    parent = np.empty(2 * n - 1, np.int32)
    for i in range(n - 1):
        parent[children[i, 0]] = n + i
        parent[children[i, 1]] = n + i
    parent[2 * n - 2] = 2 * n - 2
    return parent


@njit(cache=True, nogil=True)
def _depths(children: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    depth = np.zeros(2 * n - 1, np.int32)
    for i in range(n - 2, -1, -1):
        depth[children[i, 0]] = depth[n + i] + 1
        depth[children[i, 1]] = depth[n + i] + 1
    return depth


@njit(cache=True, nogil=True)
def _path_up(parent: NDArray[np.int32], node: int) -> NDArray[np.int32]:
    length = 1
    above = node
    while parent[above] != above:
        above = parent[above]
        length += 1
    path = np.empty(length, np.int32)
    for step in range(length):
        path[step] = node
        node = parent[node]
    return path


@njit(cache=True, nogil=True)
def _cut(children: NDArray[np.int32], n: int, k: int) -> NDArray[np.int32]:
    """Labels of the ``k`` regions of :meth:`MergeTree.cut`, int32, ``(n,)``."""
    first_undone = 2 * n - k  # nodes from here on are taken apart
    region = np.arange(2 * n - 1).astype(np.int32)
    for i in range(first_undone - n - 1, -1, -1):
        region[children[i, 0]] = region[n + i]
        region[children[i, 1]] = region[n + i]
    label_of = np.full(2 * n - 1, -1, np.int32)
    labels = np.empty(n, np.int32)
    n_labels = 0
    for leaf in range(n):
        node = region[leaf]
        if label_of[node] < 0:
            label_of[node] = n_labels
            n_labels += 1
        labels[leaf] = label_of[node]
    return labels


@njit(cache=True, nogil=True)
def _best_node(
    children: NDArray[np.int32], inside: NDArray[np.float64], total: NDArray[np.float64]
) -> tuple[int, float]:
    n = inside.shape[0]
    hit = np.empty(2 * n - 1)
    area = np.empty(2 * n - 1)
    wanted = 0.0
    for leaf in range(n):
        hit[leaf] = inside[leaf]
        area[leaf] = total[leaf]
        wanted += inside[leaf]
    best, best_iou = 0, 0.0
    for node in range(2 * n - 1):
        if node >= n:
            first, second = children[node - n]
            hit[node] = hit[first] + hit[second]
            area[node] = area[first] + area[second]
        union = area[node] + wanted - hit[node]
        if hit[node] > best_iou * union:
            best, best_iou = node, hit[node] / union
    return best, best_iou
