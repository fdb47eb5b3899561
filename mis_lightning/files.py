"""Atomic file writes, and whether there can be any."""

from __future__ import annotations

import os
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` when the block ends well.

    A reader finds the old file or the new one, never half of it. The temporary name is hidden and tells which
    process on which machine writes it, for :func:`sweep`; it does not hold the name of ``path``, which may be
    as long as a name can be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = zlib.crc32(os.fsencode(path.name))
    temporary = path.with_name(f".{digest:08x}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def try_writing(folder: Path) -> None:
    """Find out whether files can be written in a folder, or in one that is not there yet; nothing is left.

    Raises:
        OSError: They cannot.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    finally:
        for one in missing:
            with suppress(OSError):
                one.rmdir()


def sweep(folder: Path) -> None:
    """Remove partial files left by killed processes on this machine; running ones are left alone."""
    name = re.compile(rf"\.[0-9a-f]{{8}}\.{re.escape(socket.gethostname())}\.(\d+)\.tmp")
    for path in folder.rglob(".*.tmp"):
        match = name.fullmatch(path.name)
        if match and not _is_alive(int(match[1])):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    """Whether a process runs on this machine; true if that cannot be determined."""
    if os.name != "posix":
        return True  # os.kill would end it there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
