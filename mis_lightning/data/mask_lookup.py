"""Which files of a folder hold the masks of which image.

The masks of image ``a/b.jpg`` are looked for in ``a/`` below the folder of masks, then in that folder itself:

* ``b.jpg.json``, as ``mis annotate`` saves it;
* one file of all objects: ``b.png``, ``b.tif``, …, also ``b_mask.png``, ``b_masks.tif`` and the like
  (:data:`TAILS`), and ``b.jpg.png``;
* a file for each object: ``b_1.png``, ``b.2.png``, …, or whatever lies in a folder ``b/``.

The labels of a volume are a volume of the same format and name, with or without such a tail, or the masks of
its slices, each of which is an image; ``_0000`` at the end of a NIfTI file's name (nnU-Net) does not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mis_lightning.errors import DatasetNotFoundError
from mis_lightning.formats.nifti import NiftiSlices
from mis_lightning.formats.volume_files import split_key
from mis_lightning.images import list_images

MAPS = (".png", ".tif", ".tiff", ".bmp", ".gif", ".mat")
"""Suffixes of label maps and masks; JPEG is none of them, for it smears labels."""
TAILS = (
    *("", "_mask", "_masks", "_label", "_labels", "_seg", "_segmentation", "_gt", "_instances"),
    *("_cp_masks", "-labels", "-mask"),
)
"""What may follow the name of an image in the name of its masks."""
_NUMBERED = re.compile(r"(?P<stem>.+)[._-](?P<number>\d+)")


@dataclass(frozen=True)
class MaskPlace:
    """Where the masks of one image are.

    Attributes:
        whole: The one file of all objects: a label map, a label volume or a click log.
        parts: Else a file for each object, by its name.
    """

    whole: Path | None = None
    parts: Mapping[str, Path] = field(default_factory=dict)


class MaskLookup:
    """The files of a folder of masks.

    Args:
        folder: The folder.

    Raises:
        DatasetNotFoundError: There is no such folder, or nothing in it that masks are read from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise DatasetNotFoundError(
                f"Expected a folder of masks, a COCO file (.json) or a label volume (.nii.gz), but there is "
                f"none at {folder}."
            )
        try:
            paths = list_images(folder, (*MAPS, *NiftiSlices.SUFFIXES, ".json"))
        except DatasetNotFoundError as error:
            raise DatasetNotFoundError(str(error).replace("Expected images", "Expected masks", 1)) from None
        self._files: dict[str, list[Path]] = defaultdict(list)
        self._numbered: dict[str, list[tuple[int, Path]]] = defaultdict(list)
        self._inside: dict[str, list[Path]] = defaultdict(list)
        for path in paths:
            name = comparable(path.relative_to(folder).as_posix())
            self._files[name].append(path)
            if path.suffix.lower() in MAPS:
                place, _, last = name.rpartition("/")
                self._inside[place].append(path)
                found = _NUMBERED.fullmatch(last[: -len(path.suffix)])
                if found:
                    self._numbered[_join(place, found["stem"])].append((int(found["number"]), path))

    def find(self, key: str, image: Path) -> MaskPlace | None:
        """The masks of an image; ``None``: there are none.

        Args:
            key: Its path inside the folder of images, with ``/``; of a slice with ``#axial-12`` behind it.
            image: Its file, which is never its own mask.

        Raises:
            DatasetNotFoundError: Several files could be its masks.
        """
        place, _, name = key.rpartition("/")
        for folder in dict.fromkeys((place, "")):
            log = self._files.get(_join(folder, comparable(f"{name}.json")))
            if log:
                return MaskPlace(log[0])
            whole = [path for one in self._wanted(folder, name) for path in self._files.get(one, ())]
            whole = [path for path in whole if not path.samefile(image)]
            if len(whole) > 1:
                raise DatasetNotFoundError(
                    f"Expected one file of masks for the image {key}, but {whole[0]} and {whole[1]} both "
                    "match. Remove or rename one of them."
                )
            if whole:
                return MaskPlace(whole[0])
            parts = self._parts(folder, name)
            if parts:
                return MaskPlace(parts=parts)
        return None

    def _wanted(self, folder: str, name: str) -> list[str]:
        """Names that a file of all objects may have."""
        suffixes = NiftiSlices.SUFFIXES if NiftiSlices.holds(Path(name)) else MAPS
        stems = dict.fromkeys((stem_of(name), name))
        names = [f"{stem}{tail}{end}" for stem in stems for tail in TAILS for end in suffixes]
        return [comparable(_join(folder, name)) for name in names]

    def _parts(self, folder: str, name: str) -> dict[str, Path]:
        for stem in dict.fromkeys((stem_of(name), name)):
            numbered = sorted(self._numbered.get(comparable(_join(folder, stem)), []))
            if numbered:
                return {str(number): path for number, path in numbered}
            for inside in (_join(folder, stem), _join(folder, f"{stem}/masks")):
                if self._inside.get(comparable(inside)):
                    return {path.stem: path for path in self._inside[comparable(inside)]}
        return {}

    def examples(self, key: str) -> str:
        """Names that were looked for, and what is there instead: for a message."""
        name = key.rpartition("/")[2]
        stem, end = stem_of(name), ".nii.gz" if NiftiSlices.holds(Path(name)) else ".png"
        wanted = [f"{stem}{end}", f"{stem}_mask{end}"]
        if end == ".png":
            wanted += [f"{stem}.tif", f"{stem}_1.png", f"{stem}/1.png", f"{name}.json"]
        smeared = [
            f"{stem}{end}" for end in (".jpg", ".jpeg", ".JPG") if (self.folder / f"{stem}{end}").is_file()
        ]
        found = [path.relative_to(self.folder).as_posix() for paths in self._files.values() for path in paths]
        return (
            f"Expected the masks of {name} as one of {', '.join(wanted)} … in {self.folder}, "
            f"but it holds {_some(found)}."
            + (f" {smeared[0]} does not count: JPEG smears labels. Save masks as PNG." if smeared else "")
        )


def comparable(path: str) -> str:
    """A path as it is compared: whole characters, as file systems differ in them, and a small suffix."""
    whole = unicodedata.normalize("NFC", path)
    stem, dot, suffix = whole.rpartition(".")
    return f"{stem}{dot}{suffix.lower()}" if dot and "/" not in suffix else whole


def stem_of(name: str) -> str:
    """The name of an image file without its suffix, of a NIfTI volume also without ``_0000``.

    Of a slice it is that of its volume and the slice, ``ct_axial-12``, as ``mis export-masks`` names it.
    """
    of_volume = split_key(name)
    if of_volume is not None:
        return f"{stem_of(of_volume.volume)}_{of_volume.axis}-{of_volume.number}"
    lower = name.lower()
    ending = next((end for end in NiftiSlices.SUFFIXES[::-1] if lower.endswith(end)), None)
    if ending is not None:
        return name[: -len(ending)].removesuffix("_0000")
    return Path(name).stem


def _join(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f", … ({len(names)} files)" if len(names) > 4 else "")
