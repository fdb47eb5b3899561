"""Requests and responses about a volume, field by field; anything else is refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mis_lightning.server.messages import Answer, Change, Key, Question

ObjectNumber = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0, le=1 << 20)]


class OfObject(Change):
    """A change that is about an object, whether or not it is on the slice shown."""

    object: ObjectNumber


class Window(Change):
    """The values that become black and white; ``None``: the default."""

    window: (
        Annotated[list[Annotated[float, Field(ge=-1e12, le=1e12)]], Field(min_length=2, max_length=2)] | None
    )


class BeginRun(Question):
    """Carry an object on from the slice shown.

    Attributes:
        object: Its id.
        revision: Of the slice that the page shows.
    """

    object: ObjectNumber
    revision: Key


class Carry(Question):
    """Do the next slice of a run.

    Attributes:
        object: Its id.
        after: Of the run, as the server said.
        number: Of the run.
        forward: Towards larger numbers of slices, or smaller ones.
        done: The slice that was done last in this direction; at first the one that the run began on.
    """

    object: ObjectNumber
    after: Count
    number: Count
    forward: bool
    done: Count


class Part(Answer):
    """An object on one slice (:class:`~mis_lightning.annotation.volume_log.SlicePart`)."""

    slice: int
    area: int
    carried: bool
    score: float


class VolumeObject(Answer):
    """An object through all slices."""

    id: int
    name: str
    parts: list[Part]


class Volume(Answer):
    """A volume.

    Attributes:
        slices: Keys of its slices, in order.
        at: Number of the one that was asked about.
        objects: What is on them.
        undo: Whether a run can be undone from this slice, of the object that was asked about.
        redo: Whether a run can be redone.
        window: The values that become black and white, as this tab shows it.
        values: The smallest and largest value.
    """

    slices: list[Key]
    at: int
    objects: list[VolumeObject]
    undo: bool
    redo: bool
    window: tuple[float, float]
    values: tuple[float, float]


class Run(Answer):
    """A run that began."""

    after: int
    number: int


class Step(Answer):
    """One slice of a run (:class:`~mis_lightning.annotation.volume_log.Carried`)."""

    slice: int
    score: float
    here: bool


class Carried(Answer):
    """The slice that was done; ``None``: the run is over in this direction."""

    done: Step | None
