"""Large images in tiles that overlap: every object lies whole in the tile whose core holds its middle."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

SIDE = 640
"""Longest side of a tile, in leaves; a margin is shared by neighbours."""


class Tile(NamedTuple):
    """A part of an image.

    Attributes:
        rows: The part's rows.
        cols: The part's columns.
        core: ``(top, bottom, left, right)``: pixels that no other tile's core holds, the last ones excluded.
    """

    rows: slice
    cols: slice
    core: tuple[int, int, int, int]

    def holds(self, row: float, col: float) -> bool:
        """Whether the core holds a place of the image."""
        top, bottom, left, right = self.core
        return bool(top <= row < bottom and left <= col < right)


def tiles(shape: tuple[int, int], margin: int, side: int = SIDE) -> list[Tile]:
    """Cut an image into tiles, the fewest that there can be.

    Args:
        shape: ``(h, w)`` of the image.
        margin: Two neighbours share at least twice as much, at most a quarter of the side.
        side: Of a tile, at most.

    Example:
        >>> [(t.rows, t.core[:2]) for t in tiles((100, 40), margin=10, side=60)]
        [(slice(0, 60, None), (0, 50)), (slice(40, 100, None), (50, 100))]
    """
    margin = min(margin, side // 4)
    down, across = (_intervals(length, margin, side) for length in shape)
    return [
        Tile(slice(*rows), slice(*cols), (*rows_core, *cols_core))
        for rows, rows_core in down
        for cols, cols_core in across
    ]


def _intervals(length: int, margin: int, side: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where the tiles along one axis begin and end, and their cores."""
    if length <= side:
        return [((0, length), (0, length))]
    count = math.ceil((length - 2 * margin) / (side - 2 * margin))
    starts = np.linspace(0, length - side, count).astype(int).tolist()
    cuts = [0, *((a + side + b) // 2 for a, b in pairwise(starts)), length]
    return [((start, start + side), core) for start, core in zip(starts, pairwise(cuts), strict=True)]
