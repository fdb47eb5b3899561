"""What the next answer of a click model depends on, and its compact form."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.segmenters.zoom_in import ROI, paste, paste_within
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
        packed: A mask while the state is packed.
        guess: Whether the mask is a guess, all of which a click may change, near it or not.
        held: Pixels that belong and pixels that do not, by hand, bool, ``(H, W)`` each; lost by packing.
        granularity: How large the object is, in ``[0, 1]`` (:mod:`.granularity`); ``None``: not told.
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
    guess: bool = False
    held: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None
    granularity: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)`` of the image."""
        return self.image.shape[-2], self.image.shape[-1]


def packed(state: ClickState) -> ClickState:
    """A state without what :func:`unpacked` can make again: a mask as a few kilobytes, an answer as it is."""
    state, last = replace(state, view=None, tree=None, held=None), state.probability
    if last is not None and last.dtype == torch.bool:
        bits = np.packbits(last.cpu().numpy()).tobytes()
        return replace(state, probability=None, packed=zlib.compress(bits, 1))
    return state if state.answer is None or state.roi is None else replace(state, probability=None)


def unpacked(state: ClickState) -> ClickState:
    """A packed state with its last mask or probability, to the bit; any other one as it is."""
    if state.probability is not None:
        return state
    if state.packed:
        bits = np.frombuffer(zlib.decompress(state.packed), np.uint8)
        mask = np.unpackbits(bits, count=math.prod(state.shape)).view(np.bool_).reshape(state.shape)
        last = torch.from_numpy(mask).to(state.image.device)
        return replace(state, probability=last, packed=b"")
    if state.answer is None or state.roi is None:
        return state
    with torch.inference_mode():
        return replace(state, probability=paste(state.answer, state.roi, state.shape))


def above(last: Tensor, threshold: float) -> Tensor:
    """The mask of a last result, bool, ``(H, W)``; one that is a mask already as it is."""
    return last if last.dtype == torch.bool else last > threshold


def previous_mask(state: ClickState, feedback: float, roi: ROI) -> Tensor:
    """What the network is shown of the last answer in an ROI, float32 or bool, ``(height, width)`` of it.

    Args:
        state: A state that has one.
        feedback: Share of the sharpened mask in it; the rest is the network's own answer.
        roi: Anywhere in the image.
    """
    assert state.probability is not None
    last = state.probability[roi.window]
    if feedback == 1 or state.answer is None or state.roi is None:
        return last
    return feedback * last.float() + (1 - feedback) * paste_within(state.answer, state.roi, roi)


def softened(mask: NDArray[np.bool_], soft: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Probabilities, float32, ``(H, W)``, moved to where they are above the threshold on the mask only."""
    limit = np.float32(threshold)
    soft[mask] = np.maximum(soft[mask], np.nextafter(limit, np.float32(1)))
    soft[~mask] = np.minimum(soft[~mask], limit)
    return soft


def held_in(state: ClickState, roi: ROI) -> list[tuple[NDArray[np.bool_], bool]]:
    """The pixels of an ROI whose labels were given by hand, bool, ``(H, W)`` of it, and their labels."""
    if state.held is None:
        return []
    return [(state.held[0][roi.window], True), (state.held[1][roi.window], False)]


def roi_pixels(state: ClickState, roi: ROI) -> NDArray[np.uint8]:
    """The image in an ROI, RGB, uint8, ``(H, W, 3)`` of it."""
    rows, cols = roi.window
    part = state.image[:, rows, cols]
    pixels: NDArray[np.uint8] = part.permute(1, 2, 0).cpu().numpy()
    return pixels


def mask_with(state: ClickState, roi: ROI, inside: NDArray[np.bool_], around: Tensor | None = None) -> Tensor:
    """A mask of an ROI, bool, ``(H, W)`` of it, in the image; outside the ROI as ``around``, or empty."""
    device = state.image.device
    whole = (
        around.clone() if around is not None else torch.zeros(state.shape, dtype=torch.bool, device=device)
    )
    whole[roi.window] = torch.from_numpy(inside).to(device)
    return whole
