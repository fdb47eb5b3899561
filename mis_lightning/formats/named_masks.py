"""What every format writes and reads: the named masks of one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mis_lightning.formats.rle import decode_rle, encode_rle


@dataclass(frozen=True)
class NamedMask:
    """One object.

    Attributes:
        name: What it is called; where no object has a class, the category in COCO.
        counts: Its pixels, run-length encoded (:mod:`mis_lightning.formats.rle`).
        crowd: It is no object but a region of many, which measurements leave out (``iscrowd`` in COCO).
        category: Its class, the category in COCO; ``None``: it has none.
        score: Of a proposal, in ``[0, 1]`` (``score`` in COCO).
        id: Its number where it has one, from 1: in a volume the same on all slices.
    """

    name: str
    counts: str
    crowd: bool = False
    category: str | None = None
    score: float | None = None
    id: int | None = None


@dataclass(frozen=True)
class NamedMasks:
    """The objects of one image; they may overlap.

    Attributes:
        image: Path of the image inside its folder, with ``/``.
        shape: ``(H, W)`` of the image.
        objects: In their order.
        classes: All that the file has, used or not, in the order of their numbers; a COCO file has them.
    """

    image: str
    shape: tuple[int, int]
    objects: tuple[NamedMask, ...]
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, image: str, masks: list[tuple[str, NDArray[np.bool_]]], shape: tuple[int, int]) -> NamedMasks:
        """Encode names and masks, bool, ``(H, W)``."""
        return cls(image, shape, tuple(NamedMask(name, encode_rle(mask)) for name, mask in masks))

    def masks(self) -> list[NDArray[np.bool_]]:
        """The masks, bool, ``(H, W)``, in their order."""
        return [decode_rle(one.counts, self.shape) for one in self.objects]
