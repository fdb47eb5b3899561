"""Which files are volumes, and what their slices are called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple, get_args

from mis_lightning.errors import ImageError
from mis_lightning.formats.nifti import NiftiSlices
from mis_lightning.formats.slice_view import Axis
from mis_lightning.formats.tiff_stack import TiffSlices
from mis_lightning.formats.volume_slices import VolumeSlices
from mis_lightning.images import Reading

FORMATS: tuple[type[VolumeSlices], ...] = (NiftiSlices, TiffSlices)
"""All of them: a further one is one more class."""
SUFFIXES = tuple(suffix for one in FORMATS for suffix in one.SUFFIXES)
"""What names of volumes end in, in lower case. Not each such file is one: a TIFF may hold one image."""


class SliceKey(NamedTuple):
    """What the key of a slice says: the volume, the axis across which it is cut, and the number."""

    volume: str
    axis: str
    number: int


_KEYS = [
    re.compile(
        rf"(?P<volume>.+({'|'.join(map(re.escape, one.SUFFIXES))}))"
        rf"#(?P<axis>{'|'.join(dict.fromkeys(map(one.axis_of, get_args(Axis))))})-(?P<number>\d+)",
        re.IGNORECASE,
    )
    for one in FORMATS
]


def is_volume(path: Path) -> bool:
    """Whether a file is a volume; of a TIFF the pages are looked at, where the file is there."""
    return any(one.holds(path) for one in FORMATS)


def open_slices(path: Path, axis: Axis, reading: Reading) -> VolumeSlices:
    """The slices of a volume, read as images are: window and channels are those of ``reading``.

    Raises:
        InputError: It cannot be read, is no volume, or the channels do not fit it.
    """
    for one in FORMATS:
        if one.holds(path):
            return one.opened(path, axis, reading)
    raise ImageError(
        f"There is no volume {path}. Expected a NIfTI file, or a TIFF with several pages of one size and "
        "kind."
    )


def slice_key(volume: str, axis: Axis, number: int) -> str:
    """What a slice is called: ``ct.nii.gz#axial-12``, or of a TIFF stack ``cells.tif#slice-12``.

    Args:
        volume: Path of the volume inside its folder.
        axis: Across which volumes with anatomical axes are cut.
        number: From 0.
    """
    kinds = (one for one in FORMATS if volume.lower().endswith(one.SUFFIXES))
    kind = next(kinds, TiffSlices)
    return f"{volume}#{kind.axis_of(axis)}-{number}"


def slices_of(key: str, path: Path, axis: Axis, reading: Reading) -> list[tuple[str, int | None]]:
    """Name and number of each slice of a volume, in order; of an image its own name and ``None``.

    Args:
        key: Path of the file inside its folder.
        path: The file.
        axis: Across which volumes with anatomical axes are cut.
        reading: How its values become RGB.

    Raises:
        InputError: It is a volume that cannot be read.
    """
    if not is_volume(path):
        return [(key, None)]
    return [(slice_key(key, axis, k), k) for k in range(len(open_slices(path, axis, reading)))]


def split_key(key: str) -> SliceKey | None:
    """The volume, the axis and the number in the key of a slice; ``None``: it is none.

    Any other ``#`` belongs to the name of an image.
    """
    found = next(filter(None, (one.fullmatch(key) for one in _KEYS)), None)
    return None if found is None else SliceKey(found["volume"], found["axis"], int(found["number"]))
