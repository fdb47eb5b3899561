"""Files that are written wholly or not at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` if the block ends well.

    A reader finds the old file or the new one, never half of it. What a killed process leaves is hidden and
    named after machine and process, for :func:`sweep`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left half written below ``folder``."""
    for path in folder.rglob(f".*.{socket.gethostname()}.*.tmp"):
        process = path.name.rsplit(".", 2)[1]
        if not Path(f"/proc/{process}").exists():
            path.unlink(missing_ok=True)
