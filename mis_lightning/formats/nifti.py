"""NIfTI volumes, slice by slice, with the affine and the header kept. Needs nibabel."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from mis_lightning.errors import ImageError, InputError
from mis_lightning.files import written_whole
from mis_lightning.formats.slice_view import Axis, SliceView
from mis_lightning.formats.volume_slices import VolumeSlices, as_labels
from mis_lightning.images import Reading


class NiftiSlices(VolumeSlices):
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

    SUFFIXES: ClassVar[tuple[str, ...]] = (".nii", ".nii.gz")
    LABELS: ClassVar[str] = ".nii.gz"

    def __init__(
        self,
        path: str | Path,
        axis: Axis = "axial",
        window: tuple[float, float] | None = None,
        channel: int | None = None,
    ) -> None:
        path = Path(path)
        self.nifti = _open(path)
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
        first, second, third = shape[:3]
        grid = int(first), int(second), int(third)
        super().__init__(path, axis, grid, SliceView.across(axis, self.nifti.affine), window)

    @classmethod
    def holds(cls, path: Path) -> bool:
        """Whether a file is a NIfTI volume by its name."""
        return path.name.lower().endswith(cls.SUFFIXES)

    @classmethod
    def axis_of(cls, axis: Axis) -> str:
        """The anatomical axis itself."""
        return axis

    @classmethod
    def opened(cls, path: Path, axis: Axis, reading: Reading) -> Self:
        """The slices with the window of ``reading``, and of its one channel.

        Raises:
            InputError: As the class, or three channels are named.
        """
        if reading.channels is not None and len(reading.channels) != 1:
            raise InputError(
                f"Expected one channel for the volume {path}, but got {tuple(reading.channels)}: a slice is "
                "grey."
            )
        return cls(path, axis, reading.window, reading.channels[0] if reading.channels else None)

    def _plane(self, k: int) -> NDArray[Any]:
        return self._of_channel(k, self._further)

    def _identifying(self, k: int, shown: NDArray[Any]) -> NDArray[Any]:
        return self._of_channel(k, (0,) * len(self._further)) if any(self._further) else shown

    def _of_channel(self, k: int, further: tuple[int, ...]) -> NDArray[Any]:
        index: list[Any] = [slice(None)] * 3 + list(further)
        index[self.view.axis] = k
        try:
            plane = np.asarray(self.nifti.dataobj[tuple(index)])
        except Exception as error:  # zlib.error, EOFError, OSError, ... on damaged files
            raise ImageError(f"The volume {self.path} is cut off or damaged ({error}).") from error
        return self.view.turned(plane)

    def _read_voxels(self, path: Path) -> NDArray[np.uint16]:
        nifti = _open(path)
        same = nifti.shape[:3] == self.grid and np.allclose(nifti.affine, self.nifti.affine)
        if not same or np.prod(nifti.shape[3:]) > 1:
            raise InputError(
                f"Expected labels on the grid of {self.path}, but {path} has another shape or affine."
            )
        return as_labels(np.asarray(nifti.dataobj).reshape(self.grid), path)

    def _write_voxels(self, path: Path, voxels: NDArray[np.uint16]) -> None:
        """Write them with the affine and the header of the volume.

        Only what describes the values differs: the type (uint8, or uint16 from label 256 on), scaling, the
        display range, and the intent, which becomes that of labels.
        """
        header = self.nifti.header.copy()
        dtype = np.uint8 if voxels.max(initial=0) < 256 else np.uint16
        header.set_data_dtype(dtype)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
        header.set_intent("label")
        shape = self.nifti.shape if np.prod(self.nifti.shape) == voxels.size else self.grid
        # without an affine of its own it keeps sform and qform as the header has them
        data = type(self.nifti)(voxels.astype(dtype).reshape(shape), None, header).to_bytes()
        with written_whole(path) as temporary:
            temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


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
