"""A simulated annotator works through objects one by one, with a model that learns from each or does not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.formats.rle import decode_rle
from mis_lightning.json_lines import append_line, read_lines
from mis_lightning.learning.learner import Learner, LearningSettings
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Click, Sample

WAYS: Mapping[str, LearningSettings] = {
    "frozen": LearningSettings(looks=False, appearance=False, weights=False),
    "looks": LearningSettings(appearance=False, weights=False),
    "appearance": LearningSettings(looks=False, weights=False),
    "seen": LearningSettings(weights=False),
    "weights": LearningSettings(looks=False, appearance=False),
    "learning": LearningSettings(),
}
"""What learns in each way; ``learning`` is what ``mis annotate`` does, ``seen`` all of that but weights."""


@dataclass(frozen=True)
class WorkedObject:
    """What one object of a campaign took.

    Attributes:
        name: Of the object.
        clicks: Number of clicks.
        ious: IoU after each click.
        reached: Whether the last one reached the target: such an object is accepted, and learned from.
        positions: The clicks, ``(row, col, positive)``.
        counts: The last mask, run-length encoded.
        seconds: Time of the model and the simulated user.
        learning_seconds: Time that learning took, of the processor.
        taken: Whether learned weights answered the next object.
    """

    name: str
    clicks: int
    ious: tuple[float, ...]
    reached: bool
    positions: tuple[tuple[float, float, bool], ...]
    counts: str
    seconds: float
    learning_seconds: float
    taken: bool


def work_through(
    segmenter: ClickModelSegmenter,
    samples: Iterable[Sample],
    settings: LearningSettings,
    file: Path,
    evaluation: EvaluationSettings | None = None,
) -> Iterator[WorkedObject]:
    """Work through objects, and keep what each took in a file, a line of JSON each.

    What the file holds already is not asked again. A learner that begins anew learns from those objects what
    it had learned from them.

    Args:
        segmenter: Answers, and is the start of what is learned.
        samples: The objects, in their order.
        settings: What is learned, and how; neither looks nor appearance nor weights: nothing.
        file: Where the lines go.
        evaluation: When the annotator stops; at an IoU of 0.85 or 20 clicks unless given.

    Raises:
        InputError: The file holds other objects, or the model cannot learn.
    """
    evaluation = evaluation if evaluation is not None else EvaluationSettings(target_iou=0.85)
    learns = settings.looks or settings.appearance or settings.weights
    learner = Learner(segmenter, settings) if learns else None
    known = read_campaign(file)
    for number, sample in enumerate(samples):
        if number < len(known):
            done = known[number]
            if done.name != sample.name:
                raise InputError(
                    f"Expected {sample.name} as object {number + 1} of {file}, but it is {done.name}: "
                    "the file belongs to another campaign. Name another folder with --out."
                )
            _learn(learner, sample, done)
            yield done
            continue
        done = _work(learner.segmenter if learner is not None else segmenter, sample, evaluation)
        began = time.process_time()
        _learn(learner, sample, done)
        done = replace(
            done,
            learning_seconds=round(time.process_time() - began, 3),
            taken=learner is not None and learner.taken,
        )
        append_line(file, asdict(done))
        yield done


def read_campaign(file: Path) -> list[WorkedObject]:
    """The objects of a campaign that are done; a last line that was cut off is dropped from the file.

    Raises:
        InputError: The file holds something else.
    """
    return [_read_line(line, file) for line in read_lines(file)]


def _work(segmenter: ClickModelSegmenter, sample: Sample, evaluation: EvaluationSettings) -> WorkedObject:
    session = simulate_session(segmenter, sample, evaluation)
    target = evaluation.target_iou
    return WorkedObject(
        sample.name,
        len(session.clicks),
        tuple(round(float(value), 5) for value in session.ious),
        target is not None and bool(session.ious[-1] >= np.float32(target)),
        tuple((click.row, click.col, click.positive) for click in session.clicks),
        session.counts or "",
        round(session.seconds, 3),
        0.0,
        False,
    )


def _learn(learner: Learner | None, sample: Sample, done: WorkedObject) -> None:
    """An annotator saves an object once it is good enough, so that alone is learned from."""
    if learner is not None and done.reached:
        mask = decode_rle(done.counts, (sample.mask.shape[0], sample.mask.shape[1]))
        learner.accept(sample.image, mask, [Click(*position) for position in done.positions])


def _read_line(line: str, file: Path) -> WorkedObject:
    try:
        content: dict[str, Any] = json.loads(line)
        given = {field.name: content[field.name] for field in fields(WorkedObject)}
        given["ious"] = tuple(map(float, given["ious"]))
        given["positions"] = tuple((float(r), float(c), bool(p)) for r, c, p in given["positions"])
        return WorkedObject(**given)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"Expected lines of a campaign in {file}, but: {error!r}.") from error
