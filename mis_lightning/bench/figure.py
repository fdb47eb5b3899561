"""A measured number beside its goal; tables and JSON of such numbers, and the machine they come from."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "numba", "torch", "opencv-python-headless", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        what: What was measured.
        value: The number.
        unit: Its unit; ``"x"`` for a ratio.
        goal: What it should reach; ``None`` for a peer, or where there is none.
        at_least: Whether the value should be no less than the goal, not no more.
    """

    what: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; ``None`` without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def table(figures: Sequence[Figure]) -> str:
    """Lay the figures out, one a line, with goal and verdict.

    >>> print(table([Figure("help", 1.25, "s", goal=2.0), Figure("help, peer", 3.0, "s")]))
    help                                                              1.25 s    at most 2        reached
    help, peer                                                           3 s
    """
    lines = []
    for figure in figures:
        line = f"{figure.what:<56}{figure.value:>14.4g} {figure.unit:<5}"
        if figure.goal is not None:
            bound = f"{'at least' if figure.at_least else 'at most'} {figure.goal:g}"
            line += f"{bound:<17}{'reached' if figure.reached else 'MISSED'}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def to_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return the figures as JSON values."""
    return [{**asdict(figure), "reached": figure.reached} for figure in figures]


def from_json(entries: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Return the figures that :func:`to_json` wrote."""
    return [Figure(**{k: v for k, v in entry.items() if k != "reached"}) for entry in entries]


def system() -> dict[str, Any]:
    """Return the machine, the installed versions, and the current load."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }


def report(figures: Sequence[Figure], settings: Mapping[str, Any], file: Path | None) -> None:
    """Print the table, and write it to a JSON file if one is given."""
    print(table(figures))
    if file is not None:
        content = {
            "settings": {name: value for name, value in settings.items() if name != "json"},
            "system": system(),
            "figures": to_json(figures),
        }
        file.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
