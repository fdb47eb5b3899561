"""Console output: readable in any encoding, one-line notes, no noise from other libraries."""

from __future__ import annotations

import codecs
import io
import logging
import sys
import warnings
from typing import TextIO

from mis_lightning.errors import Note

_PLAIN = {"≥": ">=", "≤": "<=", "×": "x", "…": "...", "→": "->", "–": "-", "’": "'", "·": "-"}
_LIBRARIES = ("lightning.pytorch", "lightning.fabric", "lightning_utilities")


def prepare() -> None:
    r"""Set up the console output of this process.

    Characters that the console cannot show are written plainly or as ``\\u753b``, where Python would stop.
    Warnings that are no :class:`~mis_lightning.errors.Note` are for programmers: they are kept back unless
    Python is told otherwise (``-W``, ``PYTHONWARNINGS``).
    """
    codecs.register_error("mis_plainly", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="mis_plainly")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", Note)
    warnings.showwarning = _show
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun.

    >>> counted(1, "image"), counted(1200, "image"), counted(0, "entry", "entries")
    ('1 image', '1200 images', '0 entries')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    backslashed = (one.encode("ascii", "backslashreplace").decode() for one in text)
    return "".join(_PLAIN.get(one, shown) for one, shown in zip(text, backslashed, strict=True)), error.end


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, Note):
        print(f"note: {message}", file=file or sys.stderr)
    else:
        print(
            warnings.formatwarning(message, category, filename, lineno, line), file=file or sys.stderr, end=""
        )
