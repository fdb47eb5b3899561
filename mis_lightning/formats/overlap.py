"""How overlaps between objects are resolved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.mask_box import BoxedMask

Overlap = Literal["keep", "overwrite", "allow"]
"""The object made first (``"keep"``), the one made last (``"overwrite"``), or all of them (``"allow"``)."""


def check_overlap(policy: object) -> Overlap:
    """The policy.

    Raises:
        InputError: There is no such policy.
    """
    if policy not in get_args(Overlap):
        raise InputError(f"Expected `overlap` of {', '.join(get_args(Overlap))}, but got {policy!r}.")
    return cast(Overlap, policy)


def paint(
    masks: Iterable[tuple[int, BoxedMask]], shape: tuple[int, int], policy: Overlap
) -> NDArray[np.uint16]:
    """Masks as one label map; with ``"allow"`` the object made last is seen.

    Args:
        masks: The id of each object and what it wants, in the order they were made.
        shape: ``(H, W)``.
        policy: Who gets what several want.

    Returns:
        The ids, uint16, ``(H, W)``; 0 where there is no object.
    """
    labels = np.zeros(shape, np.uint16)
    for number, mask in masks:
        part = labels[mask.box]
        wanted = mask.inside & (part == 0) if policy == "keep" else mask.inside
        np.copyto(part, np.uint16(number), where=wanted)
    return labels
