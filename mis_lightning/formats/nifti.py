"""NIfTI volumes, slice by slice: pictures out, labels in, with the affine and the header kept.

Everything here works on 2-D slices; nothing looks at neighbouring ones. Needs nibabel.
"""

from __future__ import annotations

import gzip
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import ImageError, InputError
from mis_lightning.files import written_whole
from mis_lightning.formats.slice_view import Axis, SliceView
from mis_lightning.grey_levels import to_rgb, value_range
from mis_lightning.images import ReadImage, Reading, checksum

SUFFIXES = (".nii", ".nii.gz")


def is_volume(path: Path) -> bool:
    """Whether a file is a NIfTI volume by its name."""
    return path.name.lower().endswith(SUFFIXES)


def window_of_level(level: float, width: float) -> tuple[float, float]:
    """The range of values that a window shows, e.g. level 40 and width 400: ``(-160, 240)``."""
    return level - width / 2, level + width / 2


class NiftiSlices:
    """The slices of a volume as pictures, read one by one.

    A slice is turned as a radiologist sees it: head or front up, the patient's right on the left, in sagittal
    slices the front on the left. A compressed file is read from its start to the slice, so going through it
    in order is quickest.

    Args:
        path: A ``.nii`` or ``.nii.gz`` file of 3 dimensions, or of one more with ``channel``; further ones of
            length 1 do not matter.
        axis: Across which the volume is cut.
        window: ``(low, high)`` in the units of the file, e.g. Hounsfield units; ``None``: the percentiles 0.5
            and 99.5 of nine slices, the same for all.
        channel: Index into the dimension after the third that is longer than 1, where there is one.

    Raises:
        InputError: nibabel is missing, the file cannot be read, or an argument does not fit it.
    """

    def __init__(
        self,
        path: str | Path,
        axis: Axis = "axial",
        window: tuple[float, float] | None = None,
        channel: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.nifti = _open(self.path)
        shape = self.nifti.shape
        further = [length for length in shape[3:] if length > 1]
        if len(shape) < 3 or 0 in shape or len(further) > 1 or (further and channel is None):
            raise InputError(
                f"Expected a volume of 3 dimensions in {path}, but got {shape}; where a fourth holds "
                "channels or times, name one with `channel` (`--channels 0`)."
            )
        if channel is not None and not 0 <= channel < (*further, 1)[0]:
            raise InputError(
                f"Expected `channel` to name one of the volumes 0..{(*further, 1)[0] - 1} in {path}, shape "
                f"{shape}, but got {channel}."
            )
        self._further = tuple((channel or 0) if length > 1 else 0 for length in shape[3:])
        self.axis: Axis = axis
        self.view = SliceView.across(axis, self.nifti.affine)
        self._window = window

    def __len__(self) -> int:
        return int(self.nifti.shape[self.view.axis])

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)`` of a slice."""
        rows, cols = (self.nifti.shape[axis] for axis in (self.view.rows, self.view.cols))
        return int(rows), int(cols)

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
        return value_range(sample), value_range(sample, (0, 100))

    def values(self, k: int) -> NDArray[Any]:
        """Slice ``k`` in the units of the file, float or integer, ``(H, W)``.

        Raises:
            InputError: There is no such slice, or the file is damaged.
        """
        if not 0 <= k < len(self):
            raise InputError(f"Expected a slice in 0..{len(self) - 1} of {self.path}, but got {k}.")
        return self._plane(k, self._further)

    def _plane(self, k: int, further: tuple[int, ...]) -> NDArray[Any]:
        index: list[Any] = [slice(None)] * 3 + list(further)
        index[self.view.axis] = k
        try:
            plane = np.asarray(self.nifti.dataobj[tuple(index)])
        except Exception as error:  # zlib.error, EOFError, OSError, ... on damaged files
            raise ImageError(f"The volume {self.path} is cut off or damaged ({error}).") from error
        return self.view.turned(plane)

    def __getitem__(self, k: int) -> NDArray[np.uint8]:
        """Slice ``k`` as a picture, RGB, uint8, ``(H, W, 3)``."""
        return to_rgb(self.values(k), window=self.window)

    def read(self, k: int, reading: Reading) -> ReadImage:
        """Slice ``k`` with what tells it from others: that of channel 0, whichever is shown.

        The window of ``reading`` counts, where it has one.
        """
        shown = self.values(k)
        first = self._plane(k, (0,) * len(self._further)) if any(self._further) else shown
        window = reading.window if reading.window is not None else self.window
        rgb = to_rgb(shown, window=window)
        return ReadImage(rgb, checksum(first), reading.settings().get("reading", {}))

    def empty_labels(self) -> LabelVolume:
        """A volume of labels on the same grid, all 0."""
        return LabelVolume(self, np.zeros(self.nifti.shape[:3], np.uint16))

    def read_labels(self, path: str | Path) -> LabelVolume:
        """Read a volume of labels on the same grid.

        Raises:
            InputError: It cannot be read, has another shape or affine, or holds no whole numbers in 0..65535.
        """
        nifti = _open(Path(path))
        same = nifti.shape[:3] == self.nifti.shape[:3] and np.allclose(nifti.affine, self.nifti.affine)
        if not same or np.prod(nifti.shape[3:]) > 1:
            raise InputError(
                f"Expected labels on the grid of {self.path}, but {path} has another shape or affine."
            )
        values = np.asarray(nifti.dataobj).reshape(nifti.shape[:3])
        if not ((values >= 0) & (values <= 65535) & (values == np.rint(values))).all():
            raise InputError(f"Expected whole numbers in 0..65535 in {path}.")
        return LabelVolume(self, values.astype(np.uint16))


class LabelVolume:
    """Labels on the grid of a volume, seen through its slices.

    Args:
        like: The volume.
        voxels: The labels, uint16, as the file has its axes.
    """

    def __init__(self, like: NiftiSlices, voxels: NDArray[np.uint16]) -> None:
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
        """Write them, whole or not at all, with the affine and the header of the volume.

        Only what describes the values differs: the type (uint8, or uint16 from label 256 on), scaling, the
        display range, and the intent, which becomes that of labels.

        Raises:
            InputError: The name does not end in ``.nii`` or ``.nii.gz``.
        """
        path = Path(path)
        if not path.name.endswith(SUFFIXES):
            raise InputError(f"Expected a name that ends in .nii or .nii.gz, but got {path}.")
        like = self.like.nifti
        header = like.header.copy()
        dtype = np.uint8 if self.voxels.max(initial=0) < 256 else np.uint16
        header.set_data_dtype(dtype)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
        header.set_intent("label")
        shape = like.shape if np.prod(like.shape) == self.voxels.size else like.shape[:3]
        # without an affine of its own it keeps sform and qform as the header has them
        data = type(like)(self.voxels.astype(dtype).reshape(shape), None, header).to_bytes()
        with written_whole(path) as temporary:
            temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def open_slices(path: Path, axis: Axis, reading: Reading) -> NiftiSlices:
    """The slices of a volume, read as images are: of ``reading`` the window counts, and the one channel.

    Raises:
        InputError: As :class:`NiftiSlices`, or three channels are named.
    """
    if reading.channels is not None and len(reading.channels) != 1:
        raise InputError(
            f"Expected one channel for the volume {path}, but got {tuple(reading.channels)}: a slice is grey."
        )
    return NiftiSlices(path, axis, reading.window, reading.channels[0] if reading.channels else None)


def _open(path: Path) -> Any:
    """Open a volume; its values are read later.

    Raises:
        InputError: nibabel is missing, or the file is no NIfTI volume of numbers.
    """
    try:
        import nibabel
    except ImportError:
        raise InputError(f'Reading {path} needs nibabel: pip install "mis-lightning[medical]"') from None
    if not path.is_file():
        raise ImageError(f"There is no volume {path}. Check the path.")
    try:
        nifti = nibabel.load(path, keep_file_open=True)
    except Exception as error:  # ImageFileError, HeaderDataError, zlib.error, EOFError, ...
        raise ImageError(f"Expected a NIfTI volume at {path}, but: {error}.") from error
    if not isinstance(nifti, nibabel.Nifti1Image):  # Nifti2Image is a subclass
        raise ImageError(f"Expected a NIfTI volume at {path}, but got a {type(nifti).__name__}.")
    if nifti.get_data_dtype().kind not in "iufb":
        raise ImageError(f"Expected numbers in the volume {path}, but got {nifti.get_data_dtype()}.")
    return nifti
