"""Click models inside the package: small ones, trained without a label by a recipe of this project."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "assets" / "models"
DEFAULT = "mis-small"
"""The model that `mis annotate` and ``ClickPredictor.from_pretrained()`` open when none is named."""


def shipped_models() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir()) if FOLDER.is_dir() else []


def shipped_folder(source: str | Path) -> Path | None:
    """The folder of a shipped model; ``None`` where ``source`` is not the name of one.

    Args:
        source: A name as in :func:`shipped_models`. A file or folder of that name in the working directory
            goes first.
    """
    name = str(source)
    return FOLDER / name if name in shipped_models() and not Path(name).exists() else None
