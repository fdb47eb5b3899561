"""A set of masks of one image, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.scaling import patch_of_pixels


@dataclass(frozen=True, eq=False)
class MaskSet:
    """``N`` masks of one image, at a size of their own: that of the image, or of a grid of patches.

    Attributes:
        bits: uint8, ``(N, ceil(h * w / 8))``: each mask row by row, eight pixels a byte, the first pixel in
            the highest bit (:func:`numpy.packbits`).
        scores: float32, ``(N,)``: how sure the source was of each; 1 where it does not say.
        size: Size of the masks, ``(h, w)``.

    Example:
        >>> masks = MaskSet.pack(np.array([[[True, False]], [[True, True]]]))
        >>> len(masks), masks.mask(0, (2, 4)).astype(int).tolist()
        (2, [[1, 1, 0, 0], [1, 1, 0, 0]])
    """

    bits: NDArray[np.uint8]
    scores: NDArray[np.float32]
    size: tuple[int, int]

    @classmethod
    def pack(cls, masks: NDArray[np.bool_], scores: NDArray[np.floating] | None = None) -> MaskSet:
        """Pack masks.

        Args:
            masks: bool, ``(N, h, w)``; ``N`` may be 0.
            scores: ``(N,)``; ``None`` stands for 1.

        Raises:
            InputError: ``masks`` is not bool of three dimensions, or the scores do not fit.
        """
        if masks.ndim != 3 or masks.dtype != np.bool_ or min(masks.shape[1:]) < 1:
            raise InputError(f"Expected `masks` as bool (N, h, w), but got {masks.dtype} {masks.shape}.")
        count = len(masks)
        given = np.ones(count, np.float32) if scores is None else np.asarray(scores, np.float32)
        if given.shape != (count,):
            raise InputError(f"Expected one score for each of {count} masks, but got shape {given.shape}.")
        size = (masks.shape[1], masks.shape[2])
        bits = np.packbits(masks.reshape(count, prod(size)), axis=1)
        return cls(bits, given, size)

    def validate(self) -> MaskSet:
        """Check that the parts fit together, and return the set; for data from outside, such as a file.

        Raises:
            ValueError: They do not.
        """
        width = -(-prod(self.size) // 8)
        if (
            min(self.size) < 1
            or self.bits.dtype != np.uint8
            or self.bits.ndim != 2
            or self.bits.shape[1] != width
        ):
            raise ValueError(
                f"masks of {self.size[0]}x{self.size[1]} are uint8 (N, {width}), not "
                f"{self.bits.dtype} {self.bits.shape}"
            )
        if self.scores.dtype != np.float32 or self.scores.shape != self.bits.shape[:1]:
            raise ValueError(
                f"{len(self.bits)} masks have float32 scores ({len(self.bits)},), not "
                f"{self.scores.dtype} {self.scores.shape}"
            )
        return self

    def __len__(self) -> int:
        """Count the masks."""
        return len(self.bits)

    def mask(self, index: int, size: tuple[int, int] | None = None) -> NDArray[np.bool_]:
        """Unpack one mask.

        Args:
            index: Which.
            size: Wanted size ``(H, W)``, reached by nearest neighbour
                (:func:`~mis_lightning.merge_tree.scaling.patch_of_pixels`). ``None`` keeps the size.

        Returns:
            bool, ``(H, W)``.

        Raises:
            InputError: The size is not positive.
            IndexError: There is no such mask.
        """
        h, w = self.size
        mask = np.unpackbits(self.bits[index], count=h * w).view(np.bool_).reshape(h, w)
        if size is None or size == self.size:
            return mask
        if min(size) < 1:
            raise InputError(f"Expected a size (H, W) of at least 1x1 pixels, but got {size}.")
        return mask[patch_of_pixels(size[0], h)][:, patch_of_pixels(size[1], w)]

    def unpack(self) -> NDArray[np.bool_]:
        """Unpack all masks, bool, ``(N, h, w)``."""
        h, w = self.size
        return np.unpackbits(self.bits, axis=1, count=h * w).view(np.bool_).reshape(len(self), h, w)
