"""The proposals of a tab: found in a thread of their own, kept in memory until accepted or rejected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mis_lightning.alike.model import AlikeModel, MarkedImage
from mis_lightning.alike.proposal import Proposal
from mis_lightning.alike.propose import propose_on
from mis_lightning.errors import InputError

State = Literal["idle", "running", "done", "failed", "cancelled"]
_TURN = threading.Semaphore(1)  # one search at a time in a server: clicks are answered meanwhile


@dataclass
class Search:
    """A search at work.

    Attributes:
        state: How far it is.
        done: Images that were looked at.
        total: Images to look at.
        message: Why it failed.
        cancelled: Set to stop it, at the next image at the latest.
    """

    state: State = "idle"
    done: int = 0
    total: int = 0
    message: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event)


class AlikeBoard:
    """What was found and rejected on the images of one tab, by their keys."""

    def __init__(self) -> None:
        self.search = Search()
        self._lock = threading.Lock()
        self._found: dict[str, dict[int, Proposal]] = {}
        self._rejected: dict[str, dict[int, Proposal]] = {}
        self._next = 1

    def begin(
        self,
        marked: Sequence[MarkedImage],
        targets: Mapping[str, Callable[[], tuple[NDArray[np.uint8], NDArray[np.bool_]]]],
    ) -> None:
        """Search in a thread, in place of a search that is at work.

        Args:
            marked: What is marked.
            targets: For the key of each image a function that reads it: RGB, uint8, ``(H, W, 3)``, and what
                is marked on it, bool, ``(H, W)``.
        """
        self.cancel()
        search = self.search = Search("running", total=len(targets))
        threading.Thread(target=self._run, args=(search, marked, targets), daemon=True).start()

    def cancel(self) -> None:
        """Stop the search at work; what it found so far stays."""
        self.search.cancelled.set()
        if self.search.state == "running":
            self.search.state = "cancelled"

    def found(self, key: str) -> dict[int, Proposal]:
        """The proposals of an image by their numbers, best first."""
        with self._lock:
            return dict(self._found.get(key, {}))

    def rejected(self, key: str) -> list[Proposal]:
        """What was rejected on an image."""
        with self._lock:
            return list(self._rejected.get(key, {}).values())

    def reject(self, key: str, numbers: Sequence[int]) -> None:
        """Take proposals off the list; they teach the next search.

        Raises:
            InputError: One is not on the list.
        """
        self._move(key, numbers, self._found, self._rejected)

    def restore(self, key: str, numbers: Sequence[int]) -> None:
        """Undo of :meth:`reject`.

        Raises:
            InputError: One was not rejected.
        """
        self._move(key, numbers, self._rejected, self._found)

    def _move(
        self,
        key: str,
        numbers: Sequence[int],
        source: dict[str, dict[int, Proposal]],
        target: dict[str, dict[int, Proposal]],
    ) -> None:
        with self._lock:
            have = source.setdefault(key, {})
            if not set(numbers) <= set(have):
                raise InputError("These proposals are no longer there; find them again.")
            both = target.setdefault(key, {})
            for number in numbers:
                both[number] = have.pop(number)
            target[key] = dict(sorted(both.items(), key=lambda one: -one[1].score))

    def _run(
        self,
        search: Search,
        marked: Sequence[MarkedImage],
        targets: Mapping[str, Callable[[], tuple[NDArray[np.uint8], NDArray[np.bool_]]]],
    ) -> None:
        try:
            with _TURN:
                if search.cancelled.is_set():
                    return
                model = AlikeModel(marked)
                for key, read in targets.items():
                    if search.cancelled.is_set():
                        return
                    image, taken = read()
                    proposals = propose_on(image, model, [taken])
                    with self._lock:
                        if search.cancelled.is_set():
                            return
                        self._found[key] = {self._next + k: one for k, one in enumerate(proposals)}
                        self._next += len(proposals)
                        search.done += 1
                search.state = "done"
        except InputError as error:
            search.state, search.message = "failed", str(error)
        except Exception as error:  # the thread has no one else to tell
            search.state, search.message = "failed", f"The search failed: {error!r}"
            raise
