"""Volumes slice by slice, pictures out and labels in: what all formats share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from mis_lightning.errors import InputError
from mis_lightning.formats.slice_view import Axis, SliceView
from mis_lightning.grey_levels import to_rgb, value_range
from mis_lightning.images import ReadImage, Reading, checksum


class VolumeSlices(ABC):
    """The slices of a volume as pictures, read one by one; nothing looks at neighbouring ones.

    Args:
        path: The file.
        axis: What the axis across which it is cut is called.
        grid: Length of each axis of its voxels.
        view: How a slice is turned to look at it.
        window: ``(low, high)`` in the units of the file; ``None``: one for all slices, by the values of nine.
    """

    SUFFIXES: ClassVar[tuple[str, ...]]
    """What names of such files end in, in lower case."""
    LABELS: ClassVar[str]
    """What the name of an exported label volume ends in."""

    def __init__(
        self,
        path: Path,
        axis: str,
        grid: tuple[int, int, int],
        view: SliceView,
        window: tuple[float, float] | None,
    ) -> None:
        self.path, self.axis, self.grid, self.view = path, axis, grid, view
        self._window = window

    @classmethod
    @abstractmethod
    def holds(cls, path: Path) -> bool:
        """Whether a file is a volume of this format."""

    @classmethod
    @abstractmethod
    def axis_of(cls, axis: Axis) -> str:
        """What the axis is called in the names of slices, where volumes are cut across ``axis``."""

    @classmethod
    @abstractmethod
    def opened(cls, path: Path, axis: Axis, reading: Reading) -> Self:
        """The slices, read as images are: window and channels are those of ``reading``.

        Raises:
            InputError: The file cannot be read, or an argument does not fit it.
        """

    @abstractmethod
    def _plane(self, k: int) -> NDArray[Any]:
        """Slice ``k`` in the units of the file, of the channels that are shown; turned."""

    @abstractmethod
    def _identifying(self, k: int, shown: NDArray[Any]) -> NDArray[Any]:
        """What tells slice ``k`` from others, whichever channels are shown."""

    @abstractmethod
    def _read_voxels(self, path: Path) -> NDArray[np.uint16]:
        """A label volume on the same grid, as the file has its axes (:meth:`read_labels`)."""

    @abstractmethod
    def _write_voxels(self, path: Path, voxels: NDArray[np.uint16]) -> None:
        """Write labels on this grid into a new file."""

    def __len__(self) -> int:
        return self.grid[self.view.axis]

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)`` of a slice."""
        return self.grid[self.view.rows], self.grid[self.view.cols]

    @property
    def window(self) -> tuple[float, float]:
        """The values that become black and white."""
        if self._window is not None:
            return self._window
        low, high = self._scale[0]
        return (low, high) if low < high else (low, low + 1)  # a constant volume is black

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and largest finite value of the nine slices."""
        return self._scale[1]

    @cached_property
    def _scale(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Percentiles and whole range of the values of nine slices, which are read once."""
        chosen = np.unique(np.linspace(0, len(self) - 1, 9).round().astype(int))
        sample = np.stack([self.values(int(k)) for k in chosen])
        if sample.dtype == np.bool_:  # has no percentiles
            sample = sample.astype(np.uint8)
        return value_range(sample), value_range(sample, (0, 100))

    def values(self, k: int) -> NDArray[Any]:
        """Slice ``k`` in the units of the file, float or integer, ``(H, W)``, or with channels ``(H, W, N)``.

        Raises:
            InputError: There is no such slice, or the file is damaged.
        """
        if not 0 <= k < len(self):
            raise InputError(f"Expected a slice in 0..{len(self) - 1} of {self.path}, but got {k}.")
        return self._plane(k)

    def __getitem__(self, k: int) -> NDArray[np.uint8]:
        """Slice ``k`` as a picture, RGB, uint8, ``(H, W, 3)``."""
        return to_rgb(self.values(k), window=self.window)

    def read(self, k: int, reading: Reading) -> ReadImage:
        """Slice ``k`` with what tells it from others, the same whichever channels are shown.

        The window of ``reading`` counts, where it has one.
        """
        shown = self.values(k)
        window = reading.window if reading.window is not None else self.window
        rgb = to_rgb(shown, window=window)
        return ReadImage(rgb, checksum(self._identifying(k, shown)), reading.settings().get("reading", {}))

    def empty_labels(self) -> LabelVolume:
        """A volume of labels on the same grid, all 0."""
        return LabelVolume(self, np.zeros(self.grid, np.uint16))

    def read_labels(self, path: str | Path) -> LabelVolume:
        """Read a volume of labels on the same grid.

        Raises:
            InputError: It cannot be read, is on another grid, or holds no whole numbers in 0..65535.
        """
        return LabelVolume(self, self._read_voxels(Path(path)))


class LabelVolume:
    """Labels on the grid of a volume, seen through its slices.

    Args:
        like: The volume.
        voxels: The labels, uint16, as the file has its axes.
    """

    def __init__(self, like: VolumeSlices, voxels: NDArray[np.uint16]) -> None:
        self.like, self.voxels = like, voxels

    def __getitem__(self, k: int) -> NDArray[np.uint16]:
        """The labels of slice ``k``, uint16, ``(H, W)``."""
        plane: NDArray[np.uint16] = np.take(self.voxels, k, axis=self.like.view.axis)
        return self.like.view.turned(plane)

    def __setitem__(self, k: int, labels: NDArray[np.integer] | NDArray[np.bool_]) -> None:
        """Put the labels, ``(H, W)``, of slice ``k`` in.

        Raises:
            InputError: They have another shape.
        """
        if labels.shape != self.like.shape:
            raise InputError(f"Expected labels of shape {self.like.shape}, but got {labels.shape}.")
        index: list[Any] = [slice(None)] * 3
        index[self.like.view.axis] = k
        self.voxels[tuple(index)] = self.like.view.turned_back(np.asarray(labels))

    def save(self, path: str | Path) -> None:
        """Write them, whole or not at all, in the format of the volume.

        Raises:
            InputError: The name does not end as those of the format do.
        """
        path, suffixes = Path(path), self.like.SUFFIXES
        if not path.name.lower().endswith(suffixes):
            raise InputError(f"Expected a name that ends in {' or '.join(suffixes)}, but got {path}.")
        self.like._write_voxels(path, self.voxels)


def as_labels(values: NDArray[Any], path: Path) -> NDArray[np.uint16]:
    """Numbers of a label volume as uint16.

    Raises:
        InputError: They are no whole numbers in 0..65535.
    """
    if not ((values >= 0) & (values <= 65535) & (values == np.rint(values))).all():
        raise InputError(f"Expected whole numbers in 0..65535 in the label volume {path}.")
    return values.astype(np.uint16)
