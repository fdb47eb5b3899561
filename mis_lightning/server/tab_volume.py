"""The slices of a volume as one tab has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.annotation.volume_objects import VolumeObjects
from mis_lightning.errors import InputError
from mis_lightning.server.library import Entry
from mis_lightning.server.shared_state import SharedState
from mis_lightning.server.workspace import Workspace, revision


class TabVolume(VolumeObjects):
    """A volume in a tab: its slices are images of the library, and every change of one becomes a draft.

    Args:
        workspace: The tab; its lock is held.
        entries: The slices, in order.
        grows: Whether changes add to the click logs, which have a limit.
    """

    def __init__(self, workspace: Workspace, entries: Sequence[Entry], grows: bool = False) -> None:
        self._workspace, self._entries, self._grows = workspace, entries, grows

    @classmethod
    def of(cls, workspace: Workspace, entry: Entry, grows: bool = False) -> TabVolume:
        """The volume that a slice is of.

        Raises:
            InputError: The image is no slice of a volume.
        """
        if entry.slice is None:
            raise InputError(f"Expected a slice of a volume, but {entry.name} is an image.")
        return cls(workspace, workspace.shared.library.slices_of(entry), grows)

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, k: int) -> AnnotationSession:
        """The session of slice ``k``."""
        return self._workspace.open(self._entries[k])

    def opened(self, k: int) -> AnnotationSession | None:
        """The session of slice ``k`` if it is in memory."""
        workspace = self._workspace
        kept = workspace.shared.sessions.get((workspace.folder, self._entries[k].key))
        return kept.session if kept is not None else None

    def change(self, k: int, action: Callable[[AnnotationSession], Any]) -> None:
        """Do something to the session of slice ``k``, as a draft of the tab."""
        seen = revision(self.open(k))
        self._workspace.change(self._entries[k], seen, action, grows=self._grows)

    def record(self, k: int) -> AnnotationRecord | None:
        """The draft of slice ``k``, or the result."""
        return read_record(self._workspace, self._entries[k])


def read_record(workspace: Workspace, entry: Entry) -> AnnotationRecord | None:
    """What a tab has of an image: draft, result or the masks of before, read once for each state of the file.

    Raises:
        InputError: It is damaged.
    """
    for store in (workspace.drafts, workspace.shared.results):
        try:
            status = (store.folder / f"{entry.name}.json").stat()
        except FileNotFoundError:
            continue
        return _read(store, entry.name, status.st_mtime_ns, status.st_size)
    return _begun(workspace.shared, entry) if workspace.shared.has_begun(entry) else None


@lru_cache(maxsize=4096)
def _read(store: AnnotationStore, name: str, modified: int, size: int) -> AnnotationRecord:
    return store.read(name)


@lru_cache(maxsize=4096)
def _begun(shared: SharedState, entry: Entry) -> AnnotationRecord:
    """The masks that were there before."""
    return shared.begin(entry).record()
