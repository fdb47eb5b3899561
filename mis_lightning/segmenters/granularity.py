"""How large the wanted object is: one scale that means the same in every image.

A granularity ``g`` in ``[0, 1]`` wants an object that covers ``10 ** (4 * (g - 1))`` of the image: 0 is a
ten-thousandth, 1 all of it.
"""

from __future__ import annotations

import math

from mis_lightning.errors import InputError

_DECADES = 4.0


def wanted_area(granularity: float, shape: tuple[int, int]) -> float:
    """Pixels that an object of this granularity covers in an image of size ``(H, W)``.

    >>> wanted_area(0.5, (100, 100))
    100.0
    """
    return float(shape[0] * shape[1] * 10.0 ** (_DECADES * (granularity - 1)))


def granularity_of_area(area: float, shape: tuple[int, int]) -> float:
    """The inverse of :func:`wanted_area`, in ``[0, 1]``; 0 for an area below a ten-thousandth.

    >>> granularity_of_area(100, (100, 100))
    0.5
    """
    share = area / (shape[0] * shape[1])
    return min(1.0, max(0.0, 1 + math.log10(share) / _DECADES)) if share > 0 else 0.0


def check_granularity(granularity: object) -> float:
    """A granularity as a float.

    Raises:
        InputError: It is no number in ``[0, 1]``.
    """
    number = isinstance(granularity, (int, float)) and not isinstance(granularity, bool)
    if not (number and 0 <= granularity <= 1):  # type: ignore[operator]
        raise InputError(
            "Expected a `granularity` in [0, 1], 0 for a ten-thousandth of the image and 1 for all of it, "
            f"but got {granularity!r}; leave it out to ask for no size."
        )
    return float(granularity)  # type: ignore[arg-type]
