"""Deep spectral methods: k-means on eigenvectors of the patch graph (Melas-Kyriazi et al., 2022).

Rule: docs/protocol.md#deep-spectral-methods.
"""

from __future__ import annotations

import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.merge_tree.scaling import patch_of_pixels
from mis_lightning.regions.dense_crf import refine_labels
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.source import Features, MaskSource
from mis_lightning.regions.spectral import smallest_eigenvectors

COLOUR_NEIGHBOURS = ((20, 2.0), (10, 0.1))  # (neighbours, weight of the position)


class DeepSpectral(MaskSource):
    """A mask for each segment but the background.

    The method uses the keys of DINO ViT-S/16: ``ViTFeatures(model="vit_small_patch16_224.dino",
    output="keys", scaling="crop")``.

    Args:
        extractor: Makes the patch features; the weights-free :class:`ColourTexture` if none is given.
        segments: Clusters, the background among them; MIS compares 5, 10 and 15.
        eigenvectors: Computed, the constant one among them; ``None``: as many as segments, at least 5.
        colour_weight: Weight of the colour graph beside the features; 0 leaves it out, as published.
        crf: Fit the segments to the image by a dense CRF.
        seed: Of k-means, together with the image's key; the published code has none
            (docs/protocol.md#deep-spectral-methods).
        restarts: Of k-means, the tightest clusters kept; 10 was scikit-learn's default in DSM's time.

    Raises:
        InputError: A number is out of range.
    """

    extractor: PatchExtractor

    def __init__(
        self,
        extractor: PatchExtractor | None = None,
        segments: int = 15,
        eigenvectors: int | None = None,
        colour_weight: float = 0.0,
        crf: bool = False,
        seed: int = 0,
        restarts: int = 10,
    ) -> None:
        if segments < 2 or (eigenvectors is not None and eigenvectors < 2) or colour_weight < 0 or seed < 0:
            raise InputError(
                "Expected `segments` and `eigenvectors` >= 2, `colour_weight` and `seed` >= 0, but got "
                f"{segments}, {eigenvectors}, {colour_weight} and {seed}."
            )
        if restarts < 1:
            raise InputError(f"Expected `restarts` >= 1, but got {restarts}.")
        self.extractor = extractor if extractor is not None else ColourTexture()
        self.segments = segments
        self.eigenvectors = eigenvectors if eigenvectors is not None else max(segments, 5)
        self.colour_weight = colour_weight
        self.crf = crf
        self.seed = seed
        self.restarts = restarts

    def settings(self) -> dict[str, Any]:
        """Return the extractor's settings and those of the segments."""
        names = ("segments", "eigenvectors", "colour_weight", "crf", "seed", "restarts")
        own = {name: getattr(self, name) for name in names}
        # The extractor may have a seed, too.
        return {"source": "deep_spectral", **self.extractor.settings(), **own}

    def find(self, image: NDArray[np.uint8], key: str, features: Features | None) -> MaskSet:
        """Segment the patches and bring the segments to the size of the image."""
        if features is None:
            raise TypeError("DeepSpectral needs the features of its extractor.")
        generator = np.random.default_rng([self.seed, zlib.crc32(key.encode(errors="surrogateescape"))])
        patches, grid = features
        patch = getattr(self.extractor, "patch", 0)
        cropped = getattr(self.extractor, "scaling", "") == "crop" and grid_covers(
            grid, patch, image.shape[:2]
        )
        seen = image[: grid[0] * patch, : grid[1] * patch] if cropped else image  # by the extractor
        vectors = spectral_embedding(patches, grid, seen, self.eigenvectors, self.colour_weight)
        labels = segment(vectors, grid, self.segments, generator, self.restarts)
        if cropped:
            labels = uncropped(labels, patch, (image.shape[0], image.shape[1]))
        if self.crf:
            labels = refine_labels(scaled(labels, (image.shape[0], image.shape[1])), image)
        found = [label for label in range(1, self.segments) if (labels == label).any()]
        masks = [labels == label for label in found]
        return MaskSet.pack(np.stack(masks) if masks else np.zeros((0, *labels.shape), np.bool_))


