"""TIFF files of several pages, slice by slice: what microscopes, ImageJ and OME programs write.

Which pages are slices: :mod:`~mis_lightning.formats.tiff_layout`.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from mis_lightning.errors import ImageError, InputError
from mis_lightning.files import written_whole
from mis_lightning.formats.slice_view import Axis, SliceView
from mis_lightning.formats.tiff_layout import stack_layout
from mis_lightning.formats.volume_slices import VolumeSlices, as_labels
from mis_lightning.image_decoding import decode
from mis_lightning.images import Reading

_OME = (".ome.tif", ".ome.tiff")


class TiffSlices(VolumeSlices):
    """The slices of a TIFF stack as pictures, read one by one.

    A slice is what its page would be as an image of its own: 8-bit pixels are not rescaled. Others get one
    window for all slices.

    Args:
        path: A TIFF with at least two pages, all of one size and kind.
        window: ``(low, high)`` in the units of the file; ``None``: the percentiles 0.5 and 99.5 of nine
            slices.
        channels: One index or three into the channels; ``None``: up to four are shown as
            :func:`~mis_lightning.grey_levels.to_rgb` shows them.

    Raises:
        InputError: The file is no such stack, has further axes such as time beside depth, or no such
            channels.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = (".tif", ".tiff")
    LABELS: ClassVar[str] = ".tif"

    def __init__(
        self,
        path: str | Path,
        window: tuple[float, float] | None = None,
        channels: tuple[int, ...] | None = None,
    ) -> None:
        path = Path(path)
        found = stack_layout(path)
        if found is None:
            raise ImageError(
                f"Expected a TIFF with several pages of one size and kind at {path}, but it is not one."
            )
        if found.others:
            said = ", ".join(f"{count} along {axis}" for axis, count in found.others)
            raise ImageError(
                f"Expected the pages of {path} to be the slices of one volume, but beside "
                f"{len(found.pages)} along {found.axis} there are {said}. Save each volume as a file of its "
                "own (ImageJ: Image > Duplicate)."
            )
        count = found.pages.shape[1] * found.samples
        if channels is None and count > 4:
            raise InputError(
                f"Expected the channels of {path} that are shown, one or three of 0..{count - 1}: name them "
                "with `channels` (`--channels 0`)."
            )
        if channels is not None and not (len(channels) in (1, 3) and all(0 <= c < count for c in channels)):
            raise InputError(
                f"Expected `channels` to name 1 or 3 of the channels 0..{count - 1} of {path}, but got "
                f"{tuple(channels)}."
            )
        self.layout, self._channels = found, channels
        grid = len(found.pages), *found.shape
        super().__init__(path, "slice", grid, SliceView(0, 1, 2, flip_rows=False, flip_cols=False), window)

    @classmethod
    def holds(cls, path: Path) -> bool:
        """Whether a file is there that is a TIFF of several pages, all of one size and kind."""
        return path.name.lower().endswith(cls.SUFFIXES) and stack_layout(path) is not None

    @classmethod
    def axis_of(cls, axis: Axis) -> str:
        """``slice``: a stack is shown page by page, its axes are not those of a body."""
        return "slice"

    @classmethod
    def opened(cls, path: Path, axis: Axis, reading: Reading) -> Self:
        """The slices with the window and the channels of ``reading``.

        Raises:
            InputError: As the class.
        """
        return cls(path, reading.window, reading.channels)

    @cached_property
    def _scale(self) -> tuple[tuple[float, float], tuple[float, float]]:
        if self.layout.dtype == np.uint8:
            return (0, 255), (0, 255)
        return super()._scale

    def _plane(self, k: int) -> NDArray[Any]:
        stored = self._stored(k)
        if self._channels is None or stored.ndim == 2:
            return stored
        chosen = stored[..., list(self._channels)]
        return chosen[..., 0] if len(self._channels) == 1 else chosen

    def _identifying(self, k: int, shown: NDArray[Any]) -> NDArray[Any]:
        return shown if self._channels is None else self._stored(k)

    def _stored(self, k: int) -> NDArray[Any]:
        """Slice ``k`` with all channels, ``(H, W)`` or ``(H, W, N)``."""
        planes = [self._page(int(number), labels=False) for number in self.layout.pages[k]]
        return planes[0] if len(planes) == 1 else np.dstack(planes)

    def _page(self, number: int, *, labels: bool) -> NDArray[Any]:
        page = decode(self.path, labels=labels, page=number).array
        if page.shape[:2] != self.shape:
            raise ImageError(
                f"Expected {self.shape[0]} x {self.shape[1]} pixels on page {number} of {self.path}, as on "
                f"the first one, but got {page.shape[0]} x {page.shape[1]}. Save the pages of one size as a "
                "file of their own."
            )
        return page

    def _read_voxels(self, path: Path) -> NDArray[np.uint16]:
        labels = TiffSlices(path)
        if labels.grid != self.grid or labels.layout.pages.shape[1] * labels.layout.samples > 1:
            raise InputError(
                f"Expected {self.grid[0]} pages of labels in {path}, each of {self.shape[0]} x "
                f"{self.shape[1]} pixels as in {self.path}, but got {labels.grid[0]} of {labels.shape[0]} x "
                f"{labels.shape[1]}."
            )
        voxels = np.empty(self.grid, np.uint16)
        for k, (number,) in enumerate(labels.layout.pages):
            voxels[k] = as_labels(labels._page(int(number), labels=True), path)
        return voxels

    def _write_voxels(self, path: Path, voxels: NDArray[np.uint16]) -> None:
        """Write one page of 16 bits for each slice, with the axis and the spacing of the stack."""
        from tifffile import imwrite

        is_ome = path.name.lower().endswith(_OME)
        apart, down, right = self.layout.spacing
        unit = self.layout.unit
        axes = {"axes": f"{self.layout.axis if self.layout.axis in 'TZ' else 'Z'}YX"}
        if is_ome:
            sizes = {"PhysicalSizeZ": apart, "PhysicalSizeY": down, "PhysicalSizeX": right}
            units = {f"{name}Unit": unit for name in sizes}
            metadata: dict[str, Any] = {**axes, **(sizes | units if unit else {})}
        else:
            metadata = {**axes, "spacing": apart}
            plain = (unit or "").replace("µ", "\\u00B5")  # as ImageJ spells it
            if plain and plain.isascii():
                metadata["unit"] = plain
        with written_whole(path) as temporary:
            imwrite(
                temporary,
                voxels,
                imagej=not is_ome,
                ome=is_ome,
                photometric="minisblack",
                compression="zlib",
                resolution=(1 / right, 1 / down),
                metadata=metadata,
            )
