"""``mis bench merging``: building merge trees against scikit-learn and SciPy, on one thread, and growth.

Times are of the processor, not of the clock on the wall, and in each round every side has the processor for
about as long. A call of 2 ms made once between two of 60 ms would find the caches full of what other programs
on the machine did in the meantime; on a busy one that made it half as slow again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from time import get_clock_info, perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.bench.figure import Figure, report
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.ward import build_merge_tree

GRID_GOALS = (35.0, 40.0)  # times as fast as scikit-learn, on each of the grids
FULL_GOAL = 3.0  # times as fast as SciPy
GROWTH_GOAL = 7.0  # from one square grid to one of twice the side
FEW_CHANNELS = 8  # whose features stay in the cache at any size
BLOCK = 0.05  # seconds that a side is called again and again in each round, if one call is shorter
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
    parser.add_argument("--rounds", type=int, default=9, help="rounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options = parser.parse_args(argv)
    report(run(options.rounds), vars(options), options.json)
    return 0


def run(
    rounds: int = 9,
    grids: Sequence[tuple[int, int]] = ((24, 32), (47, 63)),
    side: int = 64,
    colour_grid: tuple[int, int] = (96, 128),
    channels: int = 384,
) -> list[Figure]:
    """Time the sides of each comparison in turn, so that a busy moment of the machine hits all.

    Args:
        rounds: Rounds, in each of which every side is called for a while.
        grids: Patches ``(h, w)`` of trees against scikit-learn; the last also with ``"full"`` against SciPy.
        side: Side of the square grid that growth to twice the side is measured from.
        colour_grid: Patches of a tree of 128 channels, as of colour and texture.
        channels: Channels of a patch, where nothing else is said.

    Returns:
        Times and ratios; a peer that is not installed is left out.

    Raises:
        InputError: There is no round.
    """
    if rounds < 1:
        raise InputError(f"Expected at least 1 round, but got {rounds}.")
    figures = []
    with one_thread():
        for grid, goal in zip(grids, GRID_GOALS, strict=False):
            name = f"grid, {_size(grid, channels)}"
            features = smooth_features(grid, channels)
            ways = {"ours": _build(grid, channels), "scikit-learn": _sklearn(features, grid)}
            figures += _against(name, "scikit-learn", _medians(ways, rounds), goal)
        name = f"any two, {_size(grid, channels)}"
        ways = {"ours": _build(grid, channels, "full"), "SciPy": _scipy(features)}
        figures += _against(name, "SciPy", _medians(ways, rounds), FULL_GOAL)
        for of_patch, growth_goal in ((channels, GROWTH_GOAL), (FEW_CHANNELS, None)):
            small, large = (side, side), (2 * side, 2 * side)
            ms = _medians({"small": _build(small, of_patch), "large": _build(large, of_patch)}, rounds)
            figures += [
                Figure(f"grid, {_size(small, of_patch)}", ms["small"], "ms"),
                Figure(f"grid, {_size(large, of_patch)}", ms["large"], "ms"),
                Figure("  growth with four times the patches", ms["large"] / ms["small"], "x", growth_goal),
            ]
        ms = _medians({"ours": _build(colour_grid, 128)}, rounds)
        figures.append(Figure(f"grid, {_size(colour_grid, 128)}", ms["ours"], "ms"))
    return figures


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


def _sklearn(features: NDArray[np.float32], grid: tuple[int, int]) -> Call | None:
    try:
        ward_tree = import_module("sklearn.cluster").ward_tree
        neighbours = import_module("sklearn.feature_extraction.image").grid_to_graph(*grid)
    except ImportError:
        return None
    return partial(ward_tree, features, connectivity=neighbours)


def _scipy(features: NDArray[np.float32]) -> Call:
    return partial(import_module("scipy.cluster.hierarchy").linkage, features, "ward")


def _medians(ways: Mapping[str, Call | None], rounds: int) -> dict[str, float]:
    """Milliseconds of a call of each way there is: medians of the rounds' means."""
    calls = {name: call for name, call in ways.items() if call is not None}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for timed in range(-1, rounds):  # the first round warms up
        for name, call in calls.items():
            count, start, spent = 0, _now(), 0.0
            while spent < BLOCK:
                call()
                count, spent = count + 1, _now() - start
            if timed >= 0:
                seconds[name].append(spent / count)
    return {name: 1e3 * median(times) for name, times in seconds.items()}


def _against(task: str, peer: str, ms: Mapping[str, float], goal: float) -> list[Figure]:
    figures = [Figure(task, ms["ours"], "ms")]
    if peer in ms:
        figures.append(Figure(f"  {peer}", ms[peer], "ms"))
        figures.append(Figure(f"  times as fast as {peer}", ms[peer] / ms["ours"], "x", goal, at_least=True))
    return figures


def _size(grid: tuple[int, ...], channels: int) -> str:
    return f"{grid[0]}x{grid[1]} patches, {channels} channels"


def one_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread, where threadpoolctl (which scikit-learn brings) is there to do so."""
    try:
        return import_module("threadpoolctl").threadpool_limits(1)  # type: ignore[no-any-return]
    except ImportError:
        return nullcontext()
