"""One training sample: image and region, augmented, with its initial points.

Rule: docs/protocol.md#one-sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from mis_lightning.clicks.initial import InitialPoints


class Augmentation(Protocol):
    """Changes an image and its region together."""

    def __call__(
        self, image: NDArray[np.uint8], mask: NDArray[np.bool_], generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return image ``(size, size, 3)`` and mask ``(size, size)`` of the network's input size."""
        ...


class TrainingSample(TypedDict):
    """One training sample, as arrays; the loader stacks them to tensors."""

    image: NDArray[np.uint8]  # (3, H, W)
    mask: NDArray[np.bool_]  # (1, H, W)
    points: NDArray[np.float32]  # (2K, 3)


@dataclass(frozen=True)
class SampleMaker:
    """Makes training samples of an image and a region.

    Attributes:
        augment: Joint augmentation of image and region.
        points: Sampler of the initial points.
        min_object_area: Smaller regions, in pixels after augmentation, become empty
            (docs/protocol.md#one-sample); no point falls on them.
        keep_background: Chance to keep an augmentation that lost the region, rather than augment the same
            region again (docs/protocol.md#one-sample); above 0.
    """

    augment: Augmentation
    points: InitialPoints
    min_object_area: int = 80
    keep_background: float = 0.01

    def __call__(
        self, image: NDArray[np.uint8], region: NDArray[np.bool_], generator: np.random.Generator
    ) -> TrainingSample:
        """Make one sample.

        Args:
            image: RGB, uint8, ``(H, W, 3)``.
            region: bool, ``(H, W)``.
            generator: Source of all randomness.
        """
        while True:
            augmented, mask = self.augment(image, region, generator)
            if mask.any() or not region.any() or generator.random() < self.keep_background:
                break
        dropped = None
        if 0 < np.count_nonzero(mask) < self.min_object_area:
            mask, dropped = np.zeros_like(mask), mask
        return {
            "image": np.ascontiguousarray(augmented.transpose(2, 0, 1)),
            "mask": mask[None],
            "points": self.points(mask, generator, dropped),
        }
