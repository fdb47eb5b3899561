"""The sessions that a server keeps in memory, of all tabs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from math import prod
from pathlib import Path
from typing import NamedTuple

from mis_lightning.annotation.session import AnnotationSession

OPEN_PIXELS = 150_000_000
"""Pixels of all sessions kept in memory, about 12 bytes each; others are read from their drafts again."""


class Opened(NamedTuple):
    """A session in memory.

    Attributes:
        session: The session.
        result: Digest of the result that it knows of.
        state: Of the file of the image when it was read.
    """

    session: AnnotationSession
    result: str
    state: tuple[int, int]


class OpenSessions:
    """The sessions used last, of all tabs. One that is put out is read from its draft when it is needed."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[Path, str], Opened] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[Path, str]) -> Opened | None:
        """A session, if it is open."""
        with self._lock:
            if key in self._sessions:
                self._sessions.move_to_end(key)
            return self._sessions.get(key)

    def put(self, key: tuple[Path, str], opened: Opened) -> None:
        """Keep a session, and evict others if there are too many."""
        with self._lock:
            self._sessions[key] = opened
            pixels = sum(prod(one.session.shape) for one in self._sessions.values())
            while pixels > OPEN_PIXELS and len(self._sessions) > 1:
                _, gone = self._sessions.popitem(last=False)
                pixels -= prod(gone.session.shape)

    def drop(self, key: tuple[Path, str]) -> None:
        """Forget a session."""
        with self._lock:
            self._sessions.pop(key, None)
