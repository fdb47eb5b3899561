"""A label map as one PNG: the pixel is the label, the palette only makes it visible."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import ImageError
from mis_lightning.files import written_whole
from mis_lightning.images import read_mask

VOID = 255
"""In a file with the palette of Pascal VOC: pixels that count neither for an object nor against it."""


def label_png(labels: NDArray[np.uint16]) -> bytes:
    """Encode a label map, uint16, ``(H, W)``.

    Labels up to 254 make an 8-bit file with the palette of Pascal VOC, larger ones a grey 16-bit file: 255
    in that palette is :data:`VOID`.
    """
    if labels.max(initial=0) >= VOID:
        image = Image.fromarray(labels)
    else:
        image = Image.fromarray(labels.astype(np.uint8), mode="P")
        image.putpalette(palette())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)  # a fifth of the time, label maps are flat anyway
    return buffer.getvalue()


def write_label_png(path: Path, labels: NDArray[np.uint16]) -> None:
    """Write a label map, uint16, ``(H, W)``, whole or not at all."""
    data = label_png(labels)
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def read_label_png(path: str | Path) -> NDArray[np.uint16]:
    """Read a label map, uint16, ``(H, W)``.

    Raises:
        ImageError: The file cannot be read, or a label is not in 0..65535.
    """
    labels = read_mask(path)
    if labels.size and not 0 <= labels.min() <= labels.max() <= 65535:
        raise ImageError(f"Expected labels in 0..65535 in {path}, but got {labels.min()} to {labels.max()}.")
    return labels.astype(np.uint16)


@lru_cache(maxsize=1)
def palette() -> bytes:
    """The 256 colours of Pascal VOC, RGB: bits 0, 1, 2 of the label are the top bits of red, green, blue."""
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        colours[:, bit % 3] |= ((labels >> bit) & 1) << (7 - bit // 3)
    return colours.astype(np.uint8).tobytes()


def marks_void(path: Path) -> bool:
    """Whether a file has the palette of Pascal VOC, in which 255 is :data:`VOID`."""
    try:
        with Image.open(path) as image:
            return image.mode == "P" and bytes(image.getpalette() or ()) == palette()
    except Exception:  # no such file: whoever reads its pixels says what is wrong
        return False
