"""What the next answer of a click model depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.segmenters.zoom_in import ROI
from mis_lightning.structures import Click


class Look(NamedTuple):
    """One answer to a first click.

    Attributes:
        roi: Where it was asked for.
        logits: What the model said, float32, ``(h, w)``.
        score: The IoU with the object that is expected of it, in ``[0, 1)``.
    """

    roi: ROI
    logits: Tensor
    score: float


@dataclass(frozen=True)
class ClickState:
    """Everything the next step depends on. Never changed in place: a step returns a new state.

    Attributes:
        image: RGB, uint8, ``(3, H, W)``, on the model's device.
        clicks: All clicks so far, in pixels of the image.
        probability: Result of the last step (the previous mask of the next one), ``(H, W)``: float32, or bool
            where it was sharpened or is a mask to start from; ``None`` before the first.
        roi: Where the last step looked; ``None`` before the first.
        view: What it saw there: the ROI at the network's input size, float32, ``(3, h, w)``; the next step
            sees the same as long as the ROI stays.
        answer: What it said there, before it was brought to the size of the image: probability, float32,
            ``(h, w)``; ``None`` where ``probability`` was given, not answered.
        tree: Merge tree of the ROI, where answers are sharpened; used as long as the ROI stays.
        looks: The answers to a first click, best first.
        packed: A sharpened mask while the state is packed.
    """

    image: Tensor
    clicks: tuple[Click, ...] = ()
    probability: Tensor | None = None
    roi: ROI | None = None
    view: Tensor | None = None
    answer: Tensor | None = None
    tree: MergeTree | None = None
    looks: tuple[Look, ...] = ()
    packed: bytes = b""

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)`` of the image."""
        return self.image.shape[-2], self.image.shape[-1]
