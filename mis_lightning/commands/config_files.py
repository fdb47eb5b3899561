"""Config files by name: ``--config cpu`` is ``cpu.yaml`` of the configs that the package ships."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from mis_lightning.errors import InputError

FOLDER = Path(__file__).parents[1] / "configs"
SHOWN_NAMES = 3  # of the nearest names in a message
_OPTIONS = ("--config", "-c")
# A name or a path. Anything else is YAML on the command line, which jsonargparse reads.
_NAME = re.compile(r"[\w.+~/\\ -]+")


def config_names() -> list[str]:
    """Return the names of the configs in the package, e.g. ``cpu`` and ``sources/tokencut``."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))


def find_config(name: str) -> str:
    """Return the path of a config file.

    Args:
        name: A path, or the name of a config in the package: its path below ``mis_lightning/configs`` without
            the suffix. A file of that name comes first.

    Raises:
        InputError: There is no such file and no such name; the message holds the nearest names.
    """
    if Path(name).is_file() or not _NAME.fullmatch(name):
        return name
    names = config_names()
    if name in names:
        return str(FOLDER / f"{name}.yaml")
    raise InputError(
        f"Expected a file or the name of a config of the package in `--config`, but got {name!r}. "
        f"Nearest names: {', '.join(_nearest(name, names))}; all of them are in {FOLDER}."
    )


def with_config_files(args: Sequence[str]) -> list[str]:
    """Replace the value of each ``--config`` option by the path of its file.

    Args:
        args: Arguments of a command.

    Raises:
        InputError: As of :func:`find_config`.
    """
    found: list[str] = []
    for arg in args:
        option, given, value = arg.partition("=")
        if found and found[-1] in _OPTIONS:
            found.append(find_config(arg))
        elif given and option in _OPTIONS:
            found.append(f"{option}={find_config(value)}")
        else:
            found.append(arg)
    return found


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """Names like the given one, whole or in their last part, the nearest first."""
    wanted = re.sub(r"\.(ya?ml|json)$", "", name.replace("\\", "/")).rpartition("configs/")[2]

    def likeness(known: str) -> float:
        pairs = ((wanted, known), (wanted.rpartition("/")[2], known.rpartition("/")[2]))
        return max(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)

    return sorted(names, key=likeness, reverse=True)[:SHOWN_NAMES]
