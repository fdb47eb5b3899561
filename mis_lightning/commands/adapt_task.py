"""What ``mis adapt`` was asked for, where it keeps what it has done, and what it says in the end."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mis_lightning.commands import options
from mis_lightning.errors import InputError
from mis_lightning.files import written_whole
from mis_lightning.formats.slice_view import Axis
from mis_lightning.metrics.functional import number_of_clicks
from mis_lightning.metrics.report import bootstrap_intervals
from mis_lightning.metrics.summary import summarise


class Task:
    """What was asked for, and where it is kept: the model in ``out``, the run in ``out/training``."""

    def __init__(self, given: argparse.Namespace, extra: Sequence[str]) -> None:
        self.images: Path = given.images.expanduser()
        self.masks: Path | None = given.masks
        self.replay: Path | None = given.replay
        self.out: Path = given.out
        self.model: str = given.model
        self.steps: int | None = given.steps
        self.share: float = given.share
        self.hold_back: float = given.hold_back
        self.measured: int = given.measured
        self.seed: int = given.seed
        self.min_area: int = given.min_area
        self.ignore_label: int | None = given.ignore_label
        self.reading = options.reading(given)
        self.axis: Axis = given.axis
        self.extra = list(extra)
        for name, least in (("steps", 2), ("measured", 1), ("seed", 0), ("min_area", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"Expected --{name.replace('_', '-')} of at least {least}, but got {value}.")
        if not 0 < self.share <= 1:
            raise InputError(f"Expected --share in (0, 1], but got {self.share}.")
        self.folder = self.out / "training"
        self.last = self.folder / "checkpoints" / "last.ckpt"
        self.record = self.out / "adaptation.json"

    def begin(self) -> None:
        """Write down what was asked for; a run that was stopped must have been asked for the same.

        What was asked for in vain, because a path was wrong, does not count.

        Raises:
            InputError: The folder holds something else, or what another command began.
        """
        file = self.folder / "task.json"
        paths = {name: getattr(self, name) for name in ("images", "masks", "replay")}
        asked = {
            **{name: path and str(path.absolute()) for name, path in paths.items()},
            **{name: getattr(self, name) for name in ("model", "steps", "share", "hold_back", "seed")},
            **{name: getattr(self, name) for name in ("measured", "min_area", "ignore_label", "axis")},
            "reading": self.reading.settings().get("reading"),
            "more": self.extra,
        }
        if not file.is_file():
            if self.out.is_file() or (self.out.is_dir() and any(self.out.iterdir())):
                raise InputError(f"Expected a new or empty folder in --out, but {self.out} is not empty.")
            write_json(file, asked)
            return
        before = json.loads(file.read_text(encoding="utf-8"))
        if not (self.last.is_file() or (self.folder / "before.json").is_file() or self.record.is_file()):
            write_json(file, asked)
            return
        changed = sorted(name for name in asked if name in before and asked[name] != before[name])
        if changed:
            shown = "; ".join(f"{name} was {before[name]}, is {asked[name]}" for name in changed)
            raise InputError(
                f"{self.out} holds an adaptation with other settings ({shown}). "
                "Choose another --out, or delete that folder."
            )


def report(task: Task, record: dict[str, Any]) -> str:
    """Say how the model compares before and after, what that means, and what to type next.

    Args:
        task: What was asked for.
        record: With ``before`` and ``after``, each a list of objects with their ``ious``; both may be empty.
    """
    before, after = ([one["ious"] for one in record[when]] for when in ("before", "after"))
    adapted = f"The adapted model is in {task.out}."
    use = shlex.join(["mis", "annotate", str(task.images), "--model", str(task.out)])
    if not before:
        return f"{adapted} Nothing could be held back to measure it with.\nNext: {use}"
    what = "objects" if task.masks is not None else "regions of the merge trees"
    lines = [f"\nOn {len(before)} {what} that were held back (mean clicks of a simulated user, at most 20):"]
    lines.append(f"{'':8}{'NoC@80':>8}{'NoC@85':>8}{'NoC@90':>8}{'IoU@1':>8}")
    for label, curves in (("before", before), ("after", after)):
        row = summarise(curves)
        clicks = "".join(f"{row[f'noc@{t}']:8.2f}" for t in (80, 85, 90))
        lines.append(f"{label:8}{clicks}{row['iou@1']:8.3f}")
    noc = [np.array([number_of_clicks(c, 0.85) for c in curves], float) for curves in (before, after)]
    change = noc[1] - noc[0]
    low, high = bootstrap_intervals({"change": change}, np.random.default_rng(0))["change"]
    lines.append(f"change of NoC@85: {change.mean():+.2f}, 95 % interval {low:+.2f} to {high:+.2f}")
    if task.masks is None:
        lines.append(
            "Regions are not objects: clicks on objects may change differently. A few masks would tell: "
            "--masks."
        )
    if change.mean() < 0:
        unsure = "" if high < 0 else " The interval contains 0: it may be chance; hold back more to tell."
        return "\n".join([*lines, f"{adapted}{unsure}", f"Next: {use}"])
    lines.append(f"No better than before: keep {task.model}. {adapted} More masks may help.")
    keep = shlex.join(["mis", "annotate", str(task.images), "--model", task.model])
    return "\n".join([*lines, f"Next: {keep}"])


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
