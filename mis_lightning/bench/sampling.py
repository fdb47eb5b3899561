"""``mis bench sampling``: drawing a region of a merge tree, and loading a stored one, against the plain way.

The plain way descends by a Python loop, collects the leaves below the node with a stack, and brings their
mask to the image's size with ``cv2.resize``; it loads an ``.npz`` file. Times are of the processor, on one
thread.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import process_time
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.bench.figure import Figure, report
from mis_lightning.bench.merging import smooth_features
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.sampling import node_mask, sample_node
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.regions.store import RegionStore

SAMPLE_GOAL, LOAD_GOAL = 100.0, 1.0  # µs and ms
PIXELS = 8  # pixels a patch, of the larger mask


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench sampling``.

    Raises:
        InputError: An option is out of range.
    """
    options = argparse.ArgumentParser(prog="mis bench sampling", description=__doc__.split("\n")[0])
    options.add_argument("--side", type=int, default=192, help="patches of a side (default: %(default)s)")
    options.add_argument("--draws", type=int, default=100, help="draws in a call (default: %(default)s)")
    options.add_argument("--rounds", type=int, default=9, help="timed calls of each (default: %(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    for name in ("side", "draws", "rounds"):
        if getattr(given, name) < 1:
            raise InputError(f"Expected --{name} of at least 1, but got {getattr(given, name)}.")
    cv2.setNumThreads(1)
    report(measure(given.side, given.draws, given.rounds), vars(given), given.json)
    return 0


def measure(side: int, draws: int, rounds: int) -> list[Figure]:
    """Time sampling and loading a tree of ``side * side`` patches, and the plain way of both, in turn."""
    tree = build_merge_tree(smooth_features((side, side), 8), (side, side))
    grid, image = (side, side), (PIXELS * side, PIXELS * side)
    with tempfile.TemporaryDirectory() as folder:
        store = RegionStore(folder, {"source": "bench"})
        store.save("tree", tree)
        np.savez(f"{folder}/tree.npz", children=tree.children, cost=tree.cost)
        times = _interleaved(
            {
                "grid": lambda: _draw(tree, grid, draws),
                "plain grid": lambda: _draw_plainly(tree, grid, draws),
                "image": lambda: _draw(tree, image, draws),
                "plain image": lambda: _draw_plainly(tree, image, draws),
                "load": lambda: [store.load("tree") for _ in range(draws)],
                "plain load": lambda: [_load_plainly(f"{folder}/tree.npz") for _ in range(draws)],
                "load and draw": lambda: [_first_draw(store, grid) for _ in range(draws)],
            },
            rounds,
        )
    us = {name: 1e6 * seconds / draws for name, seconds in times.items()}
    patches, pixels = f"{side}x{side} patches", f"{image[0]}x{image[1]} pixels"
    return [
        Figure(f"region, mask of {patches}", us["grid"], "µs", SAMPLE_GOAL),
        Figure("  plain Python and NumPy", us["plain grid"], "µs"),
        Figure(f"region, mask of {pixels}", us["image"], "µs"),
        Figure("  plain Python and cv2.resize", us["plain image"], "µs"),
        Figure(f"loading a stored tree of {patches}, checked", us["load"] / 1e3, "ms", LOAD_GOAL),
        Figure("  plain np.load of an .npz, not checked", us["plain load"] / 1e3, "ms"),
        Figure("loading it and drawing a first region", us["load and draw"] / 1e3, "ms"),
    ]


def _interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for timed in range(-1, rounds):  # the first round warms up
        for name, way in ways.items():
            start = process_time()
            way()
            if timed >= 0:
                seconds[name].append(process_time() - start)
    return {name: median(values) for name, values in seconds.items()}


def _draw(tree: MergeTree, size: tuple[int, int], draws: int) -> None:
    generator = np.random.default_rng(0)
    for _ in range(draws):
        node_mask(tree, sample_node(tree, generator), size)


def _first_draw(store: RegionStore, size: tuple[int, int]) -> NDArray[np.bool_]:
    tree = cast(MergeTree, store.load("tree"))  # it was saved as one
    return node_mask(tree, sample_node(tree, np.random.default_rng(0)), size)


def _draw_plainly(tree: MergeTree, size: tuple[int, int], draws: int) -> None:
    generator = np.random.default_rng(0)
    for _ in range(draws):
        plain_region(tree, size, generator)


def plain_region(tree: MergeTree, size: tuple[int, int], generator: np.random.Generator) -> NDArray[np.bool_]:
    """docs/protocol.md#drawing-a-node literally, with the same draws as :func:`sample_node`."""
    n, children = tree.n_leaves, tree.children
    leaves: list[int] = []
    for _ in range(100):
        node, stay = 2 * n - 2, np.float32(1)
        while generator.random() <= stay and node >= n:
            node = int(children[node - n, 0 if generator.random() <= 0.5 else 1])
            stay = np.float32(stay * np.float32(0.9))
        leaves, stack = [], [node]
        while stack:
            here = stack.pop()
            if here < n:
                leaves.append(here)
            else:
                stack.extend(children[here - n].tolist())
        if len(leaves) / n > 0.05:
            break
    mask = np.zeros(n, np.uint8)
    mask[leaves] = 1
    grid = mask.reshape(tree.grid)
    if size == tree.grid:
        return grid.view(np.bool_)
    return cv2.resize(grid, size[::-1], interpolation=cv2.INTER_NEAREST).view(np.bool_)


def _load_plainly(file: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    with np.load(file) as arrays:
        return arrays["children"], arrays["cost"]
