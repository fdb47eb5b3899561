"""``mis bench merging``: building and sampling merge trees against scikit-learn and SciPy, on one thread.

Times are of the processor, not of the clock on the wall, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from time import get_clock_info, perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.sampling import node_mask, sample_node
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.merge_tree.ward import build_merge_tree

_DRAWS = 200  # regions sampled in one timed call
_now = process_time if get_clock_info("process_time").resolution < 1e-6 else perf_counter
Call = Callable[[], object]


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench merging``.

    Args:
        argv: The words after the command.

    Returns:
        0.

    Raises:
        InputError: An option is out of range.
    """
    parser = argparse.ArgumentParser(prog="mis bench merging", description="Time merge trees, on one thread.")
    parser.add_argument("--rounds", type=int, default=7, help="timed calls of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options = parser.parse_args(argv)
    rows = run(options.rounds)
    print(f"{'task':<36}{'ms':>10}   {'against':<32}{'ms':>10}{'ratio':>8}")
    for row in rows:
        if row["against_ms"] is None:
            theirs = f"{'not installed':>18}"
        else:
            theirs = f"{row['against_ms']:>10.3f}{row['ratio']:>8.2f}"
        print(f"{row['task']:<36}{row['ms']:>10.3f}   {row['against']:<32}{theirs}")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def run(
    rounds: int = 7,
    grids: Sequence[tuple[int, int]] = ((24, 32), (47, 63)),
    sides: tuple[int, int] = (64, 128),
    colour_grid: tuple[int, int] = (100, 200),
    sampled_grid: tuple[int, int] = (192, 192),
    channels: int = 384,
) -> list[dict[str, Any]]:
    """Time the two sides of each comparison in turn, so that a busy moment of the machine hits both.

    Args:
        rounds: Timed calls of each side.
        grids: Patches ``(h, w)`` of trees against scikit-learn; the last also with ``"full"`` against SciPy.
        sides: Two square grids whose times show the growth.
        colour_grid: Patches of a tree of few channels.
        sampled_grid: Patches of the tree that regions are drawn from.
        channels: Channels of a patch, where they are not few.

    Returns:
        One row per comparison: ``task``, ``ms``, ``against``, ``against_ms`` (medians), and ``ratio``, the
        second time by the first; the last two are ``None`` where a peer is not installed.

    Raises:
        InputError: There is no round.
    """
    if rounds < 1:
        raise InputError(f"Expected at least 1 round, but got {rounds}.")
    with _one_thread():
        rows = []
        for grid in grids:
            features = smooth_features(grid, channels)
            peer = _sklearn(features, grid)
            rows.append(
                _compare("grid, " + _size(grid, channels), _build(grid, channels), "sklearn", peer, rounds)
            )
        full = _build(grid, channels, "full")
        rows.append(_compare("full, " + _size(grid, channels), full, "scipy", _scipy(features), rounds))
        for case, other in (
            (((sides[0],) * 2, channels), ((sides[1],) * 2, channels)),
            ((colour_grid, 6), (colour_grid, 40)),
        ):
            against = "ours, " + _size(*other)
            rows.append(_compare("grid, " + _size(*case), _build(*case), against, _build(*other), rounds))
        tree = build_merge_tree(smooth_features(sampled_grid, 8), sampled_grid)
        pixels = (8 * sampled_grid[0], 8 * sampled_grid[1])
        row = _compare(
            f"region of {_size(sampled_grid)}",
            partial(_draw, tree, sampled_grid),
            f"ours, as mask of {_size(pixels)} pixels",
            partial(_draw, tree, pixels),
            rounds,
        )
        rows.append(row | {"ms": row["ms"] / _DRAWS, "against_ms": row["against_ms"] / _DRAWS})
    return rows


def smooth_features(grid: tuple[int, int], channels: int) -> NDArray[np.float32]:
    """Features ``(h * w, channels)`` that vary over the grid as an image's do: 24 waves mixed, and noise."""
    generator = np.random.default_rng(0)
    rows, cols = (part.ravel()[:, None] for part in np.mgrid[0 : grid[0], 0 : grid[1]])
    down, across = generator.uniform(-0.4, 0.4, (2, 24))
    waves = np.cos(rows * down + cols * across + generator.uniform(0, 7, 24))
    features = waves @ generator.standard_normal((24, channels)) / 5
    return (features + 0.5 * generator.standard_normal(features.shape)).astype(np.float32)


def _build(grid: tuple[int, int], channels: int, connectivity: Any = "grid") -> Call:
    return partial(build_merge_tree, smooth_features(grid, channels), grid, connectivity)


def _draw(tree: MergeTree, size: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    for _ in range(_DRAWS):
        node_mask(tree, sample_node(tree, generator), size)


def _sklearn(features: NDArray[np.float32], grid: tuple[int, int]) -> Call | None:
    try:
        ward_tree = import_module("sklearn.cluster").ward_tree
        neighbours = import_module("sklearn.feature_extraction.image").grid_to_graph(*grid)
    except ImportError:
        return None
    return partial(ward_tree, features, connectivity=neighbours)


def _scipy(features: NDArray[np.float32]) -> Call:
    return partial(import_module("scipy.cluster.hierarchy").linkage, features, "ward")


def _compare(task: str, ours: Call, against: str, theirs: Call | None, rounds: int) -> dict[str, Any]:
    calls = [ours] if theirs is None else [ours, theirs]
    seconds: list[list[float]] = [[] for _ in calls]
    for timed in range(-1, rounds):  # the first round warms up
        for call, times in zip(calls, seconds, strict=True):
            start = _now()
            call()
            if timed >= 0:
                times.append(_now() - start)
    ms = [median(times) * 1e3 for times in seconds]
    row: dict[str, Any] = {"task": task, "ms": ms[0], "against": against, "against_ms": None, "ratio": None}
    return row if theirs is None else row | {"against_ms": ms[1], "ratio": ms[1] / ms[0]}


def _size(grid: tuple[int, ...], channels: int | None = None) -> str:
    return "x".join(map(str, grid)) + ("" if channels is None else f", {channels} channels")


def _one_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread, where threadpoolctl (which scikit-learn brings) is there to do so."""
    try:
        return import_module("threadpoolctl").threadpool_limits(1)  # type: ignore[no-any-return]
    except ImportError:
        return nullcontext()
