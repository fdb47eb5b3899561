"""Features less what they say of the position alone, before regions are merged.

The tokens of some ViTs, DINOv3's above all, carry their place in the image beside its content, so that
patches far apart look unlike (INSID3, 2026). Images without content show it: over many of them content
averages out and the place is left. The directions in which the averages of the places differ are taken out
of every token.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.images import list_images, read_image


class WithoutPositionalBias:
    """An extractor whose tokens are projected onto what does not depend on their place.

    The directions are found when first needed, from noise or from photographs, always at one size. They are
    directions of the channels, so they serve images of all sizes.

    Args:
        extractor: Whose features; any :class:`~mis_lightning.features.extractor.PatchExtractor`.
        components: Directions taken out, the most telling first.
        images: Folder of photographs to find them from; ``None``: noise.
        count: How many of them, or how many pictures of noise.
        size: ``(height, width)`` in pixels that they are made or brought to.
        seed: Of the noise.

    Raises:
        InputError: A number is out of range, or there are no photographs.
    """

    def __init__(
        self,
        extractor: PatchExtractor,
        components: int = 8,
        images: str | None = None,
        count: int = 16,
        size: tuple[int, int] = (448, 448),
        seed: int = 0,
    ) -> None:
        if components < 1 or count < 2 or min(size) < 1:
            raise InputError(
                "Expected `components` >= 1, `count` >= 2 and a positive `size`, "
                f"but got {components}, {count} and {tuple(size)}."
            )
        self.extractor = extractor
        self.components = components
        self.images = images
        self.count = count
        self.size = (size[0], size[1])
        self.seed = seed
        for name in ("device", "patch", "scaling"):  # what sources and precompute ask an extractor for
            if hasattr(extractor, name):
                setattr(self, name, getattr(extractor, name))

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Extract features; see :class:`~mis_lightning.features.extractor.PatchExtractor`."""
        features, grid = self.extractor(image)
        return features - (features @ self.directions.T) @ self.directions, grid

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """Orthonormal directions that tell the place, float32, ``(components, channels)``, or fewer."""
        total: NDArray[np.float64] | None = None
        number = 0
        for picture in self._pictures():
            features, _ = self.extractor(picture)
            total = features.astype(np.float64) if total is None else total + features
            number += 1
        if total is None:
            raise InputError(f"Expected photographs in {self.images}, but there are none.")
        by_place = total / number
        _, strengths, directions = np.linalg.svd(by_place - by_place.mean(axis=0), full_matrices=False)
        telling = strengths > 1e-6 * max(float(strengths[0]), 1e-30)
        return directions[: self.components][telling[: self.components]].astype(np.float32)

    def _pictures(self) -> Iterator[NDArray[np.uint8]]:
        if self.images is None:
            generator = np.random.default_rng(self.seed)
            for _ in range(self.count):
                yield generator.integers(0, 256, (*self.size, 3), dtype=np.uint8)
            return
        for path in list_images(self.images)[: self.count]:
            resized = cv2.resize(read_image(path), self.size[::-1], interpolation=cv2.INTER_AREA)
            yield np.asarray(resized, np.uint8)

    def settings(self) -> dict[str, Any]:
        """Return the extractor's settings and what the directions are found from.

        The directions themselves follow from these and the weights; their last digits differ between
        machines, so they are not part of it.
        """
        source = "noise" if self.images is None else Path(self.images).name
        bias = {"components": self.components, "from": source, "count": self.count, "size": list(self.size)}
        return {**self.extractor.settings(), "without_positional_bias": {**bias, "noise_seed": self.seed}}
