"""What each leaf looks like, and how deep inside an object that looks: learned from a few marked objects.

Input: descriptions of images and marked masks. Output: depth maps, 1 in the middle of objects, about 0 at
their borders, -1 far from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.features.pixel_cues import edges_and_ridges

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor

SCALES = (0.12, 0.25, 0.5, 1.0, 2.0)
"""Widths of the blurs, in radii of the marked objects."""
RING = 0.6
"""Width of the surroundings that are surely not the marked object, in its radii."""
SPREAD = 99
"""Percentile of the distances to an image's median colour that is its spread: that of its objects, wherever
they cover more than a hundredth of it."""
MAX_ROWS = 4000
"""Leaves that a depth model learns from, at most."""
COLOURS = slice(12, 15)
"""Channels of a description: the colours, blurred a little."""


def describe_leaves(image: NDArray[np.uint8], radius: float) -> NDArray[np.float32]:
    """Colours, edges, ridges and blobs of each leaf, at several scales of the objects looked for.

    Colours are CIE Lab, less the image's median and in units of its spread: images of a folder are exposed
    and stained differently. Of each blur there are its colours, what it took away, the gradient of its
    lightness and the two eigenvalues of the Hessian, as far as they go in one blur's width.

    Args:
        image: RGB, one pixel a leaf, uint8, ``(h, w, 3)``.
        radius: Of the objects, in leaves.

    Returns:
        float32, ``(h, w, 48)``.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colours = lab.reshape(-1, 3)
    middle = np.median(colours, axis=0)
    spread = np.percentile(np.abs(colours - middle), SPREAD, axis=0) + 1
    last = ((lab - middle) / spread).astype(np.float32)
    found = np.empty((*image.shape[:2], 3 + 9 * len(SCALES)), np.float32)
    found[..., :3] = last
    for at, scale in zip(range(3, found.shape[2], 9), SCALES, strict=True):
        width = max(radius * scale, 0.5)
        blurred = cv2.GaussianBlur(last, (0, 0), width)
        light = np.ascontiguousarray(blurred[..., 0])
        found[..., at : at + 3] = blurred
        found[..., at + 3 : at + 6] = last - blurred
        found[..., at + 6], found[..., at + 7], found[..., at + 8] = edges_and_ridges(light, width)
        last = blurred
    return found


@dataclass(frozen=True)
class MarkedLeaves:
    """What is marked on an image, or a part of one, at one pixel a leaf.

    Attributes:
        description: Of :func:`describe_leaves`, float32, ``(h, w, c)``.
        examples: Masks of marked objects, bool, ``(h, w)`` each, none empty.
        rejected: Masks of what is none, bool, ``(h, w)`` each, none empty.
    """

    description: NDArray[np.float32]
    examples: Sequence[NDArray[np.bool_]]
    rejected: Sequence[NDArray[np.bool_]] = ()


def forest(trees: int, max_features: float | str, seed: int) -> ExtraTreesRegressor:
    """A forest that has learned nothing yet; of its leaves each holds at least three samples.

    Args:
        trees: Of the forest.
        max_features: Tried at each split, as scikit-learn says it.
        seed: Of the forest.
    """
    from sklearn.ensemble import ExtraTreesRegressor  # 70 MiB: the page needs it only where it searches

    return ExtraTreesRegressor(trees, min_samples_leaf=3, max_features=max_features, random_state=seed)


class DepthModel:
    """A forest from the description of a leaf to how deep it lies in an object of the marked kind.

    Args:
        trees: Of the forest.
        contrasts: What is marked is also learned as it would look with its contrast to the image's median
            multiplied by these: all channels of a description grow with it.
        seed: Of the forest and of the choice of leaves.
    """

    def __init__(self, trees: int = 30, contrasts: Sequence[float] = (1.0,), seed: int = 0) -> None:
        self._forest = forest(trees, "sqrt", seed)
        self._contrasts, self._seed = tuple(contrasts), seed

    def fit(self, marked: Sequence[MarkedLeaves], radius: float) -> DepthModel:
        """Learn from marked objects, their surroundings, and what looks like these in their images.

        Args:
            marked: At least one example among them.
            radius: Of the objects, in leaves.
        """
        generator = np.random.default_rng(self._seed)
        taught = [_teaching(one, radius, generator) for one in marked if len(one.examples)]
        rows = np.concatenate([rows for rows, _ in taught])
        depths = np.concatenate([depths for _, depths in taught])
        if len(rows) > MAX_ROWS:
            chosen = generator.choice(len(rows), MAX_ROWS, replace=False)
            rows, depths = rows[chosen], depths[chosen]
        contrast = generator.choice(self._contrasts, len(rows)).astype(np.float32)
        self._forest.fit(rows * contrast[:, None], depths)
        return self

    def __call__(self, description: NDArray[np.float32]) -> NDArray[np.float32]:
        """The depth of each leaf, float32, ``(h, w)``, in ``[-1, 1]``."""
        h, w, channels = description.shape
        depth = self._forest.predict(description.reshape(h * w, channels))
        return np.asarray(depth, np.float32).reshape(h, w)


def _teaching(
    marked: MarkedLeaves, radius: float, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows of the description, float32, ``(n, c)``, and the depths that they stand for, ``(n,)``."""
    description = marked.description
    inside = np.any(np.stack(list(marked.examples)), axis=0)
    away = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, 5)
    depth = -np.clip((away - 0.5) / radius, 0.05, 1)
    for mask in marked.examples:
        own = cv2.distanceTransform(np.pad(mask, 1).view(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        own = np.clip((own - 0.5) / max(float(own.max()) - 0.5, 0.5), 0.1, 1)
        depth = np.where(mask, np.maximum(depth, own), depth)
    ring = away <= max(RING * radius, 2)  # the objects, too
    near = description[ring]
    # The rest may hold more objects. What tells the marked ones from their surroundings ranks a sample of it;
    # the half that is most like the surroundings is taken.
    far = np.flatnonzero(~ring)
    far = generator.choice(far, min(len(far), 6000), replace=False)
    rest = description.reshape(-1, description.shape[2])[far]
    if len(rest) and not inside[ring].all():
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # see forest()

        tells = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1).fit(near, inside[ring])
        rest = rest[np.argsort(tells.decision_function(rest), kind="stable")[: len(rest) // 2]]
    depths = np.concatenate([depth[ring], np.full(len(rest), -1.0)])
    return np.concatenate([near, rest]), depths.astype(np.float32)
