"""Simulated users click on the largest error until the object is segmented.

Rule: docs/protocol.md#simulated-session.

Input: a segmenter and samples. Output: one simulated session per object.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.errors import InputError
from mis_lightning.formats.rle import encode_rle
from mis_lightning.metrics.functional import far_share, iou, reaches
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.structures import Click, Sample


@dataclass(frozen=True)
class EvaluationSettings:
    """How a session runs; the defaults are those of the published evaluation.

    Attributes:
        max_clicks: Clicks a user spends on an object at most.
        target_iou: Stop once the IoU reaches it; ``None`` always makes all clicks, which IoU@k needs.
        min_clicks: Never stop before this many clicks.
    """

    max_clicks: int = 20
    target_iou: float | None = 0.90
    min_clicks: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.min_clicks <= self.max_clicks:
            raise InputError(
                "Expected 1 <= `min_clicks` <= `max_clicks`, "
                f"but got {self.min_clicks} and {self.max_clicks}."
            )
        if self.target_iou is not None and not 0 < self.target_iou <= 1:
            raise InputError(f"Expected `target_iou` in (0, 1] or None, but got {self.target_iou}.")


@dataclass(frozen=True)
class SimulatedSession:
    """What one simulated user did on one object.

    Attributes:
        name: Of the sample.
        ious: IoU after each click, float32, ``(k,)``; ``nan`` where mask and prediction are both empty.
        clicks: The ``k`` clicks.
        seconds: Wall time of the object: loading the sample, the simulated user and the model.
        model_seconds: The model's part of it (crops, forward passes, maps back).
        far: Share of the pixels each click changed that lie farther from it than the object's own radius,
            float32, ``(k,)``, ``nan`` where nothing changed; ``None``: not measured.
        counts: The last mask, run-length encoded (:mod:`mis_lightning.formats.rle`); ``None``: not kept.
    """

    name: str
    ious: NDArray[np.float32]
    clicks: tuple[Click, ...]
    seconds: float
    model_seconds: float
    far: NDArray[np.float32] | None = None
    counts: str | None = None


def simulate_session(
    segmenter: Segmenter[Any], sample: Sample, settings: EvaluationSettings
) -> SimulatedSession:
    """One simulated user on one object."""
    return next(simulate_sessions(segmenter, [sample], settings))


def simulate_sessions(
    segmenter: Segmenter[Any],
    samples: Iterable[Sample],
    settings: EvaluationSettings,
    batch_size: int = 1,
) -> Iterator[SimulatedSession]:
    """One simulated user for each object, ``batch_size`` of them at a time.

    The users are independent: each has its own clicks, crop and previous mask, and the images may differ in
    size. Only the segmenter's call is shared. A user who is done makes room for the next object at once.

    Args:
        segmenter: Answers the clicks.
        samples: Read lazily, at most ``batch_size`` at a time are held.
        settings: When to stop.
        batch_size: Objects in one call.

    Yields:
        Sessions in the order of the samples. Those of a batch differ from ``batch_size=1`` by rounding only.

    Raises:
        InputError: ``batch_size`` below 1.
    """
    if batch_size < 1:
        raise InputError(f"Expected `batch_size` >= 1, but got {batch_size}.")
    waiting, arrivals = iter(samples), 0
    active: list[_User] = []
    done: dict[int, SimulatedSession] = {}
    delivered = 0
    while True:
        while len(active) < batch_size:
            began = time.perf_counter()
            sample = next(waiting, None)
            if sample is None:
                break
            user = _User(arrivals, sample, segmenter.begin(sample.image))
            user.seconds = time.perf_counter() - began
            active.append(user)
            arrivals += 1
        if not active:
            return
        _click_once(active, segmenter)
        for user in active:
            if user.finished(settings):
                done[user.index] = user.session()
        active = [user for user in active if not user.finished(settings)]
        while delivered in done:
            yield done.pop(delivered)
            delivered += 1


@dataclass
class _User:
    """A simulated user at work."""

    index: int
    sample: Sample
    state: Any  # what the segmenter keeps for this object
    prediction: NDArray[np.bool_] = field(init=False)
    radius: float = field(init=False)  # of a disc of the object's area, in pixels
    clicks: list[Click] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    far: list[float] = field(default_factory=list)
    seconds: float = 0.0
    model_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.prediction = np.zeros(self.sample.mask.shape, dtype=np.bool_)
        self.radius = math.sqrt(np.count_nonzero(self.sample.mask) / math.pi)

    def click(self) -> None:
        self.clicks.append(next_click(self.sample.mask, self.prediction, self.sample.ignore, self.clicks))

    def look(self, prediction: NDArray[np.bool_]) -> None:
        self.far.append(far_share(self.prediction, prediction, self.clicks[-1][:2], self.radius))
        self.prediction = prediction
        self.ious.append(iou(prediction, self.sample.mask, self.sample.ignore))

    def finished(self, settings: EvaluationSettings) -> bool:
        satisfied = settings.target_iou is not None and reaches(self.ious[-1], settings.target_iou)
        count = len(self.clicks)
        return count >= settings.max_clicks or (satisfied and count >= settings.min_clicks)

    def session(self) -> SimulatedSession:
        return SimulatedSession(
            self.sample.name,
            np.array(self.ious, dtype=np.float32),
            tuple(self.clicks),
            self.seconds,
            self.model_seconds,
            np.array(self.far, dtype=np.float32),
            encode_rle(self.prediction),
        )


def _click_once(users: list[_User], segmenter: Segmenter[Any]) -> None:
    """Every user clicks once and looks at the answer; the wall time is shared equally."""
    began = time.perf_counter()
    for user in users:
        user.click()
    asked = time.perf_counter()
    states = segmenter.click([user.state for user in users], [user.clicks[-1:] for user in users])
    predictions = [segmenter.mask(state) for state in states]
    answered = time.perf_counter()
    for user, state, prediction in zip(users, states, predictions, strict=True):
        user.state = state
        user.look(prediction)
    ended = time.perf_counter()
    for user in users:
        user.seconds += (ended - began) / len(users)
        user.model_seconds += (answered - asked) / len(users)
