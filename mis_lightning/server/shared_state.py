"""What all tabs of a server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.formats.overlap import Overlap
from mis_lightning.learning.workbench import Workbench
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.server.begun_masks import BegunMasks
from mis_lightning.server.library import Entry, Library
from mis_lightning.server.open_sessions import OpenSessions
from mis_lightning.server.windows import Window


@dataclass(frozen=True)
class SharedState:
    """What all tabs of a server share."""

    library: Library
    results: AnnotationStore
    segmenter: Segmenter[Any]
    overlap: Overlap
    sessions: OpenSessions
    begun: BegunMasks | None = None
    learning: Workbench | None = None

    def offer(self, entry: Entry, session: AnnotationSession, ids: list[int]) -> None:
        """Let the model learn from finished objects, if it learns."""
        if self.learning is not None:
            self.learning.offer_objects(entry.name, session, ids)

    def has_begun(self, entry: Entry) -> bool:
        """Whether an image has masks that were there before."""
        return self.begun is not None and self.begun.has(entry.path, entry.slice)

    def begin(self, entry: Entry, window: Window | None = None) -> AnnotationSession:
        """A session of an image that nothing is kept of: the masks that were there before, or nothing.

        Raises:
            InputError: The image or its masks cannot be read.
        """
        session = AnnotationSession(
            self.library.read(entry, window), self.segmenter, overlap=self.overlap, name=entry.name
        )
        if self.begun is not None and self.has_begun(entry):
            self.begun.begin(session, entry.path, entry.slice)
        return session
