"""A learner at work beside an annotator: in a thread of low priority, never in the way of a click."""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.errors import InputError
from mis_lightning.formats.rle import decode_rle, encode_rle
from mis_lightning.learning.learner import Learner, LearningSettings
from mis_lightning.learning.memory import Memory
from mis_lightning.learning.versions import (
    LearningSegmenter,
    delta_of,
    learned_settings,
    network_of,
    version_of,
    with_delta,
    with_learned_settings,
)
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.pretrained import save_pretrained
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Click

_PATIENCE = 5.0  # seconds that learning waits for one click at most
_LOWEST = 19  # priority of the thread: it gets what nobody else wants


class _Offer(NamedTuple):
    key: str
    image: NDArray[np.uint8]
    counts: str  # the mask, run-length encoded: hundreds may wait
    clicks: tuple[Click, ...]
    digest: int


@dataclass(frozen=True)
class LearningStatus:
    """What a user is told.

    Attributes:
        on: Whether accepted objects are learned from.
        objects: Objects that were learned from.
        waiting: Objects that wait to be.
        weights: Whether learned weights answer clicks now, or the start does as well.
        clicks: Clicks on each accepted object, in order.
        problem: Why something does not work; empty if all does.
    """

    on: bool
    objects: int
    waiting: int
    weights: bool
    clicks: tuple[int, ...]
    problem: str