def spectral_embedding(
    features: NDArray[np.float32],
    grid: tuple[int, int],
    image: NDArray[np.uint8] | None,
    count: int,
    colour_weight: float = 0.0,
) -> NDArray[np.float64]:
    """Eigenvectors of the patch graph.

    Rule: docs/protocol.md#deep-spectral-methods, steps 1 to 4.

    Args:
        features: float32, ``(n, c)``, row-major over the grid.
        grid: ``(h, w)``.
        image: RGB, uint8, for the colour graph; may be ``None`` without one.
        count: Eigenvectors, the constant one among them.
        colour_weight: Weight of the colour graph.

    Returns:
        float64, ``(n, count - 1)``: all but the constant one, negated where more than half is positive.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12).astype(np.float32)
    weights = np.maximum(unit @ unit.T, 0)
    weights /= max(float(weights.max()), 1e-12)
    if colour_weight > 0:
        if image is None:
            raise InputError("The colour graph needs the image.")
        weights += np.float32(colour_weight) * colour_graph(image, grid)
    vectors = smallest_eigenvectors(weights, count)[1][:, 1:]
    positive = (vectors > 0).mean(axis=0)
    return np.where((positive > 0.5) & (positive < 1), -vectors, vectors)


def colour_graph(image: NDArray[np.uint8], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Count how often two patches are near neighbours in colour and position.

    Rule: docs/protocol.md#deep-spectral-methods, step 3.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        grid: ``(h, w)``.

    Returns:
        float32, ``(n, n)``, symmetric.
    """
    h, w = grid
    n = h * w
    colours = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR).reshape(n, 3) / 255
    rows, columns = np.divmod(np.arange(n), w)
    place = np.stack([columns / max(w - 1, 1), rows / max(h - 1, 1)], axis=1)
    weights = np.zeros((n, n), np.float32)
    for neighbours, weight in COLOUR_NEIGHBOURS:
        points = np.concatenate([colours, weight * place], axis=1)
        near = cKDTree(points).query(points, k=min(neighbours, n))[1].reshape(n, -1)
        np.add.at(weights, (np.repeat(np.arange(n), near.shape[1]), near.ravel()), 1)
    return weights + weights.T


def segment(
    vectors: NDArray[np.float64],
    grid: tuple[int, int],
    segments: int,
    generator: np.random.Generator,
    restarts: int = 10,
) -> NDArray[np.int32]:
    """Cluster patches, and make the cluster that touches the border most label 0.

    Rule: docs/protocol.md#deep-spectral-methods, steps 5 and 6.

    Args:
        vectors: float64, ``(n, k)``.
        grid: ``(h, w)``.
        segments: Clusters.
        generator: Starts k-means++.
        restarts: Runs of k-means, of which the one with the least sum of squares counts.

    Returns:
        Labels, int32, ``(h, w)``, 0 the background.
    """
    count = min(segments, len(vectors))
    # Scaled to a spread of 1: kmeans2 compares distances with an absolute precision.
    points = vectors / max(float(vectors.std()), 1e-30)
    best, labels = np.inf, np.zeros(grid, np.int32)
    for seed in generator.integers(2**31, size=restarts):
        found = kmeans2(points, count, iter=50, minit="++", seed=int(seed), missing="warn")[1]
        apart = _sum_of_squares(points, found)
        if apart < best:
            best, labels = apart, found.astype(np.int32).reshape(grid)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])  # corners count twice
    background = int(np.argmax(np.bincount(border, minlength=count)))
    swapped = labels.copy()
    swapped[labels == background], swapped[labels == 0] = 0, background
    return swapped


def _sum_of_squares(points: NDArray[np.float64], labels: NDArray[np.int32]) -> float:
    """Squared distances to the means of the clusters, less the squares of the points, which are constant."""
    members = np.bincount(labels)
    sums = np.stack([np.bincount(labels, weights=column) for column in points.T], axis=1)
    return -float((sums[members > 0] ** 2 / members[members > 0, None]).sum())


def grid_covers(grid: tuple[int, int], patch: int, size: tuple[int, ...]) -> bool:
    """Whether the grid is what cropping an image of this size to patches leaves."""
    return patch > 0 and grid == (size[0] // patch, size[1] // patch)


def uncropped(labels: NDArray[np.int32], patch: int, size: tuple[int, int]) -> NDArray[np.int32]:
    """Labels of a grid whose image was cropped, at the size of the image before.

    Rule: docs/protocol.md#deep-spectral-methods, step 7.

    Args:
        labels: int32, ``(h, w)``.
        patch: Patch side in pixels.
        size: Of the image, ``(H, W)``, at most one patch larger than the grid.

    Returns:
        int32, ``(H, W)``; the strip at the right and the bottom is that of the stretched map.
    """
    whole = scaled(labels, size)
    inner = np.repeat(np.repeat(labels, patch, axis=0), patch, axis=1)
    whole[: inner.shape[0], : inner.shape[1]] = inner
    return whole


def scaled(labels: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.int32]:
    """Nearest neighbour, by the rule of docs/protocol.md#from-patches-to-pixels."""
    rows, columns = (patch_of_pixels(side, n) for side, n in zip(size, labels.shape, strict=True))
    return labels[rows][:, columns]
