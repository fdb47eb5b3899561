"""The work of one tab: its sessions in memory, its drafts on disk, and what it has put among the results.

Each change is kept as a draft before it is answered, in a folder that belongs to this tab alone. Saving puts
the masks among the results, which all tabs and people share; a result that someone else has changed since
the draft began is not replaced unasked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession, OtherImageError
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.files import written_whole
from mis_lightning.server.library import Entry
from mis_lightning.server.messages import Saved
from mis_lightning.server.open_sessions import Opened
from mis_lightning.server.shared_state import SharedState
from mis_lightning.server.shown import Shown
from mis_lightning.server.windows import Window, Windows

MAX_ACTIONS = 2000
"""Most actions on the objects of one image."""
MAX_OBJECTS = 1000
"""Most objects on one image; from 255 on label maps are 16 bits deep."""
NOTHING = "none"
_RESULTS = threading.Lock()


class StaleError(InputError):
    """A change of a state that is no longer the present one."""


class ConflictError(InputError):
    """Somebody else has changed the result."""


class TooManyError(InputError):
    """A limit is reached."""


class NotKeptError(InputError):
    """The disk did not take what was done."""


class ReplacedError(InputError):
    """The file of the image holds other pixels than those that were annotated."""


_REPLACED = "The file of {} was replaced: it holds another image than the one that was annotated here."


class Workspace:
    """One tab.

    Args:
        folder: Of its drafts.
        shared: What all tabs share.

    Attributes:
        lock: Held around every call of a method.
        drafts: Its drafts.
        windows: That it shows volumes with.
    """

    def __init__(self, folder: Path, shared: SharedState) -> None:
        self.folder = folder
        self.shared = shared
        self.lock = asyncio.Lock()
        self.drafts = AnnotationStore(folder, label_maps=False)
        self.windows = Windows(folder)

    def open(self, entry: Entry) -> AnnotationSession:
        """The session of an image: as it is in memory, or this tab's draft, or the result, or a new one.

        Raises:
            InputError: The image or what was kept cannot be read.
        """
        key, name = (self.folder, entry.key), entry.name
        kept = self.shared.sessions.get(key)
        self._check_file(entry, kept)
        if kept is not None and (name in self.drafts or kept.result == self._digest(entry)):
            return kept.session  # unless someone else has saved since, and there is no draft to protect
        if name in self.drafts and name in self.shared.results and self._is_saved(name):
            self._drop_draft(entry)  # killed in the middle of saving
        result = self._digest(entry)
        image, segmenter = self.shared.library.read(entry, self.windows.of(entry)), self.shared.segmenter
        for store in (self.drafts, self.shared.results):
            if name in store:
                try:
                    session = store.load(name, image, segmenter, name=name)
                except OtherImageError:
                    raise ReplacedError(_REPLACED.format(name)) from None
                break
        else:
            session = self.shared.begin(entry, self.windows.of(entry))
        if entry.slice is None:  # slices are leafed through; builds the merge tree now, not at a click
            session.levels(0, 0)
        self._put(entry, session, result)
        return session

    def _put(self, entry: Entry, session: AnnotationSession, result: str) -> None:
        state = self.shared.library.state(entry)
        self.shared.sessions.put((self.folder, entry.key), Opened(session, result, state))

    def _check_file(self, entry: Entry, kept: Opened | None) -> None:
        """See whether the image in memory is still that of the file; one that was only touched is."""
        if kept is None or kept.state == self.shared.library.state(entry):
            return
        if self.shared.library.read(entry, self.windows.of(entry)).checksum != kept.session.checksum:
            raise ReplacedError(_REPLACED.format(entry.name))
        self._put(entry, kept.session, kept.result)

    def adopt(self, entry: Entry, *, masks: bool) -> AnnotationSession:
        """Go on with the image that has taken the place of the annotated one, as a draft.

        Args:
            entry: The image.
            masks: Keep the masks; the clicks, made on other pixels, are dropped. Otherwise begin anew.

        Raises:
            InputError: The image has another size than the masks, or cannot be read.
            NotKeptError: The draft cannot be written.
        """
        image, record = self.shared.library.read(entry, self.windows.of(entry)), self.record(entry)
        session = AnnotationSession(
            image, self.shared.segmenter, overlap=self.shared.overlap, name=entry.name
        )
        if masks and record is not None:
            session.take_masks(record)
        self._keep(entry, session)
        self._put(entry, session, self._digest(entry))
        return session

    def change(
        self, entry: Entry, expected: str, action: Callable[[AnnotationSession], Any], *, grows: bool = False
    ) -> AnnotationSession:
        """Do something to the objects of an image, and keep it.

        Args:
            entry: The image.
            expected: The revision that the user saw.
            action: Is given the session.
            grows: Whether it adds to the click log.

        Raises:
            StaleError: The user saw another revision.
            TooManyError: There would be too many objects or actions.
            NotKeptError: The draft cannot be written; nothing changes.
            InputError: The action does not fit; nothing changes.
        """
        session = self.open(entry)
        check_revision(session, expected)
        if grows and session.n_actions >= MAX_ACTIONS:
            raise TooManyError(f"There are {MAX_ACTIONS} actions on this image; reset an object to go on.")
        version, before = session.version, session.active
        try:
            action(session)
            self._keep(entry, session)
            if before is not None and session.active != before:  # the user has turned to another object
                self.shared.offer(entry, session, [before])
        except BaseException:
            if session.version != version:  # half done, or not kept: back to what was kept last
                self.shared.sessions.drop((self.folder, entry.key))
            raise
        return session

    def save(self, entry: Entry, expected: str, *, replace: bool) -> AnnotationSession:
        """Put the masks of an image among the results; the draft is then no longer needed.

        Args:
            entry: The image.
            expected: The revision that the user saw.
            replace: Even if someone else has changed the result since the draft began.

        Raises:
            StaleError: The user saw another revision.
            ConflictError: Somebody else has changed the result; nothing changes.
            InputError: The results cannot be written.
        """
        session = self.open(entry)
        check_revision(session, expected)
        with _RESULTS:
            if not replace and entry.name in self.drafts and self._conflicts(entry):
                raise ConflictError(
                    f"Somebody else has saved masks of {entry.name} since this tab opened it."
                )
            self.shared.results.save(entry.name, session)
            self._put(entry, session, self._digest(entry))
        self._drop_draft(entry)
        self.shared.offer(entry, session, [one.id for one in session.objects])
        return session

    def discard(self, entry: Entry, expected: str) -> AnnotationSession:
        """Drop the draft of an image; the session is that of the result again.

        Raises:
            StaleError: The user saw another revision.
            InputError: The result cannot be read.
        """
        check_revision(self.open(entry), expected)
        self._drop_draft(entry)
        self.shared.sessions.drop((self.folder, entry.key))
        return self.open(entry)

    def set_window(self, entry: Entry, window: Window | None) -> None:
        """Show a volume with another window; ``OSError``: it cannot be kept, and nothing changes."""
        self.windows.set(entry, window)
        for one in self.shared.library.slices_of(entry):
            self.shared.sessions.drop((self.folder, one.key))

    def saved(self, entry: Entry) -> Saved:
        """How far the image is."""
        if entry.name in self.drafts:
            return "draft"
        if entry.name in self.shared.results:
            return "saved"
        return "draft" if self.shared.has_begun(entry) else "none"

    def count(self, entry: Entry) -> int | None:
        """Number of objects kept of an image; 0 where that is damaged, ``None`` where it is not known yet."""
        for store in (self.drafts, self.shared.results):
            path = store.folder / f"{entry.name}.json"
            try:
                status = path.stat()
                return _count(path, status.st_mtime_ns, status.st_size)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                return 0
        return None if self.shared.has_begun(entry) else 0

    def record(self, entry: Entry) -> AnnotationRecord | None:
        """What this tab shows of an image, draft before result; ``None`` where there is nothing.

        Raises:
            InputError: It is damaged.
        """
        for store in (self.drafts, self.shared.results):
            if entry.name in store:
                return store.read(entry.name)
        return self.shared.begin(entry).record() if self.shared.has_begun(entry) else None

    def shown(self) -> AnnotationStore:
        """The annotations of all images as this tab shows them, drafts before results; to be read."""
        return Shown(self)

    def _keep(self, entry: Entry, session: AnnotationSession) -> None:
        try:
            if entry.name not in self.drafts:
                with written_whole(self._base(entry)) as temporary:
                    temporary.write_text(self._digest(entry), encoding="ascii")
            self.drafts.save(entry.name, session)
            os.utime(self.folder)  # the youngest tab of a browser is offered first
        except (OSError, InputError) as error:
            raise NotKeptError(f"The work on {entry.name} cannot be saved: {error}") from error

    def _conflicts(self, entry: Entry) -> bool:
        now = self._digest(entry)
        return now not in (NOTHING, self._read_base(entry)) and not self._is_saved(entry.name)

    def _is_saved(self, name: str) -> bool:
        """Whether the draft of an image is the same as the result; a damaged one is not."""
        try:
            return self.shared.results.read(name) == self.drafts.read(name)
        except InputError:
            return False

    def _drop_draft(self, entry: Entry) -> None:
        self.drafts.remove(entry.name)
        self._base(entry).unlink(missing_ok=True)

    def _digest(self, entry: Entry) -> str:
        """Of the result as it is now."""
        try:
            return hashlib.sha256(
                (self.shared.results.folder / f"{entry.name}.json").read_bytes()
            ).hexdigest()
        except FileNotFoundError:
            return NOTHING

    def _base(self, entry: Entry) -> Path:
        """Where the digest of the result is kept that the draft began from."""
        return self.folder / f"{entry.name}.base"

    def _read_base(self, entry: Entry) -> str:
        try:
            return self._base(entry).read_text(encoding="ascii")
        except FileNotFoundError:
            return NOTHING


@lru_cache(maxsize=1 << 16)
def _count(path: Path, modified: int, size: int) -> int:
    """Objects in a record, read once for each state of its file: a folder may hold thousands."""
    return len(json.loads(path.read_bytes())["objects"])


def revision(session: AnnotationSession) -> str:
    """Names the objects of a session and what was done to them; the same after they are read from a draft."""
    return session.record(with_masks=False).log.digest


def check_revision(session: AnnotationSession, expected: str) -> None:
    """See whether the user saw what is there.

    Raises:
        StaleError: They did not.
    """
    if revision(session) != expected:
        raise StaleError("The image was changed elsewhere in the meantime; this is how it is now.")
