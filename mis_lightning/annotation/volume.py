"""One volume, several objects, one user.

>>> from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter
>>> slices = [np.zeros((40, 60, 3), np.uint8) for _ in range(3)]
>>> for k, one in enumerate(slices):
...     one[10 + k : 30 + k, 10:40] = 200
>>> volume = VolumeSession(slices, MergeTreeSegmenter())
>>> volume.click(1, 20, 20)
>>> [part.slice for part in volume.propagate(1, start=1)]
[2, 0]
>>> [bool(volume.labels()[k, 12, 20]) for k in range(3)]
[True, True, False]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.log import check_name
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.annotation.volume_objects import VolumeObjects
from mis_lightning.errors import InputError
from mis_lightning.formats.overlap import Overlap
from mis_lightning.formats.volume_slices import VolumeSlices
from mis_lightning.images import Reading
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter


class VolumeSession(VolumeObjects):
    """The slices of a volume, each with an :class:`~mis_lightning.annotation.session.AnnotationSession`.

    Args:
        slices: A volume, or images of one size: paths, arrays or PIL images.
        segmenter: Answers the clicks; ``None``: the merge tree of each slice.
        store: Keeps every change at once, and gives what it has of the volume already.
        name: Of the volume, for logs and the store; that of its file if there is one. Slice 12 of an axial
            ``ct.nii.gz`` is ``ct.nii.gz#axial-12``, as on the page and by ``mis predict``.
        overlap: Who gets a pixel that several objects want.
        reading: How images become bytes; a :class:`~mis_lightning.formats.volume_slices.VolumeSlices` has its
            window.

    Attributes:
        active: Id of the object that clicks go to; ``None`` where there is none.

    Raises:
        InputError: There is no slice.
    """

    def __init__(
        self,
        slices: VolumeSlices | Sequence[Any],
        segmenter: Segmenter[Any] | None = None,
        *,
        store: AnnotationStore | None = None,
        name: str | None = None,
        overlap: Overlap = "keep",
        reading: Reading | None = None,
    ) -> None:
        if not len(slices):
            raise InputError("Expected a volume of at least one slice, but got none.")
        volume = slices.path.name if isinstance(slices, VolumeSlices) else "volume"
        axis = slices.axis if isinstance(slices, VolumeSlices) else "slice"
        self._slices, self._store, self._overlap = slices, store, overlap
        self._prefix = f"{volume if name is None else name}#{axis}-"
        self._reading = reading if reading is not None else Reading()
        self._tree = segmenter if isinstance(segmenter, MergeTreeSegmenter) else MergeTreeSegmenter()
        self._segmenter: Segmenter[Any] = segmenter if segmenter is not None else self._tree
        self._sessions: dict[int, AnnotationSession] = {}
        self._named: dict[int, str] = {}  # made, perhaps on no slice yet
        self.active: int | None = max(self.names(), default=None)

    def __len__(self) -> int:
        return len(self._slices)

    def key(self, k: int) -> str:
        """What slice ``k`` is called in the store."""
        return f"{self._prefix}{k}"

    def open(self, k: int) -> AnnotationSession:
        """The session of slice ``k``; to be changed by :meth:`act` and :meth:`change` only.

        Raises:
            InputError: There is no such slice, or it or its annotation cannot be read.
        """
        if not 0 <= k < len(self):
            raise InputError(f"Expected a slice in 0..{len(self) - 1}, but got {k}.")
        if k not in self._sessions:
            key, slices = self.key(k), self._slices
            image = (
                slices.read(k, self._reading)
                if isinstance(slices, VolumeSlices)
                else self._reading.read(slices[k])
            )
            if self._store is not None and key in self._store:
                self._sessions[k] = self._store.load(key, image, self._segmenter, tree=self._tree, name=key)
            else:
                self._sessions[k] = AnnotationSession(
                    image, self._segmenter, tree=self._tree, name=key, overlap=self._overlap
                )
        return self._sessions[k]

    def change(self, k: int, action: Callable[[AnnotationSession], Any]) -> None:
        """Do something to the session of slice ``k``; the store keeps it."""
        session = self.open(k)
        action(session)
        if self._store is not None:
            self._store.save(self.key(k), session)

    def record(self, k: int) -> AnnotationRecord | None:
        """What there is of slice ``k``; ``None`` where there is nothing."""
        if k in self._sessions:
            return self._sessions[k].record()
        key = self.key(k)
        return self._store.read(key) if self._store is not None and key in self._store else None

    def opened(self, k: int) -> AnnotationSession | None:
        """The session of slice ``k`` if it is in memory."""
        return self._sessions.get(k)

    def names(self) -> dict[int, str]:
        """Name of each object, by id, in the order of the ids."""
        return dict(sorted({**self._named, **super().names()}.items()))

    def next_id(self) -> int:
        """An id that no object of the volume has had."""
        return max(super().next_id(), 1 + max(self._named, default=0))

    def add_object(self, name: str | None = None) -> int:
        """Make an object, on no slice yet, and select it; returns its id.

        Raises:
            InputError: The name does not fit.
        """
        number = self.next_id()
        self._named[number] = check_name(name if name is not None else f"object {number}")
        self.active = number
        return number

    def rename(self, id: int, name: str, apart_from: int | None = None) -> None:
        """Rename an object on all slices, but one that is done already.

        Raises:
            InputError: There is no such object, or the name does not fit.
        """
        super().rename(id, check_name(name), apart_from)
        if id in self._named:
            self._named[id] = check_name(name)

    def delete(self, id: int) -> None:
        """Remove an object from all slices, for good; another becomes active if it was the active one.

        Raises:
            InputError: There is no such object.
        """
        super().delete(id)
        self._named.pop(id, None)
        if self.active == id:
            self.active = max(self.names(), default=None)

    def act(self, k: int, action: Callable[[AnnotationSession], Any]) -> None:
        """Do something to the active object on slice ``k``; without any the first one begins.

        Args:
            k: Number of the slice.
            action: Is given the session of the slice, in which the object is active: it may click, draw a
                box, load a mask, ….

        Raises:
            InputError: There is no such slice, or the action does not fit.
        """
        id = self.active if self.active is not None else self.add_object()
        if not self.open(k).has(id) or self.open(k).active != id:
            self.join(k, id)
        self.change(k, action)

    def click(self, k: int, row: float, col: float, positive: bool = True) -> None:
        """Click on slice ``k``, for the active object; without any the first one begins.

        Raises:
            InputError: There is no such slice, or the click is not on it.
        """
        self.act(k, lambda session: session.click(row, col, positive))

    def labels(self) -> NDArray[np.uint16]:
        """The ids of the objects, uint16, ``(slices, H, W)``; 0 where there is none."""
        labels = np.zeros((len(self), *self.open(0).shape), np.uint16)
        for k, record in self._records():
            labels[k] = record.labels
        return labels

    def save_labels(self, path: str | Path) -> None:
        """Write the ids as a label volume, in the format and on the grid of the volume.

        Raises:
            InputError: The slices are not those of a file, or the name does not end as those of its format
                do.
        """
        if not isinstance(self._slices, VolumeSlices):
            raise InputError("Expected the slices of a volume file for a label volume; use `labels()`.")
        volume = self._slices.empty_labels()
        for k, record in self._records():
            volume[k] = record.labels
        volume.save(path)
