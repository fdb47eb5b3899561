"""Clicks -> disk maps: what the network sees of the clicks.

Rule: docs/protocol.md#click-maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.structures import Click

RADIUS = 5.0


def pack_points(clicks: Sequence[Sequence[Click]], half: int | None = None) -> Tensor:
    """Lay the clicks of a batch out as one points tensor.

    Args:
        clicks: For each sample its clicks, in the order they were made.
        half: Rows per half, ``K``; by default the largest number of equal-signed clicks in one sample, at
            least 1.

    Returns:
        float64 ``(B, 2K, 3)``: each half filled from its first row in click order, third column the index of
        the click in its sample (from 0, both kinds counted together), unused rows ``(-1, -1, -1)``. Clicks in
        a crop have fractions; they are rounded to float32 only as distances (:func:`encode_points`), as in
        the published code.

    Raises:
        InputError: A sample has more positive or more negative clicks than ``half``.

    Example:
        >>> pack_points([[Click(4, 5, True), Click(1, 2, False), Click(7, 7, True)]])[0].int().tolist()
        [[4, 5, 0], [7, 7, 2], [1, 2, 1], [-1, -1, -1]]
    """
    halves = [
        [(c.row, c.col, order) for order, c in enumerate(one) if bool(c.positive) is kind]
        for one in clicks
        for kind in (True, False)
    ]
    most = max(map(len, halves), default=0)
    if half is None:
        half = max(most, 1)
    elif most > half:
        raise InputError(f"Expected at most {half} clicks of a kind per image, but got {most}; raise `half`.")
    padded = [[*rows, *[(-1, -1, -1)] * (half - len(rows))] for rows in halves]
    return torch.tensor(padded, dtype=torch.float64).reshape(len(clicks), 2 * half, 3)


def encode_points(points: Tensor, size: tuple[int, int], radius: float = RADIUS) -> Tensor:
    """Draw a filled disk around every click, positive and negative clicks in separate channels.

    A pixel is 1 iff its squared distance to some valid click of its channel is at most ``radius²``; positions
    may be fractional or outside the image. A click is invalid iff ``max(row, col) < 0``. The order column is
    not used.

    Only the pixels around each click are visited, so memory and time do not grow with clicks x pixels; also
    in an exported graph, where B and K stay free.

    Args:
        points: ``(B, 2K, 3)``, float32 or float64, see :mod:`mis_lightning.structures`. The distance to a
            pixel along each axis is taken in their type, its square in float32.
        size: Height and width of the maps.
        radius: In pixels.

    Returns:
        float32 ``(B, 2, H, W)`` of 0 and 1; channel 0 positive, channel 1 negative. No gradient.

    Example:
        >>> int(encode_points(pack_points([[Click(10, 10, True)]]), (32, 32)).sum())
        81
    """
    points = points.detach()
    height, width = size
    batch, rows = points.shape[:2]
    tracing = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined]
    position = points[..., :2].reshape(-1, 2)
    channel = torch.arange(batch * rows, device=points.device) // (rows // 2)
    invalid = position.amax(1) < 0
    if points.device.type == "cpu" and not tracing:
        # Most rows are unused; but a GPU would have to wait for their number, and a graph needs fixed shapes.
        position, channel, invalid = position[~invalid], channel[~invalid], invalid[~invalid]
    reach = ceil(radius)
    offset = torch.arange(-reach, reach + 1, device=points.device, dtype=points.dtype)
    pixel = position.floor()[:, :, None] + offset
    row, col = pixel.unbind(1)
    row_square, col_square = (pixel - position[:, :, None]).float().square().unbind(1)
    row_square = row_square.masked_fill((row < 0) | (row >= height) | invalid[:, None], torch.inf)
    col_square = col_square.masked_fill((col < 0) | (col >= width), torch.inf)
    inside = row_square[:, :, None] + col_square[:, None, :] <= radius * radius

    # One spare cell at the end takes what falls outside, so that no data-dependent shape is needed.
    spare = batch * 2 * height * width
    first = channel[:, None] * (height * width) + row.long() * width
    index = first[:, :, None] + col.long()[:, None, :]
    index = index.where(inside, spare).flatten()
    if tracing:  # a maximum, since ONNX leaves open what happens where indices repeat
        ones = torch.ones_like(index, dtype=torch.float32)
        maps = torch.zeros(spare + 1, device=points.device).scatter_reduce(0, index, ones, "amax")
    else:
        maps = _zeros(spare + 1, points.device).index_fill_(0, index, 1.0)
    return maps[:spare].view(batch, 2, height, width)


def _zeros(count: int, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(count, device=device)
    # numpy asks the system for zeroed huge pages; filling fresh memory took ten times as long as the stamps.
    return torch.from_numpy(np.zeros(count, dtype=np.float32))
