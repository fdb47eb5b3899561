"""A figure -> files."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

DPI = 300
"""Dots per inch of a PNG, and of the images inside a PDF."""

SUFFIXES = (".png", ".pdf")
"""What is written."""


def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write a figure as PNG and as PDF, byte-identical for the same figure.

    Args:
        figure: Any figure.
        path: Where, without a suffix (``.png`` and ``.pdf`` are taken off); folders are made where missing.

    Returns:
        The files written, the PNG first.
    """
    path = Path(path)
    stem = path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context({"pdf.fonttype": 42}):  # publishers refuse the default, type 3
        for suffix in SUFFIXES:
            file = path.with_name(stem + suffix)
            metadata = {"CreationDate": None} if suffix == ".pdf" else None
            figure.savefig(file, dpi=DPI, metadata=metadata)
            written.append(file)
    return written
