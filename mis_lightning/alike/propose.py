"""All like this: proposals on a list of images from a few marked objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.alike.model import AlikeModel, MarkedImage
from mis_lightning.alike.proposal import Proposal
from mis_lightning.alike.settings import AlikeSettings
from mis_lightning.alike.sharpen import sharpen
from mis_lightning.errors import InputError
from mis_lightning.segmenters.base import Segmenter

Marked = tuple[int, NDArray[np.bool_]]
"""Which image, and a mask on it, bool, ``(H, W)``."""
COVERED = 0.5
"""A proposal that others or marked objects cover by more is left out."""


def propose(
    images: Sequence[NDArray[np.uint8]],
    examples: Iterable[Marked],
    rejected: Iterable[Marked] = (),
    segmenter: Segmenter[Any] | None = None,
    settings: AlikeSettings | None = None,
) -> list[Proposal]:
    """Find the objects that look like a few marked ones, on their images and on others.

    Args:
        images: RGB, uint8, ``(H, W, 3)`` each.
        examples: Marked objects, at least one.
        rejected: What is none, such as proposals that were refused.
        segmenter: Sharpens the proposals (:mod:`~mis_lightning.alike.sharpen`); ``None``: they stay as they
            were found.
        settings: How they are looked for.

    Returns:
        Proposals, best first. What is marked, in either way, is not proposed again.

    Raises:
        InputError: There is no example, or a mask does not fit its image.

    Example:
        >>> rows, cols = np.mgrid[:60, :90]
        >>> def disk(row, col):
        ...     return np.hypot(rows - row, cols - col) < 9
        >>> image = np.full((60, 90, 3), 40, np.uint8)
        >>> for centre in ((15, 15), (15, 45), (40, 70)):
        ...     image[disk(*centre)] = (200, 180, 60)
        >>> found = propose([image], [(0, disk(15, 15))])
        >>> [round(float((one.whole((60, 90)) & disk(15, 45)).sum() > 0)) for one in found[:2]]
        [1, 0]
    """
    examples, rejected = list(examples), list(rejected)
    for index, _ in (*examples, *rejected):
        if not 0 <= index < len(images):
            raise InputError(f"Expected the number of an image in 0..{len(images) - 1}, but got {index}.")
    marked = [
        MarkedImage(image, *([m for k, m in some if k == index] for some in (examples, rejected)))
        for index, image in enumerate(images)
    ]
    model = AlikeModel([one for one in marked if one.examples or one.rejected], settings)
    proposals = [
        replace(one, image=index)
        for index, here in enumerate(marked)
        for one in propose_on(here.image, model, [*here.examples, *here.rejected], segmenter)
    ]
    return sorted(proposals, key=lambda one: -one.score)


def propose_on(
    image: NDArray[np.uint8],
    model: AlikeModel,
    taken: Sequence[NDArray[np.bool_]] = (),
    segmenter: Segmenter[Any] | None = None,
) -> list[Proposal]:
    """Proposals on one image.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        model: What was learned.
        taken: Masks of what is marked on it, bool, ``(H, W)`` each.
        segmenter: Sharpens the proposals, if given.

    Returns:
        Best first; none is covered by better ones or by marked objects by more than half.
    """
    busy = np.any(np.stack(list(taken)), axis=0) if len(taken) else np.zeros(image.shape[:2], np.bool_)
    found = model.find(image, busy)
    return distinct(found if segmenter is None else sharpen(image, found, segmenter), busy)


def distinct(proposals: Iterable[Proposal], taken: NDArray[np.bool_]) -> list[Proposal]:
    """Leave out what better proposals or marked objects cover.

    Args:
        proposals: On one image, in any order.
        taken: The pixels of marked objects, bool, ``(H, W)``.

    Returns:
        Best first.
    """
    busy = taken.copy()
    kept = []
    for one in sorted(proposals, key=lambda one: -one.score):
        under = busy[one.box]
        if np.count_nonzero(under & one.mask) <= COVERED * np.count_nonzero(one.mask):
            under |= one.mask
            kept.append(one)
    return kept
