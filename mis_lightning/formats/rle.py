"""COCO's compressed run-length encoding, character for character as pycocotools writes it.

Runs alternate between outside and inside, in column-major order, beginning outside. From the fourth on, each
run is written as the difference from the run before the last. A number is cut into groups of 5 bits, lowest
first, sign-extended; bit 5 says that more follows; each group is a character from ``"0"`` on.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.mask_box import mask_box

_GROUPS = 13  # 5 bits each hold any int64


def encode_rle(mask: NDArray[np.bool_]) -> str:
    """Encode a mask, bool, ``(H, W)``.

    >>> encode_rle(np.eye(3, dtype=bool))
    '013000'
    """
    # column-major; OpenCV turns a photograph over ten times as fast as NumPy
    pixels = cv2.transpose(np.ascontiguousarray(mask).view(np.uint8)).ravel() if mask.size else mask.ravel()
    edges = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    bounds = np.concatenate([[0] if pixels[:1].any() else [], [0], edges, [pixels.size]]).astype(np.int64)
    return counts_to_text(np.diff(bounds))


def decode_rle(text: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask, bool, of size ``(H, W)`` = ``shape``.

    Raises:
        InputError: The text is no such encoding, or of a mask of another number of pixels.
    """
    counts = text_to_counts(text)
    pixels = shape[0] * shape[1]
    if ((counts < 0) | (counts > pixels)).any() or int(counts.sum()) != pixels:
        raise InputError(
            f"Expected the runs of a mask of {shape[0]}x{shape[1]} pixels, "
            f"but they add up to {int(counts.sum())}."
        )
    inside = np.arange(len(counts)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, counts).reshape(shape[1], shape[0]).T)


def rle_area(text: str) -> int:
    """Pixels of an encoded mask; it is not decoded.

    Raises:
        InputError: The text is no such encoding.
    """
    return int(text_to_counts(text)[1::2].sum())  # runs outside and inside take turns


def area_and_box(text: str, shape: tuple[int, int]) -> tuple[int, tuple[int, int, int, int]]:
    """Pixels of an encoded mask, and its box as COCO has it: ``(x, y, width, height)``; zeros where empty."""
    mask = decode_rle(text, shape)
    rows, cols = mask_box(mask)
    return int(mask.sum()), (cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)


def counts_to_text(counts: NDArray[np.int64]) -> str:
    """Compress run lengths, int64, ``(n,)``."""
    numbers = counts.copy()
    numbers[3:] -= counts[1:-2]
    groups = (numbers[:, None] >> (5 * np.arange(_GROUPS))) & 31
    rest = numbers[:, None] >> (5 * np.arange(1, _GROUPS + 1))  # what is left after each group
    sign = (groups & 16) != 0
    ends = np.where(sign, rest == -1, rest == 0)
    last = ends.argmax(axis=1)  # the first group after which nothing is left
    place = np.arange(_GROUPS)
    characters = groups + np.where(place < last[:, None], 32, 0) + 48
    return bytes(characters[place <= last[:, None]].astype(np.uint8)).decode("ascii")


def text_to_counts(text: str) -> NDArray[np.int64]:
    """Run lengths, int64, ``(n,)``.

    Raises:
        InputError: The text is no such encoding.
    """
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        codes = np.array([-1])
    starts = np.flatnonzero(np.concatenate([[True], (codes & 32) == 0]))[:-1]  # after each last group
    if ((codes < 0) | (codes > 63)).any() or (len(codes) and codes[-1] & 32):
        raise InputError("Expected the compressed runs of a mask, but the text is damaged.")
    if not len(codes):
        return np.zeros(0, np.int64)
    lengths = np.diff(np.append(starts, len(codes)))
    if lengths.max() > _GROUPS - 1:
        raise InputError("Expected the compressed runs of a mask, but a run is too long.")
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
    negative = (codes[starts + lengths - 1] & 16) != 0
    numbers[negative] -= np.int64(1) << (5 * lengths[negative])
    numbers[1::2] = numbers[1::2].cumsum()  # each run from the fourth on is added to the run before the last
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers
