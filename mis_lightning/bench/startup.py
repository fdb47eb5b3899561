"""``mis bench startup``: how long until something happens in a fresh process, files and kernels cached."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from mis_lightning.bench.figure import Figure, report
from mis_lightning.errors import InputError

# Each merges, and then prints the time of day.
OURS = """
import time, numpy as np
from mis_lightning.merge_tree.ward import build_merge_tree
build_merge_tree(np.random.default_rng(0).standard_normal(({n}, 384)).astype(np.float32), ({h}, {w}))
print(time.time())
"""
THEIRS = """
import time, numpy as np
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph
features = np.random.default_rng(0).standard_normal(({n}, 384)).astype(np.float32)
ward_tree(features, connectivity=grid_to_graph({h}, {w}))
print(time.time())
"""
HELP_GOAL, IMPORT_GOAL, MERGE_GOAL = 2.0, 1.0, 1.0  # seconds


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench startup``.

    Raises:
        InputError: An option is out of range.
    """
    options = argparse.ArgumentParser(prog="mis bench startup", description=__doc__)
    options.add_argument(
        "--rounds", type=int, default=5, help="processes of each kind (default: %(default)s)"
    )
    options.add_argument(
        "--grid", type=int, nargs=2, default=(47, 63), metavar=("H", "W"), help="patches (default: 47 63)"
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    if min(given.rounds, *given.grid) < 1:
        raise InputError("Expected --rounds and --grid of at least 1.")
    report(measure(given.rounds, tuple(given.grid)), vars(given), given.json)
    return 0


def measure(rounds: int, grid: tuple[int, int]) -> list[Figure]:
    """Time the processes in turn; the first of each kind fills the caches and does not count."""
    sizes = {"n": grid[0] * grid[1], "h": grid[0], "w": grid[1]}
    commands = {
        "python, nothing": ["-c", "pass"],
        "help": ["-m", "mis_lightning", "--help"],
        "import": ["-c", "import mis_lightning"],
        "merge": ["-c", OURS.format(**sizes)],
    }
    if importlib.util.find_spec("sklearn") is not None:
        commands["merge, sklearn"] = ["-c", THEIRS.format(**sizes)]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for timed in range(-1, rounds):
        for name, words in commands.items():
            start = time.time()
            run = subprocess.run([sys.executable, *words], check=True, capture_output=True, encoding="utf-8")
            end = float(run.stdout) if name.startswith("merge") else time.time()
            if timed >= 0:
                seconds[name].append(end - start)
    medians = {name: median(times) for name, times in seconds.items()}
    patches = f"{grid[0]}x{grid[1]} patches"
    figures = [
        Figure("mis --help", medians["help"], "s", HELP_GOAL),
        Figure("import mis_lightning", medians["import"], "s", IMPORT_GOAL),
        Figure(
            f"from the start of a process to a merge tree of {patches}", medians["merge"], "s", MERGE_GOAL
        ),
        Figure("  python that does nothing", medians["python, nothing"], "s"),
    ]
    if "merge, sklearn" in medians:
        figures.append(Figure("  the same with scikit-learn", medians["merge, sklearn"], "s"))
    return figures
