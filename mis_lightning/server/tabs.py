"""Which tab belongs to which browser; kept on disk, so that it survives a restart of the server."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path

from mis_lightning.server.shared_state import SharedState
from mis_lightning.server.workspace import Workspace

MAX_TABS = 4096
"""Most workspaces kept in memory; the work of others is on disk."""
_JUST_NOW = 10.0  # seconds in which a tab that was handed out is not handed out again


class Tabs:
    """The tabs of all browsers.

    Args:
        folder: Of all drafts; one folder for each browser, named by a digest of its session, so that nobody
            who reads the folder can take the session over.
        shared: What all tabs share.
    """

    def __init__(self, folder: Path, shared: SharedState) -> None:
        self.folder = folder
        self.shared = shared
        self._workspaces: OrderedDict[tuple[str, str], Workspace] = OrderedDict()
        self._given: dict[Path, float] = {}
        self._lock = threading.Lock()

    def claim(self, session: str, tab: str | None, in_use: Collection[str]) -> str:
        """Assign a tab to a page.

        Args:
            session: Of the browser.
            tab: The page's own, if it has one.
            in_use: Those of other pages that are open.

        Returns:
            Its own; else the one with the youngest drafts that nobody uses; else a new one.
        """
        home = self._home(session)
        if tab is not None:
            with self._lock:
                self._given[home / tab] = time.monotonic()
            return tab
        with self._lock:
            now = time.monotonic()
            self._given = {path: when for path, when in self._given.items() if now - when < _JUST_NOW}
            idle = [
                path
                for path in (home.iterdir() if home.is_dir() else [])
                if re.fullmatch("[0-9a-f]{16}", path.name)
                and path.name not in in_use
                and path not in self._given
                and any(path.rglob("*.json"))
            ]
            youngest = max(idle, key=lambda path: path.stat().st_mtime, default=home / secrets.token_hex(8))
            self._given[youngest] = now
        return youngest.name

    def leave(self, session: str, tab: str) -> None:
        """Note that the page of a tab was closed: the next page may have it at once."""
        with self._lock:
            self._given.pop(self._home(session) / tab, None)

    def workspace(self, session: str, tab: str) -> Workspace:
        """The workspace of a tab. Nothing is written before its first change."""
        with self._lock:
            key = session, tab
            if key not in self._workspaces:
                self._workspaces[key] = Workspace(self._home(session) / tab, self.shared)
            self._workspaces.move_to_end(key)
            while len(self._workspaces) > MAX_TABS:
                self._workspaces.popitem(last=False)
            return self._workspaces[key]

    def _home(self, session: str) -> Path:
        return self.folder / hashlib.sha256(session.encode()).hexdigest()[:32]
