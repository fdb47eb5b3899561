"""Segmentation of images from given clicks. Failures are reported and do not stop the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mis_lightning.annotation.actions import ClickAction
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.formats.overlap import Overlap
from mis_lightning.formats.slice_view import Axis
from mis_lightning.formats.volume_files import is_volume, open_slices
from mis_lightning.images import ReadImage, Reading
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.structures import Click


class ObjectRequest(NamedTuple):
    """One object: its name, ``None`` where it has none, and its clicks in order."""

    name: str | None
    clicks: tuple[Click, ...]


class ClickRequest:
    """One image, or one slice of a volume, and the clicks to answer on it.

    Not a collection or dataclass, so that Lightning hands it through as it is.

    Args:
        path: The file.
        key: What its annotation is kept under: the path inside the folder, and the slice.
        reading: How the pixels become bytes; of a volume its ``window`` and one channel count.
        slice: Number of the slice of a volume.
        axis: Across which a volume is cut.
        overlap: How overlaps of its objects are resolved; ``"allow"``: each object as if it were alone.

    Attributes:
        objects: In the order in which they first occur.
        done: Whether the answer is known already; whoever knows sets it.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        reading: Reading,
        slice: int | None = None,
        axis: Axis = "axial",
        overlap: Overlap = "allow",
    ) -> None:
        self.path, self.key, self.reading, self.slice, self.axis = path, key, reading, slice, axis
        self.overlap: Overlap = overlap
        self.objects: tuple[ObjectRequest, ...] = ()
        self.done = False

    def read(self) -> ReadImage:
        """The image.

        Raises:
            InputError: It cannot be read, or there is no such slice.
        """
        if not is_volume(self.path):
            if self.slice is not None and self.path.is_file():
                raise InputError(
                    f"Expected clicks without a `slice` on {self.path}, which is one image, but got slice "
                    f"{self.slice}."
                )
            return self.reading.read(self.path)
        if self.slice is None:
            raise InputError(f"Expected a `slice` with the clicks on the volume {self.path}.")
        return open_slices(self.path, self.axis, self.reading).read(self.slice, self.reading)

    def answer(self, segmenter: Segmenter[Any]) -> ClickAnswer:
        """Answer the clicks. Errors are part of the result, so that other requests continue."""
        if self.done:
            return ClickAnswer(self)
        try:
            session = AnnotationSession(self.read(), segmenter, overlap=self.overlap, name=self.key)
            for name, clicks in self.objects:
                session.add_object(name)
                for click in clicks:
                    session.click(*click)
            return ClickAnswer(self, session.record())
        except InputError as error:
            return ClickAnswer(self, failure=str(error))
        except Exception as error:
            return ClickAnswer(self, failure=f"{type(error).__name__}: {error}")

    def is_answered(self, store: AnnotationStore, segmenter: Segmenter[Any]) -> bool:
        """Whether a store has the result of exactly these clicks by this segmenter.

        The image is not looked at: delete the record of one that was changed.
        """
        try:
            log = store.read(self.key).log
        except InputError:  # there is none, or it is damaged
            return False
        if log.reading != self.reading.settings().get("reading", {}):
            return False
        empty = AnnotationSession(np.zeros((1, 1, 3), np.uint8), segmenter, overlap=self.overlap, name="")
        if (log.model, log.settings, log.overlap) != (segmenter.identity, empty.settings, self.overlap):
            return False
        asked = [
            (name.strip() if name is not None else f"object {k}", tuple(ClickAction(*c) for c in clicks))
            for k, (name, clicks) in enumerate(self.objects, 1)
        ]
        return asked == [(one.name, one.actions) for one in log.objects]


@dataclass(frozen=True)
class ClickAnswer:
    """The result of a request.

    Attributes:
        request: The request.
        record: Clicks and masks; ``None`` where it was done before, or failed.
        failure: Why it failed.
    """

    request: ClickRequest
    record: AnnotationRecord | None = None
    failure: str | None = None
