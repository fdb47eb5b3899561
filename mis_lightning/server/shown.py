"""The annotations of a tab as one folder, for exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError

if TYPE_CHECKING:
    from mis_lightning.server.workspace import Workspace


class Shown(AnnotationStore):
    """What a tab shows of all images, drafts before results; to be read.

    Args:
        workspace: The tab.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.folder, label_maps=False)
        self._entries = {entry.name: entry for entry in workspace.shared.library.refresh()}
        self._workspace = workspace

    def classes(self) -> tuple[str, ...]:
        """Those of the results, which all tabs share."""
        return self._workspace.shared.results.classes()

    def keys(self) -> list[str]:
        """The names of the images that something is kept of."""
        return [name for name, entry in self._entries.items() if self._workspace.saved(entry) != "none"]

    def read(self, key: str) -> AnnotationRecord:
        """What the tab shows of an image.

        Raises:
            InputError: There is nothing, or it is damaged.
        """
        record = self._workspace.record(self._entries[key])
        if record is None:
            raise InputError(f"There is no annotation of {key}.")
        return record