class Workbench:
    """Learns from objects as they are offered, and keeps what it knows in a folder.

    Args:
        start: The segmenter before it has learned anything.
        folder: Where what is learned is kept; read where it is there.
        settings: How to learn.
        on: Whether it begins switched on; where something is kept, the switch is as it was left.

    Attributes:
        segmenter: Answers clicks with what is learned at the moment.

    Raises:
        InputError: The model cannot learn.
    """

    def __init__(
        self,
        start: ClickModelSegmenter,
        folder: Path,
        settings: LearningSettings | None = None,
        on: bool = True,
    ) -> None:
        self.segmenter = LearningSegmenter(start)
        self._start, self._settings = start, settings if settings is not None else LearningSettings()
        self._memory = Memory(folder)
        self._lock = threading.Lock()  # around what is learned and kept; never held while it practises
        self._practising: Learner | None = None
        self._lesson: _Offer | None = None  # what it practises
        self._idle = threading.Condition()
        self._answering = 0
        self._offers: dict[str, _Offer] = {}  # what waits, by key, and what is being learned
        self._thread: threading.Thread | None = None
        self._on, self._problem = on, ""
        self._learner = Learner(start, self._settings, self._pause)
        self._known: dict[str, int] = {}  # digests of what is learned
        self._clicks: list[int] = []
        self._written: set[str] = set()  # files of lessons
        try:
            self._reopen()
        except InputError as error:
            self._on = False
            self._problem = f"What was learned here cannot be used: {error}"

    @property
    def status(self) -> LearningStatus:
        """How far it is."""
        with self._idle:
            new = [len(one.clicks) for one in self._offers.values() if one.key not in self._known]
            return LearningStatus(
                self._on,
                len(self._known),
                len(self._offers),
                bool(self.segmenter.version) and self._learner.taken,
                (*self._clicks, *(count for count in new if count)),
                self._problem,
            )

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Learning waits while a block of this kind runs, for a few seconds at most."""
        with self._idle:
            self._answering += 1
        try:
            yield
        finally:
            with self._idle:
                self._answering -= 1
                self._idle.notify_all()

    def offer(
        self, key: str, image: NDArray[np.uint8], mask: NDArray[np.bool_], clicks: Sequence[Click]
    ) -> None:
        """Learn from an accepted object soon; nothing happens where it is known as it is, or off.

        Args:
            key: Names the object, so that it is not learned twice.
            image: RGB, uint8, ``(H, W, 3)``; not to be written to.
            mask: The object, bool, ``(H, W)``; an empty one is left out.
            clicks: The clicks that led to it, in pixels of the image.
        """
        if mask.any():
            self._offer(key, image, encode_rle(mask), clicks)

    def offer_objects(self, image: str, session: AnnotationSession, ids: Collection[int]) -> None:
        """Offer objects of a session, those that have a mask; ``image`` names the image."""
        if self._on:
            for one in session.objects:
                if one.id in ids and one.area:
                    self._offer(f"{image}#{one.id}", session.image, session.own_counts(one.id), one.clicks)

    def _offer(self, key: str, image: NDArray[np.uint8], counts: str, clicks: Sequence[Click]) -> None:
        if not self._on:
            return
        digest = zlib.crc32(counts.encode())
        with self._idle:
            waiting = self._offers.get(key)
            if (self._known.get(key) if waiting is None else waiting.digest) == digest:
                return
            self._offers[key] = _Offer(key, image, counts, tuple(clicks), digest)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="learning", daemon=True)
                self._thread.start()
            self._idle.notify_all()

    def switch(self, on: bool) -> None:
        """Learn from now on, or not; what is learned stays, and answers only while it is on.

        Raises:
            InputError: What was learned here is of another model; reset it first.
        """
        with self._lock:
            if on and self._problem and not self._learner.count and self._memory.folder.is_dir():
                self._reopen()
            self._on = on
            self._problem = ""
            self._answer()
            if self._practising is not self._learner:  # or else the switch is kept with what is being learned
                self._keep()

    def reset(self) -> None:
        """Forget everything, also what is being learned: the start answers again."""
        with self._lock:
            self._memory.clear()
            self.segmenter.forget()
            self._learner = Learner(self._start, self._settings, self._pause)
            with self._idle:
                self._known, self._clicks, self._problem = {}, [], ""
                self._offers = {key: one for key, one in self._offers.items() if one is self._lesson}
            self._written = set()

    def export(self, folder: Path) -> Path:
        """Write the model as it is now, to be opened by its path everywhere.

        Raises:
            InputError: Nothing is learned yet.
        """
        with self._lock:
            now = self._learner.segmenter
        if now is self._start or not isinstance(now.model, ClickNetwork):
            raise InputError("Nothing learned yet: save an object first.")
        network = copy.deepcopy(now.model)
        network.recommended = now.settings()
        return save_pretrained(network, folder)

    def finish(self, timeout: float | None = None) -> bool:
        """Wait until everything offered is learned; whether it is."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._offers, timeout)

    def _pause(self) -> None:
        with self._idle:
            self._idle.wait_for(lambda: self._answering == 0, _PATIENCE)

    def _work(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # not every system has priorities of threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
        while True:
            with self._idle:
                self._idle.wait_for(lambda: bool(self._offers))
                offer = next(iter(self._offers.values()))
            try:
                self._learn(offer)
            except Exception as error:  # the annotator's work goes on whatever happens here
                self._problem = f"Learning from {offer.key} failed: {error}"
            finally:
                with self._idle:
                    if self._offers.get(offer.key) is offer:  # or else it has changed, and is next
                        del self._offers[offer.key]
                    self._idle.notify_all()

    def _learn(self, offer: _Offer) -> None:
        with self._lock:
            learner = self._learner
            if not self._on or self._offers.get(offer.key) is not offer:
                return
            self._practising, self._lesson = learner, offer
        try:
            learner.see(offer.image, decode_rle(offer.counts, offer.image.shape[:2]), offer.clicks)
            with self._lock:
                if learner is self._learner:  # the next click has it, while weights are practised
                    self._answer()
                    self._keep()
            learner.practise()
        finally:
            self._practising = self._lesson = None
        with self._lock:
            if learner is self._learner:  # it was not reset meanwhile
                with self._idle:
                    if offer.key not in self._known and offer.clicks:
                        self._clicks.append(len(offer.clicks))
                    self._known[offer.key] = offer.digest
                self._answer()
                self._keep()

    def _answer(self) -> None:
        """Let what is learned answer while it is on and anything is, and else the start."""
        answers = self._learner.segmenter
        self.segmenter.learn(answers if self._on and answers is not self._start else None)

    def _keep(self) -> None:
        """Write what is known; a disk that does not take it is said, and learning goes on in memory."""
        learner = self._learner
        content, tensors = learner.state()
        looks = {"shown": tensors.pop("shown")} if "shown" in tensors else {}
        named = ((f"practice-{learner.taught:05d}", tensors), (f"looks-{learner.count:05d}", looks))
        weights = {f"{name}.safetensors": part for name, part in named if part}
        practised = list(weights)
        versions = []
        for name, one in self.segmenter.versions.items():
            file = None
            if one.model is not self._start.model:
                file = f"weights-{one.identity.rpartition('-')[2]}.safetensors"
                if file not in weights:  # the next version may have the same weights
                    weights[file] = delta_of(network_of(one), network_of(self._start))
            versions.append({"name": name, "weights": file, **learned_settings(one.prediction)})
        first = learner.taught - len(learner.lessons) + 1
        lessons = [
            {"file": f"lesson-{first + i:05d}.png", "clicks": [list(click) for click in lesson.clicks]}
            for i, lesson in enumerate(learner.lessons)
        ]
        state = {
            "on": self._on,
            "learner": content,
            "known": self._known,
            "clicks": self._clicks,
            "practice": practised,
            "versions": versions,
            "lessons": lessons,
            "files": [*weights, *(lesson["file"] for lesson in lessons)],
        }
        try:
            for entry, lesson in zip(lessons, learner.lessons, strict=True):
                if entry["file"] not in self._written:
                    self._memory.write_lesson(str(entry["file"]), lesson)
            self._memory.write(state, weights)
            self._written = {str(entry["file"]) for entry in lessons}
            self._problem = ""
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._problem = f"What was learned cannot be saved ({reason}); it is used until the server stops."

    def _reopen(self) -> None:
        """Read what is kept, if anything is.

        Raises:
            InputError: It is damaged, or of another model.
        """
        state = self._memory.read()
        if state is None:
            return
        memory, learner = self._memory, Learner(self._start, self._settings, self._pause)
        try:
            memory.prune(state["files"])
            tensors = {k: v for name in state["practice"] for k, v in memory.read_weights(name).items()}
            lessons = [memory.read_lesson(str(one["file"]), one["clicks"]) for one in state["lessons"]]
            learner.restore(state["learner"], tensors, lessons)
            models: dict[str | None, nn.Module] = {None: network_of(self._start)}
            versions = [self._version(entry, models) for entry in state["versions"]]
            known = {str(key): int(digest) for key, digest in state["known"].items()}
            clicks = [int(count) for count in state["clicks"]]
            on = bool(state["on"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"Expected what was learned in {memory.folder}, but: {error!r}.") from error
        self._written = {str(one["file"]) for one in state["lessons"]}
        for one in versions:
            self.segmenter.learn(one)
        self._learner, self._known, self._clicks, self._on = learner, known, clicks, on
        self._answer()

    def _version(self, entry: Mapping[str, Any], models: dict[str | None, nn.Module]) -> ClickModelSegmenter:
        """A version that is kept; those of the same file share a network."""
        start, file = self._start, entry["weights"]
        if file not in models:
            models[file] = with_delta(network_of(start), self._memory.read_weights(str(file)))
        prediction = with_learned_settings(start.prediction, entry)
        one = ClickModelSegmenter(models[file], prediction, start.device)
        if version_of(one) != entry["name"]:
            raise InputError(f"The weights of {entry['name']} are not those that were kept.")
        return one
