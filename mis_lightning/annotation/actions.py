"""The actions on an object. Each is a value, and a JSON object in the click log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mis_lightning.annotation.drawn_actions import DrawnAction, TidyAction
from mis_lightning.annotation.painting import brush_mask, simplified
from mis_lightning.annotation.positions import as_line, number, short, whole_pixels
from mis_lightning.errors import InputError
from mis_lightning.formats.rle import decode_rle, encode_rle
from mis_lightning.segmenters.base import Box, check_box, check_click
from mis_lightning.segmenters.granularity import check_granularity
from mis_lightning.structures import Click

MAX_SCRIBBLE_CLICKS = 24
"""Most clicks a scribble becomes: the most the published training shows to the network at once."""


@dataclass(frozen=True)
class ClickAction:
    """One click, in pixels of the image."""

    row: float
    col: float
    positive: bool = True
    by: str = ""
    kind: ClassVar[str] = "click"

    def clicks(self, shape: tuple[int, int]) -> list[Click]:
        """The click, checked against an image of size ``(H, W)``."""
        return [check_click(number(self.row), number(self.col), self.positive, shape)]


@dataclass(frozen=True)
class ScribbleAction:
    """Clicks along a line, answered together. The pixels of the line are obeyed as a click is.

    Attributes:
        points: The clicks as (row, col), in pixels: all that a model of clicks is shown.
        positive: Whether they belong.
        line: The corners of the line as (row, col), in whole pixels; empty in logs of before, where the
            clicks alone are obeyed.
    """

    points: tuple[tuple[float, float], ...]
    positive: bool = True
    line: tuple[tuple[int, int], ...] = ()
    by: str = ""
    kind: ClassVar[str] = "scribble"

    @classmethod
    def of(cls, points: ArrayLike, positive: bool, shape: tuple[int, int]) -> ScribbleAction:
        """A scribble along any points on an image of size ``(H, W)``."""
        line = simplified(whole_pixels(points, shape, least=1))
        return cls(sample_scribble(points, shape), bool(positive), line)

    def drawn(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The pixels of the line, bool, of size ``(H, W)``."""
        if not self.line:
            return np.zeros(shape, np.bool_)
        return brush_mask(whole_pixels(self.line, shape, least=1), 0.5, shape)

    def clicks(self, shape: tuple[int, int]) -> list[Click]:
        """The clicks, checked against an image of size ``(H, W)``."""
        if not 1 <= len(self.points) <= MAX_SCRIBBLE_CLICKS:
            raise InputError(
                f"Expected 1 to {MAX_SCRIBBLE_CLICKS} points of a scribble, but got {len(self.points)}."
            )
        return [check_click(number(row), number(col), self.positive, shape) for row, col in self.points]


@dataclass(frozen=True)
class BoxAction:
    """A box around the object."""

    top: float
    left: float
    bottom: float
    right: float
    by: str = ""
    kind: ClassVar[str] = "box"

    def box(self, shape: tuple[int, int]) -> Box:
        """The box, checked against an image of size ``(H, W)``."""
        top, left, bottom, right = map(number, (self.top, self.left, self.bottom, self.right))
        return check_box(top, left, bottom, right, shape)


@dataclass(frozen=True)
class LevelAction:
    """The region of the merge tree around a pixel, ``level`` merges above its patch."""

    row: float
    col: float
    level: int
    kind: ClassVar[str] = "level"

    def click(self, shape: tuple[int, int]) -> Click:
        """The pixel as a positive click, checked against an image of size ``(H, W)``."""
        return check_click(number(self.row), number(self.col), True, shape)


@dataclass(frozen=True)
class MaskAction:
    """A mask to start from, run-length encoded (:mod:`mis_lightning.formats.rle`)."""

    counts: str
    kind: ClassVar[str] = "mask"

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> MaskAction:
        """Start from a mask, bool, ``(H, W)``."""
        return cls(encode_rle(mask))

    def mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask, bool, of size ``(H, W)``."""
        return decode_rle(self.counts, shape)


@dataclass(frozen=True)
class LookAction:
    """Another answer to the first click: number ``index`` of the segmenter's alternatives, best first."""

    index: int
    kind: ClassVar[str] = "look"


@dataclass(frozen=True)
class GranularityAction:
    """The clicks so far, answered again for an object of this size; later clicks keep it.

    Attributes:
        granularity: Of the object, in [0, 1] (:mod:`mis_lightning.segmenters.granularity`); ``None``: not
            told any more.
    """

    granularity: float | None
    by: str = ""
    kind: ClassVar[str] = "granularity"


@dataclass(frozen=True)
class CarryAction:
    """The object of a neighbouring slice of a volume, carried to this one.

    Attributes:
        counts: Its mask there, moved as the picture moves; run-length encoded. Empty: the object has ended.
        points: The pixel deepest inside that mask, a positive click; none where it is empty.
        source: Slice that the run began on.
        after: Actions of the object on that slice, when the run began.
        run: Number of the run, from 1; all slices of one run are undone together.
        score: How well the answer fits what was carried, in [0, 1].
    """

    counts: str
    points: tuple[tuple[float, float], ...]
    source: int
    after: int
    run: int
    score: float
    by: str = ""
    kind: ClassVar[str] = "carry"

    def mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask to start from, bool, of size ``(H, W)``."""
        return decode_rle(self.counts, shape)

    def clicks(self, shape: tuple[int, int]) -> list[Click]:
        """The click, if there is one, checked against an image of size ``(H, W)``."""
        if len(self.points) > 1:
            raise InputError(f"Expected at most one point of a carried object, but got {len(self.points)}.")
        return [check_click(number(row), number(col), True, shape) for row, col in self.points]


Answered = ClickAction | ScribbleAction | BoxAction | CarryAction | GranularityAction
"""Actions that the segmenter answers. ``by``: what it had learned then, if it learns."""

Action = (
    ClickAction
    | ScribbleAction
    | BoxAction
    | LevelAction
    | LookAction
    | GranularityAction
    | MaskAction
    | CarryAction
    | DrawnAction
    | TidyAction
)

_KINDS: Mapping[str, type[Action]] = {kind.kind: kind for kind in get_args(Action)}


def action_to_json(action: Action) -> dict[str, Any]:
    """The action as JSON values."""
    content = {"kind": action.kind, **vars(action)}  # asdict copies deeply: a tenth of a millisecond each
    if content.get("by") == "":
        del content["by"]
    return content


def stamped(action: Action, version: str) -> Action:
    """An action that the segmenter answers, noted with what it had learned then; others as they are."""
    return replace(action, by=version) if isinstance(action, Answered) and action.by != version else action


def told_granularity(actions: Sequence[Action]) -> float | None:
    """The size that is told after some actions; whatever starts over forgets it."""
    for action in reversed(actions):
        if isinstance(action, GranularityAction):
            return action.granularity
        if isinstance(action, (BoxAction, LevelAction, MaskAction, CarryAction)):
            return None
    return None


def action_from_json(entry: Any) -> Action:
    """Read an action of a log; whether it fits the image is checked when it is done.

    Raises:
        InputError: It is no action.
    """
    name = entry.get("kind") if isinstance(entry, dict) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputError(f"Expected an action with a `kind` of {', '.join(_KINDS)}, but got {short(entry)}.")
    names = {field.name for field in fields(kind)}
    given = {name: value for name, value in entry.items() if name != "kind"}
    try:
        if given.keys() - names:
            raise TypeError(f"unknown: {', '.join(sorted(given.keys() - names))}")
        for line in given.keys() & {"points", "line"}:
            given[line] = tuple((row, col) for row, col in given[line])
        action = kind(**given)
        for field in fields(kind):
            _check_type(field.name, getattr(action, field.name))
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected a {kind.kind} action, but got {short(entry)} ({error}).") from error
    return action


def sample_scribble(points: ArrayLike, shape: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    """Choose clicks along a line, at equal distances, its ends among them.

    Args:
        points: The corners of the line as (row, col) in pixels, ``(N, 2)``, ``N >= 1``.
        shape: ``(H, W)`` of the image; the clicks are at least a fortieth of its longer side apart.

    Returns:
        1 to 24 points.

    Raises:
        InputError: The points are not numbers on the image.
    """
    line = as_line(points, shape)
    lengths = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    count = min(MAX_SCRIBBLE_CLICKS, 1 + math.floor(along[-1] / (max(shape) / 40)))
    places = np.linspace(0, along[-1], count) if count > 1 else np.array([along[-1] / 2])
    rows, cols = (np.interp(places, along, line[:, axis]) for axis in (0, 1))
    return tuple(zip(rows.tolist(), cols.tolist(), strict=True))


def _check_type(name: str, value: Any) -> None:
    if name == "positive" and not isinstance(value, bool):
        raise TypeError(f"`positive` is {value!r}")
    if name in ("counts", "by") and not isinstance(value, str):
        raise TypeError(f"`{name}` is not text")
    whole = name in ("level", "index", "pixels", "source", "after", "run")
    if whole and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"`{name}` is {value!r}")
    if name == "score" and not (type(value) in (int, float) and 0 <= value <= 1):
        raise TypeError(f"`score` is {value!r}")
    if name == "granularity" and value is not None:
        check_granularity(value)
    if name == "radius" and type(value) not in (int, float):
        raise TypeError(f"`radius` is {value!r}")
