"""One mask as a grey PNG, 0 outside and 255 inside."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import ImageError
from mis_lightning.files import written_whole
from mis_lightning.images import read_mask


def binary_png(mask: NDArray[np.bool_]) -> bytes:
    """Encode a mask, bool, ``(H, W)``."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def write_binary_png(path: Path, mask: NDArray[np.bool_]) -> None:
    """Write a mask, bool, ``(H, W)``, whole or not at all."""
    data = binary_png(mask)
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def read_binary_png(path: str | Path) -> NDArray[np.bool_]:
    """Read a mask of two values, of which the larger is inside; bool, ``(H, W)``.

    Raises:
        ImageError: The file cannot be read, or holds more than 0 and one other value.
    """
    values = read_mask(path)
    found = np.unique(values)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        raise ImageError(
            f"Expected a mask of 0 and one other value in {path}, but it holds {len(found)} values, "
            f"{found[0]} to {found[-1]}. Read a label map with read_label_png."
        )
    return values != 0
