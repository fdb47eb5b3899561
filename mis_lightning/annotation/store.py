"""A folder of annotations: for each image ``<image>.json`` and ``<image>.png``.

The JSON file, the click log with the masks, is authoritative. The PNG, an indexed label map, is for other
programs and is regenerated from it. Overlapping objects are whole in the JSON; a label map cannot store them.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.annotation.actions import MaskAction
from mis_lightning.annotation.class_list import FILE_NAME, read_classes, write_classes
from mis_lightning.annotation.log import check_name, is_plain
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.console import counted
from mis_lightning.errors import InputError
from mis_lightning.files import sweep, try_writing, written_whole
from mis_lightning.formats.label_png import label_png
from mis_lightning.images import ReadImage
from mis_lightning.segmenters.base import Segmenter

LONGEST_NAME = 255
"""Bytes of a file's name on the usual file systems."""
_WRITING = threading.Lock()  # temporary files are named after the process


class AnnotationStore:
    """Annotations of many images. A key is the path of an image inside its folder, with ``/``.

    Each file is written whole or not at all, the PNG before the JSON, so a save that is killed leaves the
    JSON as it was. What killed processes left half written is removed when the folder is opened.

    Args:
        folder: Where they are; made by the first save.
        label_maps: Keep the PNG files, too; without them a save takes a fraction of the time.
    """

    def __init__(self, folder: str | Path, label_maps: bool = True) -> None:
        self.folder = Path(folder)
        self._suffixes = (".png", ".json") if label_maps else (".json",)
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"Expected a folder for the annotations, but {self.folder} is a file.")
        if self.folder.is_dir():
            sweep(self.folder)

    def check_writable(self) -> None:
        """See whether the folder can be written to; what is made for that is removed again.

        Raises:
            InputError: It cannot.
        """
        try:
            try_writing(self.folder)
        except OSError as error:
            raise InputError(
                f"Expected a folder that annotations can be saved in, but {self.folder} cannot be written "
                f"to: {error}. Choose another one."
            ) from error

    def save(self, key: str, session: AnnotationSession) -> None:
        """Save a session; undone actions are not saved.

        Raises:
            InputError: The key does not fit, or the folder cannot be written to.
        """
        self.write(key, session.record(), session.label_map() if ".png" in self._suffixes else None)

    def write(self, key: str, record: AnnotationRecord, labels: NDArray[np.uint16] | None = None) -> None:
        """Keep a record; ``labels`` is its label map, if it is known.

        Raises:
            InputError: The key does not fit, or the folder cannot be written to.
        """
        content = {".json": json.dumps(record.to_json(), separators=(",", ":")).encode()}
        if ".png" in self._suffixes:
            content[".png"] = label_png(labels if labels is not None else record.labels)
        try:
            with _WRITING:
                for suffix in self._suffixes:
                    with written_whole(self._path(key, suffix)) as temporary:
                        temporary.write_bytes(content[suffix])
        except OSError as error:
            raise InputError(f"The annotation of {key} cannot be saved in {self.folder}: {error}.") from error

    def read(self, key: str) -> AnnotationRecord:
        """Read a record; neither image nor model is needed.

        Raises:
            InputError: There is none, or it is damaged.
        """
        path = self._path(key, ".json")
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise InputError(f"There is no annotation of {key} in {self.folder}.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"Expected the annotation of {key} in {path}, but: {error}.") from error
        try:
            return AnnotationRecord.from_json(content)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def load(
        self,
        key: str,
        image: NDArray[Any] | Image.Image | str | Path | ReadImage,
        segmenter: Segmenter[Any] | None = None,
        **options: Any,
    ) -> AnnotationSession:
        """Restore a saved session.

        The masks are there at once; the actions of an object are done again when it is first worked on.
        Where another model, or other settings, answered then, or another window was shown, the masks stay as
        they were saved, and each object begins with its mask instead of its actions. So does an object that
        was answered with something learned that is not kept any more.

        Args:
            key: Of the image.
            image: The image.
            segmenter: Answers the clicks, asked as the record says where it is the same; ``None``: the merge
                tree.
            **options: Of :class:`~mis_lightning.annotation.session.AnnotationSession`; ``overlap`` is that of
                the record unless given.

        Raises:
            InputError: There is no such record, it is damaged, or is of another image.
        """
        record = self.read(key)
        log = record.log
        if segmenter is not None and segmenter.identity == log.model:
            segmenter = segmenter.with_settings(log.settings)
        session = AnnotationSession(image, segmenter, **{"overlap": log.overlap, **options})
        asked_alike = session.segmenter.identity == log.model and log.settings == session.settings
        same = asked_alike and session.reads_as(log)
        objects = tuple(
            one
            if same and session.keep_what_answered(one.actions)
            else replace(one, actions=(MaskAction(record.counts[one.id]),))
            for one in log.objects
        )
        log = replace(log, objects=objects)
        session.take_over(log, record.counts)
        self._restore_png(key, session)
        return session

    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers, from ``classes.txt`` in the folder.

        Raises:
            InputError: The file is damaged.
        """
        path = self.folder / FILE_NAME
        return read_classes(path) if path.exists() else ()

    def add_classes(self, names: Sequence[str]) -> tuple[str, ...]:
        """Add classes that are not there yet, at the end; returns all of them.

        Raises:
            InputError: One is no name, or the file cannot be written.
        """
        with _WRITING:
            known = self.classes()
            new = dict.fromkeys(name for name in (check_name(one, "class") for one in names))
            both = (*known, *(name for name in new if name not in known))
            if both != known:
                try:
                    write_classes(self.folder / FILE_NAME, both)
                except OSError as error:
                    raise InputError(f"The classes cannot be saved in {self.folder}: {error}.") from error
        return both

    def remove(self, key: str) -> None:
        """Remove the annotation of an image, if there is one."""
        with _WRITING:
            for suffix in reversed(self._suffixes):  # a JSON file never loses its PNG to a kill
                self._path(key, suffix).unlink(missing_ok=True)

    def keys(self) -> list[str]:
        """The keys of all records, sorted."""
        found = self.folder.rglob("*.json") if self.folder.is_dir() else []
        keys = (path.relative_to(self.folder).as_posix().removesuffix(".json") for path in found)
        return sorted(key for key in keys if _is_key(key) and self._path(key, self._suffixes[0]).is_file())

    def __contains__(self, key: str) -> bool:
        return self._path(key, ".json").is_file()

    def _restore_png(self, key: str, session: AnnotationSession) -> None:
        """Rewrite the PNG if a killed process left that of a later save."""
        if ".png" not in self._suffixes:
            return
        picture, path = label_png(session.label_map()), self._path(key, ".png")
        with _WRITING:
            if not path.is_file() or path.read_bytes() != picture:
                with written_whole(path) as temporary:
                    temporary.write_bytes(picture)

    def _path(self, key: str, suffix: str) -> Path:
        """Where a file of an image is; never outside the folder."""
        if not _is_key(key):
            raise InputError(
                f"Expected the path of an image inside its folder, like 'a/b.jpg', but got {key!r}."
            )
        excess = len(os.fsencode(f"{key.rpartition('/')[2]}.json")) - LONGEST_NAME
        if excess > 0:
            raise InputError(
                f"The name of {key} is {counted(excess, 'byte')} too long for a mask file: shorten it."
            )
        return self.folder / f"{key}{suffix}"


@lru_cache(maxsize=1 << 12)
def _is_key(key: str) -> bool:
    parts = key.split("/")
    plain = is_plain(key) and "\\" not in key and not (os.name == "nt" and ":" in key)
    return plain and all(part and part[0] != "." for part in parts)
