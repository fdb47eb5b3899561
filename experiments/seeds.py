"""Mean and spread over the seeds of a sweep, as Markdown.

    python experiments/seeds.py runs/sweeps/recipe

The points of ``experiments/recipe/sweep.yaml`` are folders ``<seed>,<variant>`` that hold
``evaluation/results.json``; unfinished ones are left out. A cell is the mean over the seeds, with the lowest
and highest of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

VALUES = ("noc@85", "noc@90", "iou@1", "iou@5", "iou@10")


def main(args: Sequence[str] | None = None) -> int:
    """Print the table of a folder; 1 if nothing in it is finished."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the sweep")
    folder: Path = parser.parse_args(args).folder
    found = read(folder)
    if not found:
        print(f"No point of {folder} is finished: expected <seed>,<variant>/evaluation/results.json.")
        return 1
    for benchmark, variants in found.items():
        print(f"{table(benchmark, variants)}\n")
    return 0


Runs = dict[str, dict[str, list[dict[str, float]]]]
"""By benchmark and variant the values of each seed."""


def read(folder: Path) -> Runs:
    """The finished points of a sweep."""
    found: Runs = {}
    for path in sorted(folder.glob("*,*/evaluation/results.json")):
        _, _, variant = path.parents[1].name.partition(",")
        for benchmark, result in json.loads(path.read_text(encoding="utf-8"))["benchmarks"].items():
            found.setdefault(benchmark, defaultdict(list))[variant].append(result["values"])
    return found


def table(benchmark: str, variants: dict[str, list[dict[str, float]]]) -> str:
    """One benchmark in Markdown, the variant with the lowest NoC@85 first."""
    shown = [name.replace("noc", "NoC").replace("iou", "IoU") for name in VALUES]
    lines = [f"| {benchmark} | seeds | {' | '.join(shown)} |", f"|{'---|' * (len(VALUES) + 2)}"]
    for variant, runs in sorted(variants.items(), key=lambda item: np.mean([r["noc@85"] for r in item[1]])):
        cells = []
        for name in VALUES:
            values = [run[name] for run in runs]
            digits = 2 if name.startswith("noc") else 3
            spread = f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.{digits}f}{spread}")
        lines.append(f"| {variant.replace('_', ' ')} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
