"""Features on a finer grid, whose edges are those of the image: joint bilateral upsampling, without weights.

Kopf et al., "Joint Bilateral Upsampling" (SIGGRAPH 2007), with the features as the coarse solution and the
image as the guide.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.features.extractor import PatchExtractor


class Upsampled:
    """An extractor whose grid is ``factor`` times as fine.

    A fine place takes the mean of the features of the coarse places around it, those near in position and
    alike in colour weighing most. A merge tree of ``factor²`` times as many patches takes about that much
    longer.

    Args:
        extractor: Whose features; its grid must tile the image evenly, as that of ``ViTFeatures`` does with
            its default scaling.
        factor: How many fine places a side of a coarse one becomes.
        reach: Coarse places looked at to each side.
        sigma_place: Standard deviation of the weight of the position, in coarse places.
        sigma_colour: That of the colour, in grey levels of 0..255.

    Raises:
        InputError: A number is out of range.
    """

    def __init__(
        self,
        extractor: PatchExtractor,
        factor: int = 2,
        reach: int = 1,
        sigma_place: float = 0.7,
        sigma_colour: float = 20.0,
    ) -> None:
        if factor < 2 or reach < 1 or min(sigma_place, sigma_colour) <= 0:
            raise InputError(
                "Expected `factor` >= 2, `reach` >= 1 and standard deviations above 0, "
                f"but got {factor}, {reach}, {sigma_place} and {sigma_colour}."
            )
        self.extractor = extractor
        self.factor = factor
        self.reach = reach
        self.sigma_place = sigma_place
        self.sigma_colour = sigma_colour
        if hasattr(extractor, "device"):
            self.device = extractor.device  # precompute asks for it

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Extract features; see :class:`~mis_lightning.features.extractor.PatchExtractor`."""
        features, grid = self.extractor(image)
        h, w = grid
        coarse = features.reshape(h, w, -1)
        fine = (h * self.factor, w * self.factor)
        # The colour of a place is the mean over it, the same for both grids.
        colours = _mean_colours(image, fine)
        coarse_colours = _mean_colours(image, grid)
        rows, cols = (np.arange(side) for side in fine)
        total = np.zeros((*fine, coarse.shape[2]), np.float32)
        weights = np.zeros((*fine, 1), np.float32)
        for down in range(-self.reach, self.reach + 1):
            for right in range(-self.reach, self.reach + 1):
                row, col = rows // self.factor + down, cols // self.factor + right
                inside = ((row >= 0) & (row < h))[:, None] & ((col >= 0) & (col < w))
                away_row = (rows + 0.5) / self.factor - (row + 0.5)
                away_col = (cols + 0.5) / self.factor - (col + 0.5)
                near = away_row[:, None] ** 2 + away_col**2
                place = np.ix_(row.clip(0, h - 1), col.clip(0, w - 1))
                unlike = ((colours - coarse_colours[place]) ** 2).sum(axis=2)
                weight = np.exp(-near / (2 * self.sigma_place**2) - unlike / (2 * self.sigma_colour**2))
                weight = (np.maximum(weight, 1e-20) * inside)[..., None].astype(np.float32)
                total += weight * coarse[place]
                weights += weight
        return np.ascontiguousarray((total / weights).reshape(-1, coarse.shape[2])), fine

    def settings(self) -> dict[str, Any]:
        """Return the extractor's settings and those of the finer grid."""
        names = ("factor", "reach", "sigma_place", "sigma_colour")
        return {**self.extractor.settings(), "upsampled": {name: getattr(self, name) for name in names}}


def _mean_colours(image: NDArray[np.uint8], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Mean colour of each place of a grid over the image, float32, ``(h, w, 3)``, in grey levels."""
    resized = cv2.resize(image, grid[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.float32)
