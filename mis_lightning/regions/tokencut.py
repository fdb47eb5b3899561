"""TokenCut: the salient object by a normalised cut of the patches (Wang et al., CVPR 2022).

Rule: docs/protocol.md#tokencut.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.regions.bilateral_solver import bilateral_solve
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.source import Features, MaskSource
from mis_lightning.regions.spectral import smallest_eigenvectors


class TokenCut(MaskSource):
    """One mask an image.

    The paper uses the keys of DINO ViT-S/16: ``ViTFeatures(model="vit_small_patch16_224.dino", output="keys",
    scaling="nearest")``.

    Args:
        extractor: Makes the patch features; the weights-free :class:`ColourTexture` if none is given.
        threshold: Patches whose cosine is above it are joined.
        weak: Weight of all other pairs.
        bilateral: Fit the mask to the edges of the image by the bilateral solver
            (docs/protocol.md#bilateral-solver), fill its holes and keep its largest part.

    Raises:
        InputError: A number is out of range.
    """

    extractor: PatchExtractor

    def __init__(
        self,
        extractor: PatchExtractor | None = None,
        threshold: float = 0.2,
        weak: float = 1e-5,
        bilateral: bool = False,
    ) -> None:
        if not -1 <= threshold < 1 or not 0 < weak < 1:
            raise InputError(
                f"Expected `threshold` in [-1, 1) and `weak` in (0, 1), but got {threshold} and {weak}."
            )
        self.extractor = extractor if extractor is not None else ColourTexture()
        self.threshold = threshold
        self.weak = weak
        self.bilateral = bilateral

    def settings(self) -> dict[str, Any]:
        """Return the extractor's settings and those of the cut."""
        cut = {"threshold": self.threshold, "weak": self.weak, "bilateral": self.bilateral}
        return {"source": "tokencut", **self.extractor.settings(), **cut}

    def find(self, image: NDArray[np.uint8], key: str, features: Features | None) -> MaskSet:
        """Cut the patches in two and keep the part that stands out."""
        if features is None:
            raise TypeError("TokenCut needs the features of its extractor.")
        mask = token_cut(*features, self.threshold, self.weak)
        if self.bilateral:
            mask = _sharpened(mask, image)
        return MaskSet.pack(mask[None])


def token_cut(
    features: NDArray[np.float32], grid: tuple[int, int], threshold: float = 0.2, weak: float = 1e-5
) -> NDArray[np.bool_]:
    """Find the salient object among patches.

    Rule: docs/protocol.md#tokencut, steps 2 to 6.

    Args:
        features: float32, ``(n, c)``, row-major over the grid.
        grid: ``(h, w)``.
        threshold: Patches whose cosine is above it are joined with weight 1.
        weak: Weight of all other pairs.

    Returns:
        bool, ``(h, w)``: of the two sides of the second eigenvector's mean the one with its largest entry,
        and of that side the 4-connected part around the entry.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12).astype(np.float32)
    # Double precision: groups joined by `weak` alone have eigenvalues that differ by 1e-5 or less, and single
    # precision would mix their vectors.
    weights = np.where(unit @ unit.T > threshold, 1.0, weak)
    np.fill_diagonal(weights, 1)
    second = smallest_eigenvectors(weights, 2)[1][:, 1]
    side = second > second.mean()
    seed = int(np.argmax(np.abs(second)))
    if not side[seed]:
        side = ~side
    _, labels = cv2.connectedComponents(side.reshape(grid).astype(np.uint8), connectivity=4)
    part: NDArray[np.bool_] = labels == labels.ravel()[seed]
    return part


def _sharpened(mask: NDArray[np.bool_], image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The mask of the grid at the size of the image, solved, filled, its largest part.

    The published code takes the second-largest label with the background among them, which inverts masks
    larger than half of the image (docs/protocol.md#bilateral-solver); here it is the largest part of the
    foreground.
    """
    size = (image.shape[0], image.shape[1])
    target = MaskSet.pack(mask[None]).mask(0, size)
    filled = binary_fill_holes(bilateral_solve(target.astype(np.float64), image) > 0.5)
    count, labels = cv2.connectedComponents(filled.astype(np.uint8), connectivity=4)
    if count == 1:
        return target  # the solver left nothing
    largest: NDArray[np.bool_] = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return largest
