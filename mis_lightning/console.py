"""Console output: readable in any encoding, one-line notes, no noise from other libraries."""

from __future__ import annotations

import codecs
import io
import logging
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from mis_lightning.errors import Note

T = TypeVar("T")

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
    quiet_libraries()


def quiet_libraries() -> None:
    """Keep back what Lightning says of itself, tips and defaults; again after its import, which undoes it.

    Which processes have joined a run over several devices or machines is still said.
    """
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric.utilities.distributed").setLevel(logging.INFO)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun.

    >>> counted(1, "image"), counted(1200, "image"), counted(0, "entry", "entries")
    ('1 image', '1200 images', '0 entries')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def told(
    items: Iterable[T], total: int, what: str, unit: str, seconds: float = 10.0, done: int = 0
) -> Iterator[T]:
    """Hand items on, and show how many of them are done: as a bar, or redirected as a line now and then.

    Args:
        items: Of anything that takes long.
        total: Their number.
        what: What is done to them.
        unit: What one of them is.
        seconds: Between two lines.
        done: How many of them were done before; ``items`` are the others.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, unit=unit, leave=False, initial=done)
        return
    last = time.monotonic()
    for number, item in enumerate(items, done + 1):
        yield item
        if number == total or time.monotonic() - last >= seconds:
            last = time.monotonic()
            print(f"{what}: {number} of {counted(total, unit)}", file=sys.stderr, flush=True)


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
