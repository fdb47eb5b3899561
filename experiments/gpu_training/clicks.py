"""Clicks simulated on the GPU, a batch at a time, without a word to the CPU.

The same law as :mod:`mis_lightning.clicks.corrective`, but that distances are exact, and clicks are kept as
the maps of disks that the network sees of them, ``(B, 2, P, P)``, instead of as points.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from mis_lightning.clicks.corrective import choose_click, error_maps


class Clicks(NamedTuple):
    """One click for each sample.

    Attributes:
        row: int64, ``(B,)``.
        col: int64, ``(B,)``.
        positive: bool, ``(B,)``.
        made: bool, ``(B,)``; a sample without an error gets no click.
    """

    row: Tensor
    col: Tensor
    positive: Tensor
    made: Tensor


def squared_depth(region: Tensor, envelope: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Squared Euclidean distance of each pixel to the nearest one outside its region.

    Everything beyond the border is outside. Columns first, then the lower envelope along each row
    (Felzenszwalb and Huttenlocher, 2012), taken over all pairs of columns: on a GPU that is one reduction.

    Args:
        region: bool, ``(B, P, P)``.
        envelope: :func:`row_envelope`, or the same compiled.

    Returns:
        int16, ``(B, P, P)``; 0 outside. Exact while no depth exceeds 127 pixels, which sides of 255 pixels
        ensure.
    """
    height = region.shape[-2]
    rows = torch.arange(height, device=region.device, dtype=torch.int16)[:, None]
    outside = torch.where(region, torch.full_like(rows, -1), rows)
    above = rows - outside.cummax(1).values
    outside = torch.where(region, torch.full_like(rows, height), rows)
    below = outside.flip(1).cummin(1).values.flip(1) - rows
    # what is farther than 127 pixels lies deeper than any pixel can
    column = torch.minimum(above, below).clamp(max=127).square()
    return (envelope or row_envelope)(column)


def row_envelope(column: Tensor) -> Tensor:
    """Squared distances within columns, int16 ``(B, P, P)`` -> in the plane."""
    width = column.shape[-1]
    cols = torch.arange(width, device=column.device, dtype=torch.int16)
    between = (cols[:, None] - cols).clamp(-127, 127).square()  # (to, from)
    nearest = (column[:, :, None, :] + between).amin(3)
    edge = torch.minimum(cols + 1, width - cols).clamp(max=127).square()
    return torch.minimum(nearest, edge)


def corrective_clicks(
    probability: Tensor,
    mask: Tensor,
    uniform: Tensor,
    threshold: float = 0.49,
    envelope: Callable[[Tensor], Tensor] | None = None,
) -> Clicks:
    """A click for each sample, in the deeper of its two kinds of error.

    Rule: docs/protocol.md#corrective-clicks.

    It is positive iff the pixels missed are strictly deeper than those wrongly taken, and lies at a random
    one of the pixels that are deeper than half the greater depth.

    Args:
        probability: ``(B, 1, P, P)``.
        mask: bool, ``(B, 1, P, P)``.
        uniform: Random numbers in [0, 1), ``(B, P * P)``; the candidate with the largest is clicked.
        threshold: Splits the prediction into object and background.
        envelope: As of :func:`squared_depth`.
    """
    missed = (probability < threshold) & mask
    wrong = (probability > threshold) & ~mask
    count, _, height, width = mask.shape
    square = squared_depth(torch.cat([missed, wrong]).flatten(0, 1), envelope)
    square = square.view(2, count, height * width)
    deepest = square.amax(2)  # (2, B)
    positive = deepest[0] > deepest[1]
    greater = deepest.amax(0)
    chosen = torch.where(positive[:, None], square[0], square[1])
    candidate = 4 * chosen.int() > greater[:, None].int()
    place = (uniform + 1).mul(candidate).argmax(1)
    return Clicks(place // width, place % width, positive, greater > 0)


def corrective_clicks_on_cpu(probability: Tensor, mask: Tensor, uniform: Tensor) -> Clicks:
    """The same by OpenCV's distances, sooner on a CPU; of ``uniform`` one number a sample is used."""
    errors = error_maps(probability, mask, 0.49)
    found = [choose_click(*errors(index), float(uniform[index, 0])) for index in range(len(mask))]
    rows = torch.tensor([click or (0, 0, False) for click in found], dtype=torch.int64)
    made = torch.tensor([click is not None for click in found])
    return Clicks(rows[:, 0], rows[:, 1], rows[:, 2].bool(), made)


def add_disks(disks: Tensor, clicks: Clicks, radius: float) -> Tensor:
    """Draw a disk for each click, as ``encode_points`` does; ``(B, 2, P, P)`` of 0 and 1."""
    height, width = disks.shape[-2:]
    row = torch.arange(height, device=disks.device)[:, None] - clicks.row[:, None, None]
    col = torch.arange(width, device=disks.device) - clicks.col[:, None, None]
    disk = (row * row + col * col <= radius * radius) & clicks.made[:, None, None]
    kind = torch.stack([clicks.positive, ~clicks.positive], dim=1)[:, :, None, None]
    return torch.maximum(disks, (disk[:, None] & kind).to(disks.dtype))


def first_disks(
    mask: Tensor, radius: float, none: float, most: int, gamma: float, generator: torch.Generator
) -> Tensor:
    """The clicks that samples start with: none, or a few at random as in ``InitialPoints``.

    Args:
        mask: bool, ``(B, 1, P, P)``.
        radius: Of the disks.
        none: Chance to start with nothing: the first click is then the simulated user's.
        most: Most clicks of a kind. Elsewhere there are ``1 + k`` positive and ``k`` negative ones, ``P(k)
            ~ gamma^k``.
        gamma: Decay of that law.
        generator: On the device of the mask.

    Returns:
        ``(B, 2, P, P)`` of 0 and 1.
    """
    count, device = len(mask), mask.device
    flat = mask.flatten(1)
    width = mask.shape[-1]
    some = torch.rand(count, generator=generator, device=device) >= none
    disks = torch.zeros((count, 2, *mask.shape[-2:]), device=device)
    chance = torch.rand((2, count), generator=generator, device=device)
    number = (chance.log() / log(gamma)).floor()  # P(at least k) = gamma^k
    number[0] += 1
    for index in range(most):
        for positive in (True, False):
            inside = flat if positive else ~flat
            order = torch.rand(flat.shape, generator=generator, device=device)
            place = order.add_(1).mul_(inside).argmax(1)
            wanted = some & (number[0 if positive else 1] > index) & inside.any(1)
            sign = torch.full_like(wanted, positive)
            disks = add_disks(disks, Clicks(place // width, place % width, sign, wanted), radius)
    return disks
