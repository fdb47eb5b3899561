"""Requests and responses of the page, field by field; anything else is refused."""

from __future__ import annotations

import base64
import zlib
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mis_lightning.annotation.log import MAX_NAME

MAX_POINTS = 4096
"""Most points of a line."""
MAX_KNOWN = 1024
"""Most masks a page may say it has; beyond them masks are simply sent again."""

Position = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Key = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
ObjectId = Annotated[str, Field(pattern="^[0-9]{1,5}$")]
Saved = Literal["none", "draft", "saved"]
ExportFormat = Literal["coco", "labels", "png", "volumes"]


class Question(BaseModel):
    """What the page sends."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Answer(BaseModel):
    """What the server answers."""

    model_config = ConfigDict(extra="forbid")


class OpenTab(Question):
    """A page opens: its tab if it has one, and the other open tabs of its browser."""

    tab: Key | None = None
    open: Annotated[list[Key], Field(max_length=100)] = []
    token: Annotated[str, Field(max_length=200)] | None = None


class Change(Question):
    """A change of what the page shows.

    Attributes:
        revision: Of the state that the page shows; a change of any other state is refused.
        known: The versions of the masks it has, by id of the object.
        object: On a slice of a volume, the object that the change is about; it may be new on this slice.
    """

    revision: Key
    known: Annotated[
        dict[Annotated[str, Field(pattern="^[0-9]{1,5}$")], Key], Field(max_length=MAX_KNOWN)
    ] = {}
    object: Annotated[int, Field(ge=1, le=65535)] | None = None


class Click(Change):
    """A click, in pixels of the image."""

    row: Position
    col: Position
    positive: bool = True


class Line(Change):
    """A line, or a polygon, as (row, col) in pixels of the image."""

    points: Annotated[
        list[Annotated[list[Position], Field(min_length=2, max_length=2)]],
        Field(min_length=1, max_length=MAX_POINTS),
    ]
    positive: bool = True


class Box(Change):
    """A box, in pixels of the image, its edges included."""

    top: Position
    left: Position
    bottom: Position
    right: Position


class Level(Change):
    """The region ``level`` merges above the patch of a pixel."""

    row: Position
    col: Position
    level: Annotated[int, Field(ge=0, le=1 << 20)]


class Granularity(Change):
    """The size of the active object; ``None``: not told."""

    granularity: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None


class Pixel(Question):
    """A pixel."""

    row: Position
    col: Position


class NewObject(Change):
    """A new object."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = None


class Rename(Change):
    """A new name."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class Classify(Change):
    """A class, perhaps a new one; ``None``: none."""

    category: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None


class NewClass(Question):
    """A class for all images."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class Save(Change):
    """Save the masks to the results; ``replace`` what someone else has saved in the meantime."""

    replace: bool = False


class Adopt(Question):
    """Go on with an image that was replaced on disk; ``masks``: keep them, without their clicks."""

    masks: bool


class Tab(Answer):
    """The tab that a page works in."""

    tab: Key


class Info(Answer):
    """Facts about the server.

    Attributes:
        version: Of mis_lightning.
        model: What answers clicks, in words.
        trained: Whether that is a model, not the merge tree.
        results: Where saved masks lie.
        volumes: Whether there are slices of volumes, so that label volumes can be exported.
        granularity: Whether what answers can be told the size of an object.
    """

    version: str
    model: str
    trained: bool
    results: str
    volumes: bool
    granularity: bool


class ImageLine(Answer):
    """One entry of the image list.

    Attributes:
        objects: How many; ``None`` where masks were not counted yet.
        volume: What the volume is called that it is a slice of; ``None``: it is no slice.
    """

    key: Key
    name: str
    state: Saved
    objects: int | None
    volume: str | None = None


class ClickMark(Answer):
    """A click in effect."""

    row: float
    col: float
    positive: bool


class Mask(Answer):
    """A mask: where its runs of pixels begin and end.

    Attributes:
        version: Changes with the mask.
        runs: uint32, little-endian, base64: first and one past the last pixel of each run, row by row;
            ``None`` where the page has this version.
    """

    version: Key
    runs: str | None


class ObjectState(Answer):
    """An object.

    Attributes:
        granularity: The size that was told, in ``[0, 1]``; ``None``: none was.
    """

    id: int
    name: str
    area: int
    category: str | None
    actions: int
    granularity: float | None
    clicks: list[ClickMark]
    mask: Mask


class Times(Answer):
    """Milliseconds that the answer took in the server: in the model, and in all."""

    model: float
    server: float


class State(Answer):
    """One image, as the page shows it.

    Attributes:
        revision: Names this state; the next change refers to it.
        saved: ``"none"``: nothing done; ``"draft"``: kept, but for this tab only; ``"saved"``: a result.
        classes: Names of the classes, in the order of their numbers.
        next: Id of the next object.
        undo: What would be undone, in words; ``None``: nothing.
        redo: What would be done again.
    """

    revision: Key
    saved: Saved
    height: int
    width: int
    active: int | None
    classes: list[str] = []
    next: int
    undo: str | None
    redo: str | None
    objects: list[ObjectState]
    times: Times = Times(model=0, server=0)


class Levels(Answer):
    """The nested regions about a pixel.

    Attributes:
        grid: Patches of the merge tree, height and width.
        first: uint16, little-endian, base64, ``(h, w)``: the lowest level that holds each patch.
        levels: Levels worth proposing, ascending.
        shares: Share of the image that each of them covers.
        start: Index of the one to begin with.
    """

    grid: Annotated[list[int], Field(min_length=2, max_length=2)]
    first: str
    levels: list[int]
    shares: list[float]
    start: int


class Problem(Answer):
    """Why a request was refused."""

    detail: str


def to_text(values: NDArray[np.generic]) -> str:
    """Numbers as base64, little-endian."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()).decode(
        "ascii"
    )


def to_mask(runs: NDArray[np.uint32], known: str | None) -> Mask:
    """A mask, without its runs where the version is known."""
    data = runs.astype("<u4", copy=False).tobytes()
    version = f"{zlib.crc32(data):08x}{len(data):08x}"
    return Mask(version=version, runs=None if version == known else base64.b64encode(data).decode("ascii"))
