"""The saved annotation of one image: click log and masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.log import ClickLog
from mis_lightning.errors import InputError
from mis_lightning.formats.named_masks import NamedMask, NamedMasks
from mis_lightning.formats.overlap import paint
from mis_lightning.formats.rle import decode_rle
from mis_lightning.formats.saved_masks import without_overlaps
from mis_lightning.mask_box import BoxedMask


@dataclass(frozen=True)
class AnnotationRecord:
    """A saved annotation, readable without the image and without a model.

    Attributes:
        log: What was done.
        counts: The own mask of each object, before the overlap policy, run-length encoded, by id.
    """

    log: ClickLog
    counts: Mapping[int, str]

    def to_json(self) -> dict[str, Any]:
        """The click log, with a ``mask`` in each object: COCO's size and counts."""
        size = list(self.log.shape)
        objects = [
            {**entry, "mask": {"size": size, "counts": self.counts[entry["id"]]}}
            for entry in self.log.content["objects"]
        ]
        return {**self.log.content, "objects": objects}

    @classmethod
    def from_json(cls, content: Any) -> AnnotationRecord:
        """Inverse of :meth:`to_json`.

        Raises:
            InputError: It is no such record; the message says where.
        """
        log = ClickLog.from_json(content)
        counts = {}
        for entry in content["objects"]:
            mask = entry.get("mask")
            if not isinstance(mask, dict) or not isinstance(mask.get("counts"), str):
                raise InputError(f"Expected a `mask` with `counts` in object {entry['id']} of a click log.")
            counts[entry["id"]] = mask["counts"]
        record = cls(log, counts)
        for number in counts:
            record.own_mask(number)  # raises where it is damaged
        return record

    def own_mask(self, id: int) -> NDArray[np.bool_]:
        """The mask of an object before the overlap policy, bool, ``(H, W)``.

        Raises:
            InputError: It is damaged.
        """
        return decode_rle(self.counts[id], self.log.shape)

    @cached_property
    def labels(self) -> NDArray[np.uint16]:
        """The ids of the objects, uint16, ``(H, W)``, 0 where there is none; not to be written to."""
        wanted = ((number, BoxedMask.of(self.own_mask(number))) for number in self.counts)
        return paint(wanted, self.log.shape, self.log.overlap)

    @property
    def masks(self) -> dict[int, NDArray[np.bool_]]:
        """The masks after the overlap policy, bool, ``(H, W)``, by id."""
        return {number: self.mask(number) for number in self.counts}

    def mask(self, id: int) -> NDArray[np.bool_]:
        """The mask of an object after the overlap policy, bool, ``(H, W)``."""
        return self.own_mask(id) if self.log.overlap == "allow" else self.labels == id

    def named(self, image: str) -> NamedMasks:
        """The masks after the overlap policy with their names, as the formats take them."""
        objects = {
            one.id: NamedMask(one.name, self.counts[one.id], category=one.category)
            for one in self.log.objects
        }
        return without_overlaps(image, self.log.shape, objects, self.log.overlap)
