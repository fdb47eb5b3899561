"""Sessions -> responses to the page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.server import messages
from mis_lightning.server.pixel_runs import label_runs, mask_runs
from mis_lightning.server.workspace import revision

LEAST_GROWTH = 1.08
"""A proposed region is at least this much larger than the one before; smaller steps are not seen."""
FIRST_SHARE = 0.02
"""The slider begins at the smallest proposal that covers this share of the image."""


def describe(session: AnnotationSession, saved: messages.Saved, known: Mapping[str, str]) -> messages.State:
    """Everything the page shows of an image.

    Args:
        session: Of the image.
        saved: How far it is.
        known: Versions of the masks that the page has, by id.
    """
    log = session.record(with_masks=False).log
    objects = []
    runs = _runs(session)
    empty = np.zeros((0, 2), np.uint32)
    for one in session.objects:
        clicks = [messages.ClickMark(row=c.row, col=c.col, positive=c.positive) for c in one.clicks]
        objects.append(
            messages.ObjectState(
                id=one.id,
                name=one.name,
                area=one.area,
                actions=one.n_actions,
                category=one.category,
                granularity=one.granularity,
                clicks=clicks,
                mask=messages.to_mask(runs.get(one.id, empty), known.get(str(one.id))),
            )
        )
    return messages.State(
        revision=revision(session),
        saved=saved,
        height=session.shape[0],
        width=session.shape[1],
        active=session.active,
        next=log.next_id,
        undo=session.undoable,
        redo=session.redoable,
        objects=objects,
    )


def levels_at(session: AnnotationSession, row: float, col: float) -> messages.Levels:
    """The regions that the merge tree proposes about a pixel.

    Raises:
        InputError: The pixel is not on the image.
    """
    first = session.level_map(row, col)
    sizes = np.bincount(first.ravel(), minlength=session.levels(row, col)).cumsum()
    levels, last = [], 0.0
    for level, size in enumerate(sizes.tolist()):
        if size >= LEAST_GROWTH * last and size > last:
            levels.append(level)
            last = size
    if levels[-1] != len(sizes) - 1:
        levels[-1] = len(sizes) - 1  # the whole image ends the slider
    shares = [float(sizes[level]) / first.size for level in levels]
    start = next(i for i, share in enumerate(shares) if share >= FIRST_SHARE or i == len(shares) - 1)
    return messages.Levels(
        grid=list(first.shape),
        first=messages.to_text(first),
        levels=levels,
        shares=shares,
        start=start,
    )


def _runs(session: AnnotationSession) -> dict[int, NDArray[np.uint32]]:
    if session.overlap == "allow":
        return {one.id: mask_runs(session.mask(one.id)) for one in session.objects}
    return label_runs(session.label_map())
