"""Augmentation for small networks: show the region as the evaluation's zoom-in will show it.

A small network sees little of a large photograph at once. Evaluation (docs/protocol.md#zoom-in) first shows
it the whole image and then a box around the current mask, stretched to the input size; training does so with
random boxes. A first look (:mod:`~mis_lightning.segmenters.first_look`) shows it squares around the click,
whatever the size of the object; training does so with squares around a pixel of the region.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mis_lightning.data.augment import Image, Mask, brightness_contrast, flip, recolour, shift_rgb


@dataclass(frozen=True)
class ZoomAugmentation:
    """Crop the whole image, a box around the region or a square about one of its pixels; stretch it.

    Then flip it, and change its colours.

    Attributes:
        size: ``(height, width)`` of the network input.
        whole_probability: Chance to show (nearly) the whole image instead of a box around the region.
        whole_share: The whole image loses a random margin; at least this share of each side stays.
        expansion: The box is the region's, enlarged by a factor from this range, each side on its own.
        jitter: The box moves by up to this share of the region's sides.
        min_crop: Smallest side of the box, in pixels of the image, before what lies outside is cut off.
        window_probability: Chance of a square window in place of a box; a whole image stays one.
        window_share: The longer side of the region's box is a share of the window's side, log-uniform in
            this range. The window is moved into the image, and cut to it where it is larger.
        flip_probability: Chance of a left-right flip.
        any_flip_probability: Chance of a flip along a random axis on top, rare in photographs.
        grey_probability: Chance to lose the colours.
        colour_probability: Chance of a change in brightness and contrast, and of a shift of the channels.
    """

    size: tuple[int, int] = (128, 128)
    whole_probability: float = 0.35
    whole_share: float = 0.75
    expansion: tuple[float, float] = (1.05, 1.9)
    jitter: float = 0.15
    min_crop: int = 100
    window_probability: float = 0.0
    window_share: tuple[float, float] = (0.2, 1.0)
    flip_probability: float = 0.5
    any_flip_probability: float = 0.1
    grey_probability: float = 0.1
    colour_probability: float = 0.5

    def __call__(self, image: Image, mask: Mask, generator: np.random.Generator) -> tuple[Image, Mask]:
        """Return image ``(*size, 3)`` and mask ``size``."""
        whole = generator.random() < self.whole_probability or not mask.any()
        in_rows, in_columns = np.asarray(mask.any(axis=1)), np.asarray(mask.any(axis=0))
        if not whole and self.window_probability > 0 and generator.random() < self.window_probability:
            rows, columns = self._window(mask, in_rows, in_columns, generator)
        else:
            rows = self._whole(mask.shape[0], generator) if whole else self._box(in_rows, generator)
            columns = self._whole(mask.shape[1], generator) if whole else self._box(in_columns, generator)
        window = (slice(*rows), slice(*columns))
        image, mask = self._stretch(image[window], mask[window])
        if generator.random() < self.flip_probability:
            image, mask = image[:, ::-1], mask[:, ::-1]
        if generator.random() < self.any_flip_probability:
            image, mask = flip(image, mask, generator)
        if generator.random() < self.grey_probability:
            grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
            image = np.repeat(np.asarray(grey, np.uint8)[:, :, None], 3, axis=2)
        changes = []
        if generator.random() < self.colour_probability:
            changes.append(brightness_contrast(generator, (-0.25, 0.35), (-0.15, 0.15)))
        if generator.random() < self.colour_probability:
            changes.append(shift_rgb(generator, 15.0))
        return np.ascontiguousarray(recolour(image, *changes)), np.ascontiguousarray(mask)

    def _whole(self, side: int, generator: np.random.Generator) -> tuple[int, int]:
        kept = max(1, round(side * generator.uniform(self.whole_share, 1.0)))
        start = int((side - kept + 1) * generator.random())
        return start, start + kept

    def _window(
        self, mask: Mask, in_rows: Mask, in_columns: Mask, generator: np.random.Generator
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of a square about a random pixel of the region."""
        extent = max(_extent(in_rows), _extent(in_columns))
        share = np.exp(generator.uniform(*np.log(self.window_share)))
        side = max(1, round(extent / share), self.min_crop)
        inside = np.flatnonzero(mask)
        row, column = divmod(int(inside[generator.integers(len(inside))]), mask.shape[1])
        rows, columns = (
            _about(place, side, size) for place, size in zip((row, column), mask.shape, strict=True)
        )
        return rows, columns

    def _box(self, occupied: Mask, generator: np.random.Generator) -> tuple[int, int]:
        side = len(occupied)
        first = int(occupied.argmax())
        last = side - int(occupied[::-1].argmax())
        extent = last - first
        middle = (first + last) / 2 + generator.uniform(-self.jitter, self.jitter) * extent
        half = max(extent * generator.uniform(*self.expansion), self.min_crop) / 2
        start = int(np.clip(middle - half, 0, side - 1))
        return start, int(np.clip(middle + half, start + 1, side))

    def _stretch(self, image: Image, mask: Mask) -> tuple[Image, Mask]:
        size = (self.size[1], self.size[0])
        shrinks = image.shape[0] * image.shape[1] > size[0] * size[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        stretched = cv2.resize(np.ascontiguousarray(image), size, interpolation=how)
        # Averaging and thresholding keeps thin parts that nearest neighbour would break up.
        share = cv2.resize(np.ascontiguousarray(mask).astype(np.float32), size, interpolation=how)
        return np.asarray(stretched, np.uint8), share > 0.5


def _extent(occupied: Mask) -> int:
    """From the first to the last that is occupied."""
    return len(occupied) - int(occupied[::-1].argmax()) - int(occupied.argmax())


def _about(place: int, side: int, size: int) -> tuple[int, int]:
    """``side`` pixels about ``place``, moved into ``0 … size``; all of them where ``side`` is larger."""
    side = min(side, size)
    start = min(max(0, place - side // 2), size - side)
    return start, start + side
