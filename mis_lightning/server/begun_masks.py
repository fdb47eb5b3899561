"""Masks that were there before: of another tool, or proposals, opened as objects to be corrected."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from mis_lightning.annotation.actions import MaskAction
from mis_lightning.annotation.log import MAX_OBJECTS, ObjectLog, check_name
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.console import counted
from mis_lightning.data.labelled_images import LabelledImage, LabelledImages
from mis_lightning.errors import InputError, Note
from mis_lightning.formats.named_masks import NamedMasks
from mis_lightning.formats.slice_view import Axis
from mis_lightning.images import Reading


class BegunMasks:
    """The masks of some images, by file and slice.

    Args:
        images: As of :class:`~mis_lightning.server.library.Library`.
        masks: Whatever :class:`~mis_lightning.data.labelled_folder.LabelledFolder` reads: a COCO file, a
            folder of label maps, of a file for each object, or of ``mis annotate``, or a label volume.
        reading: How the images become RGB.
        axis: Across which volumes are cut.
        ignored: The number of pixels that do not count in label maps and volumes.

    Attributes:
        classes: Of a COCO file, used or not, in the order of their ids: an export numbers them from 1 on.

    Raises:
        InputError: No image has masks, or a file cannot be read.
    """

    def __init__(
        self,
        images: Path,
        masks: Path,
        reading: Reading | None = None,
        axis: Axis = "axial",
        ignored: int | None = None,
    ) -> None:
        reading = reading if reading is not None else Reading()
        self._images = LabelledImages(images, masks, reading, axis, ignored)
        self._found: dict[tuple[Path, int | None], LabelledImage] = {
            (one.path.resolve(), one.slice): one for one in self._images
        }
        named = [one.masks for one in self._found.values() if isinstance(one.masks, NamedMasks)]
        crowds = sum(one.crowd for image in named for one in image.objects)
        if crowds:
            warnings.warn(
                f"{counted(crowds, 'crowd region')} of {masks} left out: the page shows, saves and exports "
                "objects alone.",
                Note,
                stacklevel=2,
            )
        self.classes = tuple(dict.fromkeys(name for image in named for name in image.classes))

    def __len__(self) -> int:
        return len(self._found)

    def without_images(self) -> set[Path]:
        """Where the masks are, links resolved: their folder, or where images lie in it, their files."""
        return self._images.without_images()

    def has(self, path: Path, slice: int | None) -> bool:
        """Whether an image, or a slice of a volume, has masks."""
        return (path, slice) in self._found

    def begin(self, session: AnnotationSession, path: Path, slice: int | None) -> None:
        """Give a session the objects of its image, each begun with its mask; where they overlap, they may.

        Raises:
            InputError: The masks cannot be read, or are of an image of another size, or a number in a volume
                is above 65535.
        """
        image = self._found[path, slice]
        found = self._images.named(image)
        if found.shape != session.shape:
            raise InputError(
                f"The masks of {image.key} have {found.shape[0]} rows and {found.shape[1]} columns, but the "
                f"image has {session.shape[0]} and {session.shape[1]}. Replace one of the two files."
            )
        objects, counts = [], {}
        taken = np.zeros(session.shape, np.bool_)
        whole = [(one, mask) for one, mask in zip(found.objects, found.masks(), strict=True) if not one.crowd]
        numbers = self._numbers(image, [one.id for one, _ in whole])
        for place, (number, (one, mask)) in enumerate(zip(numbers, whole, strict=True), 1):
            called = f"{one.name} {place}" if one.name == one.category else one.name
            kind = None if one.category is None else check_name(one.category, "class")
            objects.append(ObjectLog(number, check_name(called), (MaskAction(one.counts),), kind))
            counts[number] = one.counts
            if (taken & mask).any():
                session.overlap = "allow"
            taken |= mask
        log = session.record(with_masks=False).log
        active = objects[-1].id if objects else None
        next_id = max(numbers, default=0) + 1
        session.take_over(replace(log, objects=tuple(objects), active=active, next_id=next_id), counts)

    def _numbers(self, image: LabelledImage, known: list[int | None]) -> list[int]:
        """The ids of objects: those they have; else from 1 on, through all slices of a volume."""
        ids = [one for one in known if one is not None]
        if len({*ids}) == len(known) and all(1 <= one <= MAX_OBJECTS for one in ids):
            return ids
        if image.slice is None:
            return list(range(1, len(known) + 1))
        if len(ids) == len(known):
            raise InputError(
                f"Expected object numbers in 1..{MAX_OBJECTS} in the masks of {image.key}, but got up to "
                f"{max(ids)}. Renumber them."
            )
        before = 0
        for one in self._found.values():
            if one is image:
                break
            if one.path == image.path:
                before += _count(one)
        return list(range(before + 1, before + len(known) + 1))


def _count(image: LabelledImage) -> int:
    """The number of objects of an image whose masks have no numbers."""
    if isinstance(image.masks, NamedMasks):
        return sum(not one.crowd for one in image.masks.objects)
    return len(image.masks.parts)
