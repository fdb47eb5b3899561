"""``mis bench all``: every part in a process of its own, then one table of the goals and one JSON."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mis_lightning.bench.figure import Figure, from_json, system, table, to_json
from mis_lightning.bench.precompute import GOAL as PRECOMPUTE_GOAL
from mis_lightning.errors import InputError

PARTS = (
    *("merging", "sampling", "refine", "precompute", "simulate", "loss", "evaluate", "startup", "memory"),
    "page",
)
NEED_IMAGES = ("precompute", "memory")


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench all``.

    Returns:
        0, also where goals are missed; 1 if a part could not be run.

    Raises:
        InputError: ``--only`` names no part.
    """
    options = argparse.ArgumentParser(prog="mis bench all", description=__doc__)
    options.add_argument(
        "--images", help="folder of images for precompute and memory (default: $MIS_DATA_DIR/coco_unlabelled)"
    )
    options.add_argument("--only", nargs="+", default=list(PARTS), metavar="PART", help="some of the parts")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    given = options.parse_args(argv)
    for part in given.only:
        if part not in PARTS:
            raise InputError(f"Expected --only with parts out of {', '.join(PARTS)}, but got {part!r}.")
    before = system()
    contents: dict[str, Any] = {}
    failures: dict[str, str] = {}
    for part in given.only:
        print(f"\n== {part}", flush=True)
        images = given.images or _usual_images()
        if part in NEED_IMAGES and images is None:
            failures[part] = "no images: pass --images DIR, or set MIS_DATA_DIR"
            print(f"not run: {failures[part]}")
            continue
        words = ["--images", images] if part in NEED_IMAGES and images is not None else []
        content, failure = run_part(part, words)
        if failure:
            failures[part] = failure
        else:
            contents[part] = content
    figures = {part: figures_of(content) for part, content in contents.items()}
    goals = [_named(part, figure) for part in figures for figure in figures[part] if figure.goal is not None]
    print(f"\n== goals: {sum(bool(goal.reached) for goal in goals)} of {len(goals)} reached")
    print(table(goals))
    for part, failure in failures.items():
        print(f"{part}: not run ({failure})")
    if given.json is not None:
        everything = {
            "system": {"before": before, "after": system()},
            "goals": to_json(goals),
            "not_run": failures,
            "parts": contents,
        }
        given.json.write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")
    return 1 if failures else 0


def run_part(part: str, words: Sequence[str]) -> tuple[Any, str]:
    """Run one part; return the content of its JSON, and why there is none, empty if there is."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "figures.json")
        command = [sys.executable, "-m", "mis_lightning", "bench", part, *words, "--json", str(file)]
        status = subprocess.run(command, check=False).returncode
        if status != 0 or not file.exists():
            return None, f"`mis bench {' '.join([part, *words])}` ended with status {status}"
        return json.loads(file.read_text(encoding="utf-8")), ""


def figures_of(content: Mapping[str, Any]) -> list[Figure]:
    """Return the figures in a part's JSON; those of ``precompute`` are told by their arrangement."""
    figures = content["figures"]
    if isinstance(figures, dict):
        return [
            Figure(f"pipeline against its bound: {name}", cost["ratio"], "x", PRECOMPUTE_GOAL)
            for name, cost in figures.items()
        ]
    return from_json(figures)


def _named(part: str, figure: Figure) -> Figure:
    return Figure(f"{part}: {figure.what.strip()}", figure.value, figure.unit, figure.goal, figure.at_least)


def _usual_images() -> str | None:
    usual = Path(os.environ.get("MIS_DATA_DIR", ""), "coco_unlabelled")
    return str(usual) if "MIS_DATA_DIR" in os.environ and usual.is_dir() else None
