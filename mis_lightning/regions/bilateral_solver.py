"""The fast bilateral solver (Barron and Poole, ECCV 2016).

Rule: docs/protocol.md#bilateral-solver.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import LinearOperator, cg

YUV = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)  # BT.601, full range
SMOOTHNESS = 256.0
CONFIDENCE = 0.999


def bilateral_solve(
    target: NDArray[np.float64],
    image: NDArray[np.uint8],
    sigmas: tuple[float, float, float] = (16, 16, 8),
    confidence: float = CONFIDENCE,
) -> NDArray[np.float64]:
    """Make a map follow the edges of an image.

    Args:
        target: The map, float64, ``(H, W)``.
        image: RGB, uint8, ``(H, W, 3)``.
        sigmas: Cell of the bilateral grid in pixels, in luma and in chroma.
        confidence: Weight of the target, the same everywhere.

    Returns:
        float64, ``(H, W)``.
    """
    splat, blur = bilateral_grid(image, sigmas)
    mass = splat @ np.ones(splat.shape[1])
    scale = np.ones_like(mass)
    for _ in range(10):  # bistochastisation
        scale = np.sqrt(scale * mass / (blur @ scale))
    # What the blur makes of each cell after so many rounds: with it the rows of the Laplacian sum to zero,
    # so that a map which is the same everywhere stays so.
    blurred = scale * (blur @ scale)
    wanted = splat @ (confidence * target.ravel())
    weight = confidence * mass
    laplacian = diags(blurred) - diags(scale) @ blur @ diags(scale)
    system = (SMOOTHNESS * laplacian + diags(weight)).tocsr()
    inverse = 1 / np.maximum(system.diagonal(), 1e-5)
    jacobi = LinearOperator(system.shape, matvec=lambda x: inverse * np.ravel(x), dtype=np.float64)
    solution, _ = cg(system, wanted, x0=wanted / weight, rtol=1e-5, maxiter=25, M=jacobi)
    return (splat.T @ solution).reshape(target.shape)


def bilateral_grid(
    image: NDArray[np.uint8], sigmas: tuple[float, float, float]
) -> tuple[csr_matrix, csr_matrix]:
    """Put the pixels into the occupied cells of a grid over (column, row, Y, U, V).

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        sigmas: Side of a cell in pixels, in luma and in chroma.

    Returns:
        ``splat``, ``(cells, H * W)``, one 1 in each column, and ``blur``, ``(cells, cells)``: 10 times the
        cell itself and each of its neighbours along the five axes once.
    """
    height, width = image.shape[:2]
    space, luma, chroma = sigmas
    colour = image.reshape(-1, 3) @ YUV.T + np.array([0, 128, 128])
    rows, columns = np.divmod(np.arange(height * width), width)
    cells = np.stack(
        [columns / space, rows / space, colour[:, 0] / luma, colour[:, 1] / chroma, colour[:, 2] / chroma],
        axis=1,
    ).astype(np.int64)
    splat, beside = occupied_cells(cells)
    blur = diags(np.full(splat.shape[0], 2.0 * len(beside))).tocsr()
    for step in beside:
        blur = blur + step + step.T
    return splat, blur.tocsr()


def occupied_cells(cells: NDArray[np.int64]) -> tuple[csr_matrix, list[csr_matrix]]:
    """Number the cells that hold a pixel, and find their neighbours.

    Args:
        cells: Cell of each pixel, int64, ``(pixels, axes)``, from 0.

    Returns:
        ``(cells, pixels)``, one 1 in each column; and for each axis ``(cells, cells)`` with a 1 where the
        column's cell is one step up from the row's.
    """
    # One number for a cell, so that its neighbours along an axis are a fixed step away.
    extent = cells.max(axis=0) + 3
    steps = np.cumprod(np.concatenate([[1], extent[:-1]]))
    occupied, of_pixel = np.unique((cells + 1) @ steps, return_inverse=True)
    count, pixels = len(occupied), np.arange(len(cells))
    splat = csr_matrix((np.ones(len(cells)), (of_pixel.ravel(), pixels)), shape=(count, len(cells)))
    beside = []
    for step in steps:
        place = np.minimum(np.searchsorted(occupied, occupied + step), count - 1)
        first = np.flatnonzero(occupied[place] == occupied + step)
        beside.append(csr_matrix((np.ones(len(first)), (first, place[first])), shape=(count, count)))
    return splat, beside
