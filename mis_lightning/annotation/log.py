"""The click log: the actions on each object of an image, as JSON values that can be replayed."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mis_lightning.annotation.actions import Action, action_from_json, action_to_json
from mis_lightning.errors import InputError
from mis_lightning.formats.overlap import Overlap, check_overlap

FORMAT, VERSION = "mis-click-log", 1
MAX_OBJECTS = 65535
"""Most objects ever made on one image: the labels of a label map are uint16."""
MAX_NAME = 100
"""Longest name of an object, in characters."""
_NOT_PLAIN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class ObjectLog:
    """One object: its id, its name, its actions in order, and its class, if one was chosen."""

    id: int
    name: str
    actions: tuple[Action, ...]
    category: str | None = None


@dataclass(frozen=True)
class ClickLog:
    """Everything that makes the masks of one image.

    Attributes:
        name: Of the image.
        shape: ``(H, W)`` of the image.
        checksum: CRC-32 of the pixels in its file, whatever window or channels were shown.
        reading: How they became RGB, where it differs from the defaults, as JSON values; ``None`` in logs of
            before this was kept, whose checksum is that of the RGB bytes.
        model: What answered (:attr:`~mis_lightning.segmenters.base.Segmenter.identity`).
        settings: How it was asked, as JSON values.
        overlap: How overlaps between objects are resolved.
        objects: In the order they were made.
        active: Id of the object at work.
        next_id: Of the next object.
        order: Ids of the objects in the order in which their actions were done; in logs of before this was
            kept, one object after the other.
    """

    name: str
    shape: tuple[int, int]
    checksum: int
    reading: Mapping[str, Any] | None
    model: str
    settings: Mapping[str, Any]
    overlap: Overlap
    objects: tuple[ObjectLog, ...]
    active: int | None
    next_id: int
    order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        counts = Counter({one.id: len(one.actions) for one in self.objects})
        if Counter(self.order) != +counts:
            object.__setattr__(self, "order", tuple(counts.elements()))

    @cached_property
    def digest(self) -> str:
        """Names what was done; the same after the log is read from a file."""
        text = json.dumps(self.content, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def check_model(self, identity: str) -> None:
        """Whether a segmenter of this identity answered then.

        Raises:
            InputError: Another one did; a shipped one is named.
        """
        if self.model != identity:
            from mis_lightning.segmenters.registry import shipped_as  # imports PyTorch

            name = shipped_as(self.model)
            hint = f" Open {name}." if name else ""
            raise InputError(f"Expected the model of the click log, {self.model}, but got {identity}.{hint}")

    def to_json(self) -> dict[str, Any]:
        """The log as JSON values; :meth:`from_json` reads them."""
        return copy.deepcopy(self.content)

    @cached_property
    def content(self) -> dict[str, Any]:
        """The log as JSON values, made once; not to be written to."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "image": {
                "name": self.name,
                "height": self.shape[0],
                "width": self.shape[1],
                "crc32": self.checksum,
                **({} if self.reading is None else {"reading": dict(self.reading)}),
            },
            "model": self.model,
            "settings": dict(self.settings),
            "overlap": self.overlap,
            "active": self.active,
            "next_id": self.next_id,
            "order": list(self.order),
            "objects": [
                {
                    "id": one.id,
                    "name": one.name,
                    **({} if one.category is None else {"category": one.category}),
                    "actions": [action_to_json(action) for action in one.actions],
                }
                for one in self.objects
            ],
        }

    @classmethod
    def from_json(cls, content: Any) -> ClickLog:
        """Inverse of :meth:`to_json`. Keys it does not know are left alone.

        Raises:
            InputError: It is no click log; the message says where.
        """
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise InputError(f'Expected a click log, a JSON object with "format": "{FORMAT}".')
        if content.get("version") != VERSION:
            raise InputError(
                f"Expected a click log of version {VERSION}, but got {content.get('version')!r}; "
                "read it with the version of mis_lightning that wrote it."
            )
        image, settings = _get(content, "image", dict), _get(content, "settings", dict)
        objects = tuple(_object(entry) for entry in _get(content, "objects", list))
        ids = [one.id for one in objects]
        active, next_id = content.get("active"), _get(content, "next_id", int)
        if len(set(ids)) != len(ids) or not all(1 <= number < next_id for number in ids):
            raise InputError("Expected the objects of a click log to have distinct ids below `next_id`.")
        if (active is not None and active not in ids) or next_id > MAX_OBJECTS + 1:
            raise InputError("Expected `active` and `next_id` of a click log to fit its objects.")
        return cls(
            _get(image, "name", str),
            (_get(image, "height", int), _get(image, "width", int)),
            _get(image, "crc32", int),
            _get(image, "reading", dict) if "reading" in image else None,
            _get(content, "model", str),
            settings,
            check_overlap(content.get("overlap")),
            objects,
            active,
            next_id,
            _order(content, objects) if "order" in content else (),
        )


def check_name(name: object, what: str = "name") -> str:
    """The name of an object, or of ``what`` else, without blanks around it.

    Raises:
        InputError: It is no text, empty, too long, or holds control characters.
    """
    text = name.strip() if isinstance(name, str) else ""
    if not 1 <= len(text) <= MAX_NAME or not is_plain(text):
        raise InputError(
            f"Expected a {what} of 1 to {MAX_NAME} printable characters, but got {str(name)[:MAX_NAME]!r}."
        )
    return text


def is_plain(text: str) -> bool:
    """Whether a text holds neither control characters nor halves of surrogate pairs."""
    return _NOT_PLAIN.search(text) is None


def _object(entry: Any) -> ObjectLog:
    if not isinstance(entry, dict):
        raise InputError("Expected each object of a click log as a JSON object.")
    actions = tuple(action_from_json(action) for action in _get(entry, "actions", list))
    category = entry.get("category")
    return ObjectLog(
        _get(entry, "id", int),
        check_name(entry.get("name")),
        actions,
        None if category is None else check_name(category, "class"),
    )


def _order(content: Mapping[str, Any], objects: Sequence[ObjectLog]) -> tuple[int, ...]:
    order = _get(content, "order", list)
    counts = {one.id: len(one.actions) for one in objects}
    if sorted(map(str, order)) != sorted(str(number) for number in Counter(counts).elements()):
        raise InputError("Expected `order` of a click log to hold the id of an object for each action.")
    return tuple(int(number) for number in order)


def _get(content: Mapping[str, Any], key: str, kind: type) -> Any:
    value = content.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"Expected `{key}` in a click log as {kind.__name__}, but got {str(value)[:80]!r}.")
    return value
