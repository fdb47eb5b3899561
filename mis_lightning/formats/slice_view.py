"""How a slice of a volume is turned to look at it, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError

Axis = Literal["sagittal", "coronal", "axial"]
"""Across which anatomical axis a volume is cut."""


@dataclass(frozen=True)
class SliceView:
    """Which axes of the voxels a slice shows, and whether they run backwards.

    Attributes:
        axis: The axis across which is cut.
        rows: The axis that runs down the picture.
        cols: The axis that runs to its right.
        flip_rows: Down the picture the index falls.
        flip_cols: To the right the index falls.
    """

    axis: int
    rows: int
    cols: int
    flip_rows: bool
    flip_cols: bool

    @classmethod
    def across(cls, axis: Axis, affine: NDArray[np.float64]) -> SliceView:
        """The view of a radiologist: head or front up; the patient's right, or front, on the left.

        Args:
            axis: The anatomical axis across which is cut.
            affine: From voxel indices to millimetres right, front, up (NIfTI's RAS+), ``(4, 4)``. Each axis
                of the voxels of an oblique volume is taken for the nearest anatomical one.

        Raises:
            InputError: There is no such axis, or the affine is degenerate.
        """
        if axis not in get_args(Axis):
            raise InputError(f"Expected `axis` of {', '.join(get_args(Axis))}, but got {axis!r}.")
        voxel, rising = _nearest_axes(np.asarray(affine, dtype=np.float64)[:3, :3])
        across = get_args(Axis).index(axis)
        right, down = [world for world in (0, 1, 2) if world != across]  # the larger one is the more upright
        return cls(voxel[across], voxel[down], voxel[right], rising[down], rising[right])

    def turned(self, plane: NDArray[Any]) -> NDArray[Any]:
        """A slice as the file has it, ``(first axis left, second axis left)``, as a picture ``(H, W)``."""
        picture = plane if self.rows < self.cols else plane.T
        return np.ascontiguousarray(self._flipped(picture))

    def turned_back(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The inverse of :meth:`turned`."""
        plane = self._flipped(picture)
        return plane if self.rows < self.cols else plane.T

    def _flipped(self, picture: NDArray[Any]) -> NDArray[Any]:
        return picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_cols else 1]


def _nearest_axes(affine: NDArray[np.float64]) -> tuple[list[int], list[bool]]:
    """For each anatomical axis the axis of the voxels, and whether its index rises right, forward, up."""
    lengths = np.sqrt((affine**2).sum(axis=0))
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise InputError(f"Expected an affine with three axes, but got {affine.tolist()}.")
    cosines = affine / lengths
    voxel, rising = [0, 0, 0], [False, False, False]
    left = cosines.copy()
    for _ in range(3):  # the clearest pair first
        world, axis = (int(i) for i in np.unravel_index(np.abs(left).argmax(), left.shape))
        voxel[world], rising[world] = axis, bool(cosines[world, axis] > 0)
        left[world], left[:, axis] = 0, 0
    return voxel, rising
