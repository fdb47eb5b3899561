"""A mask that a page sends, checked before it is decoded."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import InputError


def read_png(data: bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a PNG of two values, of which the larger is inside.

    Args:
        data: The file.
        shape: ``(H, W)`` it must have; nothing of another size is decoded.

    Returns:
        bool, ``(H, W)``.

    Raises:
        InputError: It is no PNG, of another size, damaged, or of more than two values.
    """
    height, width = shape
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.size != (width, height):
                given = f"{image.size[0]} x {image.size[1]}"
                raise InputError(f"Expected a mask of {width} x {height} pixels, but got {given}.")
            deep = image.mode == "I" or image.mode.startswith("I;16")
            values = np.asarray(image if deep else image.convert("RGB").convert("L"))
    except InputError:
        raise
    except Exception as error:  # decoders raise almost anything on damaged data
        raise InputError(f"Expected a mask as a PNG file, but it cannot be read ({error}).") from None
    found = np.unique(values)
    if len(found) > 2:
        raise InputError(f"Expected a mask of two values, black and white, but it has {len(found)}.")
    inside: NDArray[np.bool_] = values > (found[0] if len(found) == 2 else 0)
    return inside
