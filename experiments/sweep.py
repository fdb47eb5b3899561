"""Train and test every point of a wandb sweep file, without wandb or an account.

    python experiments/sweep.py configs/sweeps/connectivity.yaml -- --data.images path/to/SBD/dataset

Runs ``mis fit`` and ``mis test`` for one point after the other, each in a folder of its own, and prints what
``mis report`` makes of them. Started again it goes on where it was: finished points are kept, a training run
continues from its last checkpoint. ``--dry-run`` prints the commands. What follows ``--`` is given to every
run after all else, e.g. ``--trainer.max_epochs 1``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mis_lightning.commands.paper_runs import MIS, commands

# What only a run under `wandb agent` needs: its logger, the metric of the sweep, a folder of its own.
ONLY_WANDB = (
    "loggers/wandb",
    "evaluation/during_training",
    "validate_at_the_end.yaml",
    "${oc.env:WANDB_RUN_ID}",
)


@dataclass(frozen=True)
class Point:
    """One point of a sweep.

    Attributes:
        name: Of its folder, from what differs between the points.
        args: Of ``mis fit``, as ``wandb agent`` would give them, but with a logger of files.
    """

    name: str
    args: tuple[str, ...]


def read_points(path: Path) -> list[Point]:
    """Read the points of a grid.

    Args:
        path: A wandb sweep file: ``method: grid``, parameters with ``value`` or ``values``, and a ``command``
            of ``${program}``, ``fit``, options, ``${args}``.

    Returns:
        All combinations, the last parameter fastest.

    Raises:
        ValueError: The file holds something else.
    """
    try:
        sweep = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as a sweep file: {error}") from error
    if not isinstance(sweep, dict) or not isinstance(sweep.get("parameters"), dict):
        raise ValueError(f"Expected a wandb sweep with `parameters` in {path}.")
    if sweep.get("method") != "grid" or sweep.get("program") != "mis":
        raise ValueError(f"Expected `method: grid` and `program: mis` in {path}.")
    command = [str(word) for word in sweep.get("command") or ()]
    if command[:2] != ["${program}", "fit"] or "${args}" not in command:
        raise ValueError(f"Expected `command: [${{program}}, fit, ..., ${{args}}]` in {path}.")
    fixed, varied = {}, {}
    for key, law in sweep["parameters"].items():
        if isinstance(law, dict) and "value" in law:
            fixed[key] = law["value"]
        elif isinstance(law, dict) and isinstance(law.get("values"), list) and law["values"]:
            varied[key] = law["values"]
        else:
            raise ValueError(f"Expected `value` or `values` of the parameter {key} in {path}: it is a grid.")
    grid = [dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]
    points = [Point(_name(chosen), _args(command[2:], {**fixed, **chosen})) for chosen in grid]
    if len({point.name for point in points}) < len(points):
        raise ValueError(f"{path} holds two points of one name: {[point.name for point in points]}.")
    return points


def _name(chosen: Mapping[str, Any]) -> str:
    """``{a.b: grid, c.d: {model: x}, config: e/f.yaml}`` -> ``grid,x,f``: values alone, names stay short."""
    values: list[str] = []
    for key, value in chosen.items():
        text = Path(value).stem if key == "config" else value
        values += [str(v) for v in (text.values() if isinstance(text, Mapping) else [text])]
    return re.sub(r"[^\w.,=-]+", "-", ",".join(values)) or "only"


def _args(command: Sequence[str], parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """What ``wandb agent`` would run, without its logger and without variables that are not set."""
    args: list[str] = []
    for word in command:
        variables = re.findall(r"\$\{envvar:(\w+)\}", word)
        if word == "${args}":
            args += [f"--{key}={value}" for key, value in parameters.items()]
        elif word.endswith(ONLY_WANDB) or any(name not in os.environ for name in variables):
            continue
        else:
            args.append(re.sub(r"\$\{envvar:(\w+)\}", lambda found: os.environ[found[1]], word))
    return tuple(args)


def main(args: Sequence[str] | None = None) -> int:
    """Run the sweep; the exit status is that of the first command that failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, help="a wandb sweep file, e.g. configs/sweeps/connectivity.yaml")
    parser.add_argument("--folder", type=Path, help="where the runs go (default: runs/sweeps/<file name>)")
    parser.add_argument("--evaluate", type=Path, action="append", default=[], help="e.g. evaluation/natural")
    parser.add_argument("--only", default="", help="only points whose name contains this")
    parser.add_argument("--dry-run", action="store_true", help="print the commands")
    words = list(sys.argv[1:] if args is None else args)
    extra = words[words.index("--") + 1 :] if "--" in words else []
    given = parser.parse_args(words[: words.index("--")] if "--" in words else words)
    try:
        points = [point for point in read_points(given.sweep) if given.only in point.name]
    except ValueError as error:
        parser.error(str(error))
    if not points:
        parser.error(f"No point of {given.sweep} has {given.only!r} in its name.")
    folder: Path = given.folder or Path("runs/sweeps") / given.sweep.stem
    for number, point in enumerate(points, 1):
        place = folder / point.name
        todo = commands(point.args, place, given.evaluate, extra)
        if given.dry_run:
            print("\n".join(shlex.join(command) for command in todo) or f"# {place} is finished")
            continue
        print(f"[{number}/{len(points)}] {point.name}" + ("" if todo else ": finished already"), flush=True)
        if todo and (problem := _claim(place, [*point.args, *extra])):
            parser.error(problem)
        for command in todo:
            print(f"$ {shlex.join(command)}", flush=True)
            status = subprocess.run(command, check=False).returncode
            if status:
                print(f"[{number}/{len(points)}] {point.name} failed; start again to go on.", file=sys.stderr)
                return status
    return 0 if given.dry_run else subprocess.run([*MIS, "report", str(folder)], check=False).returncode


def _claim(place: Path, args: list[str]) -> str | None:
    """Note the options of a point in its folder; or say that the folder belongs to others."""
    note = place / "point.json"
    if note.is_file() and (before := json.loads(note.read_text(encoding="utf-8"))) != args:
        return (
            f"{place} holds a run with other options ({shlex.join(before)}); choose another --folder, or "
            "delete it."
        )
    place.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(args) + "\n", encoding="utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main())
