"""Mean-field inference in a fully connected CRF (Kraehenbuehl and Koltun, 2011).

Rule: docs/protocol.md#dense-crf.

The Gaussian of the positions is exact up to its cut-off. The one of positions and colours is filtered on a
bilateral grid: pixels are put into cells, the cells blurred with (1, 2, 1) / 4 along each axis, and read
back.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from mis_lightning.regions.bilateral_solver import occupied_cells

Filter = Callable[[NDArray[np.floating]], NDArray[np.float64]]

NEAR_WEIGHT, NEAR_SIGMA = 3.0, 3.0
ALIKE_WEIGHT, ALIKE_SIGMA, COLOUR_SIGMA = 10.0, 80.0, 13.0
ITERATIONS = 5
CELL = 1.22  # a cell in sigmas: blur (variance 1/2) and two roundings (1/12 each) make one sigma together


def refine_labels(labels: NDArray[np.int32], image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Fit labels to the colours of an image.

    Args:
        labels: int32, ``(H, W)``, from 0.
        image: RGB, uint8, ``(H, W, 3)``.

    Returns:
        int32, ``(H, W)``, no label that was not there.
    """
    names, index = np.unique(labels, return_inverse=True)
    if len(names) == 1:
        return labels
    height, width = labels.shape
    unary = np.eye(len(names))[index.ravel()]  # one-hot: the given label is worth 1
    near = _near_filter((height, width))
    alike = _alike_filter(image)
    near_scale, alike_scale = near(np.ones((height * width, 1))), alike(np.ones((height * width, 1)))
    belief = _softmax(unary)
    for _ in range(ITERATIONS):
        message = NEAR_WEIGHT * near(belief) / near_scale + ALIKE_WEIGHT * alike(belief) / alike_scale
        belief = _softmax(unary + message)
    refined: NDArray[np.int32] = names[belief.argmax(axis=1)].reshape(height, width).astype(np.int32)
    return refined


def _near_filter(size: tuple[int, int]) -> Filter:
    def near(values: NDArray[np.floating]) -> NDArray[np.float64]:
        maps = np.ascontiguousarray(values.reshape(*size, -1), np.float64)
        blurred = [
            cv2.GaussianBlur(maps[..., k], (0, 0), NEAR_SIGMA, borderType=cv2.BORDER_CONSTANT)
            for k in range(maps.shape[2])
        ]
        return np.asarray(np.stack(blurred, axis=-1).reshape(values.shape), np.float64)

    return near


def _alike_filter(image: NDArray[np.uint8]) -> Filter:
    rows, columns = np.divmod(np.arange(image.shape[0] * image.shape[1]), image.shape[1])
    place = np.stack([columns, rows], axis=1) / (CELL * ALIKE_SIGMA)
    cells = np.concatenate([place, image.reshape(-1, 3) / (CELL * COLOUR_SIGMA)], axis=1)
    splat, beside = occupied_cells(np.rint(cells).astype(np.int64))
    blurs: list[csr_matrix] = [
        (diags(np.full(step.shape[0], 0.5)) + 0.25 * (step + step.T)).tocsr() for step in beside
    ]

    def alike(values: NDArray[np.floating]) -> NDArray[np.float64]:
        inside = splat @ values
        for blur in blurs:
            inside = blur @ inside
        found: NDArray[np.float64] = splat.T @ inside
        return found

    return alike


def _softmax(energy: NDArray[np.floating]) -> NDArray[np.float64]:
    exponent = np.exp(energy - energy.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), np.float64)
