"""GrabCut under the same simulated user: the baseline that needs no learning at all.

Rother et al., "GrabCut": Interactive Foreground Extraction using Iterated Graph Cuts, SIGGRAPH 2004, as
OpenCV implements it. How clicks become its trimap is nowhere prescribed; the class states the choices.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.inference.answers import check_click
from mis_lightning.structures import Click


class GrabCutPredictor:
    """Answers clicks with a graph cut; has the ``set_image`` and ``click`` of a predictor.

    Every click is a disk of certain foreground or background, later ones over earlier ones. All other pixels
    are undecided: probably foreground within a larger disk around the first positive click, probably
    background elsewhere. Both colour models are learned anew from this trimap at every click, which scored
    better on GrabCut than to start from the previous answer or to keep the models.

    On the 50 objects of GrabCut: NoC@85 4.06, NoC@90 5.22, IoU@1 0.731, IoU@5 0.875. The settings were
    chosen on these same images (at half size), so the figures flatter the baseline.

    Args:
        click_radius: Radius of a click in pixels; 8 scored better on GrabCut than 4.
        prior_radius: Radius of the probable foreground, as a share of the shorter image side.
        iterations: Rounds of colour models and cut; 3 scored better on GrabCut than 1.
        seed: Of OpenCV's generator, set at every click (k-means starts the colour models), so that the same
            clicks give the same mask.

    Raises:
        InputError: A setting out of range.
    """

    def __init__(
        self, click_radius: int = 8, prior_radius: float = 0.2, iterations: int = 3, seed: int = 0
    ) -> None:
        if click_radius < 0 or not prior_radius > 0 or iterations < 1:
            raise InputError(
                "Expected `click_radius` >= 0, `prior_radius` > 0 and `iterations` >= 1, "
                f"but got {click_radius}, {prior_radius} and {iterations}."
            )
        self.click_radius = click_radius
        self.prior_radius = prior_radius
        self.iterations = iterations
        self.seed = seed
        self._image: NDArray[np.uint8] | None = None
        self._clicks: list[Click] = []

    def settings(self) -> dict[str, Any]:
        """Return everything that fixes the answers, as JSON values."""
        return {
            "click_radius": self.click_radius,
            "prior_radius": self.prior_radius,
            "iterations": self.iterations,
            "seed": self.seed,
        }

    def set_image(self, image: NDArray[np.uint8]) -> None:
        """Start on an RGB image, uint8, ``(H, W, 3)``; all clicks are forgotten.

        Raises:
            InputError: The array has another shape or type.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise InputError(f"Expected an RGB image, uint8 (H, W, 3), but got {image.dtype} {image.shape}.")
        self._image = np.ascontiguousarray(image)
        self._clicks = []

    def click(self, row: float, col: float, positive: bool = True) -> NDArray[np.float32]:
        """Add a click and cut anew.

        Args:
            row: In pixels of the image.
            col: In pixels of the image.
            positive: "This belongs" or "this does not".

        Returns:
            0 or 1 at each pixel, float32, ``(H, W)``; all 0 before the first positive click.

        Raises:
            InputError: No image is set, or the click is not on it.
        """
        if self._image is None:
            raise InputError("Expected an image before the first click: call set_image(image) first.")
        shape = (self._image.shape[0], self._image.shape[1])
        self._clicks.append(check_click(row, col, positive, shape))
        trimap = self._trimap(shape)
        foreground = (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
        if foreground.any() and not foreground.all():  # OpenCV needs pixels for both models
            cv2.setRNGSeed(self.seed)
            models = np.zeros((1, 65)), np.zeros((1, 65))
            unused = (0, 0, 1, 1)  # the rectangle, which plays no part in this mode
            cv2.grabCut(self._image, trimap, unused, *models, self.iterations, cv2.GC_INIT_WITH_MASK)
            foreground = (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
        return foreground.astype(np.float32)

    def _trimap(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Certain and probable labels in OpenCV's values, uint8, ``(H, W)``."""
        trimap = np.full(shape, cv2.GC_PR_BGD, dtype=np.uint8)
        first = next((click for click in self._clicks if click.positive), None)
        if first is not None:
            radius = int(self.prior_radius * min(shape))
            cv2.circle(trimap, (int(first.col), int(first.row)), radius, cv2.GC_PR_FGD, cv2.FILLED)
        for click in self._clicks:
            label = cv2.GC_FGD if click.positive else cv2.GC_BGD
            cv2.circle(trimap, (int(click.col), int(click.row)), self.click_radius, label, cv2.FILLED)
        return trimap
