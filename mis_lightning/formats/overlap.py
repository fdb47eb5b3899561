"""How overlaps between objects are resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError

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
    masks: Mapping[int, NDArray[np.bool_]], shape: tuple[int, int], policy: Overlap
) -> NDArray[np.uint16]:
    """Masks as one label map; with ``"allow"`` the object made last is seen.

    Args:
        masks: What each object wants, bool, ``(H, W)``, by id, in the order they were made.
        shape: ``(H, W)``.
        policy: Who gets what several want.

    Returns:
        The ids, uint16, ``(H, W)``; 0 where there is no object.
    """
    labels = np.zeros(shape, np.uint16)
    for number in reversed(list(masks)) if policy == "keep" else list(masks):
        np.copyto(labels, np.uint16(number), where=masks[number])
    return labels
