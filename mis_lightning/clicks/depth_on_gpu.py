"""Error maps on a GPU -> how deep every pixel lies inside, equal to OpenCV's 5x5 distance to the last bit.

OpenCV sweeps the image pixel by pixel, which a GPU cannot. But what it finds has a closed form: the shortest
path of straight, diagonal and knight's moves to a pixel outside, whose length is a norm of the difference in
rows and columns. So the distance within each column comes first, and then each pixel takes the least norm
over the columns around it. All is in OpenCV's fixed-point numbers, hence equal, not nearly so.

Written in Triton, which torch brings along wherever it brings CUDA.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

SCALE = 1 / (1 << 16)
"""Of the integers, to pixels: OpenCV's fixed point."""

_STRAIGHT = tl.constexpr(65536)  # 1
_DIAGONAL = tl.constexpr(91750)  # 1.4
_KNIGHT = tl.constexpr(143976)  # 2.1969
_STEPS = tl.constexpr(8)  # columns further out between two looks at whether that is far enough


def depth_inside(error: Tensor) -> tuple[Tensor, Tensor]:
    """Approximate distance of every pixel to the nearest one outside its region; beyond the border is out.

    Args:
        error: uint8 or bool, ``(N, H, W)``, contiguous, on a GPU.

    Returns:
        Depths int32 ``(N, H, W)``, in units of :data:`SCALE` pixels, 0 outside; and the largest of each map,
        int32 ``(N,)``. Nothing waits for the GPU.
    """
    count, height, width = error.shape
    columns = torch.empty(error.shape, dtype=torch.int32, device=error.device)
    depth = torch.empty_like(columns)
    deepest = torch.zeros(count, dtype=torch.int32, device=error.device)
    block = 64
    _within_columns[count, triton.cdiv(width, block)](error, columns, height, width, BLOCK=block)
    _over_columns[count, height](
        columns, depth, deepest, height, width, BLOCK=triton.next_power_of_2(width), num_warps=4
    )
    return depth, deepest


@triton.jit
def _within_columns(
    error: tl.tensor, columns: tl.tensor, height: tl.tensor, width: tl.tensor, BLOCK: tl.constexpr
) -> None:
    """Distance to the nearest pixel outside in the same column, in pixels."""
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = col < width
    first = tl.program_id(0).to(tl.int64) * height * width + col
    run = tl.zeros((BLOCK,), tl.int32)
    for row in range(height):
        here = tl.load(error + first + row * width, mask=inside, other=0)
        run = tl.where(here != 0, run + 1, 0)
        tl.store(columns + first + row * width, run, mask=inside)
    tl.debug_barrier()  # what is read below was written above, perhaps by another thread
    run = tl.zeros((BLOCK,), tl.int32)
    for back in range(height):
        row = height - 1 - back
        above = tl.load(columns + first + row * width, mask=inside, other=0)
        run = tl.where(above != 0, run + 1, 0)
        tl.store(columns + first + row * width, tl.minimum(above, run), mask=inside)


@triton.jit
def _over_columns(
    columns: tl.tensor,
    depth: tl.tensor,
    deepest: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Least norm over the columns to both sides; none beyond ``step`` is nearer than ``step`` pixels."""
    row = tl.program_id(0).to(tl.int64) * height + tl.program_id(1)
    col = tl.arange(0, BLOCK)
    line = columns + row * width
    best = tl.load(line + col, mask=col < width, other=0) * _STRAIGHT
    farthest = tl.max(best, axis=0)
    start = 0
    while start * _STRAIGHT < farthest:
        for further in tl.static_range(_STEPS):
            step = start + further + 1
            left = tl.load(line + col - step, mask=(col >= step) & (col < width), other=0)
            right = tl.load(line + col + step, mask=col + step < width, other=0)
            aside = tl.minimum(left, right)
            longer, shorter = tl.maximum(aside, step), tl.minimum(aside, step)
            flat = shorter * _KNIGHT + (longer - 2 * shorter) * _STRAIGHT
            steep = (longer - shorter) * _KNIGHT + (2 * shorter - longer) * _DIAGONAL
            best = tl.minimum(best, tl.where(2 * shorter <= longer, flat, steep))
        start += _STEPS
        farthest = tl.max(best, axis=0)
    tl.store(depth + row * width + col, best, mask=col < width)
    if farthest > 0:
        tl.atomic_max(deepest + tl.program_id(0), farthest)
