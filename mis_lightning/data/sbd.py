"""SBD (Semantic Boundaries Dataset) -> evaluation objects, and the list of training images.

Rules: docs/protocol.md#training-images, docs/protocol.md#benchmarks.

The official release::

    benchmark_RELEASE/dataset/   (or SBD/, or the folder itself)
    ├── img/        11355 photographs, e.g. 2008_000002.jpg
    ├── inst/       11355 instance maps of the same stems, *.mat (struct GTinst, field Segmentation)
    ├── train.txt   8498 stems, one per line
    └── val.txt     2857 stems

Nothing is ever written into that folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmark_folders import check_count, check_size, find_folder, how_to_get
from mis_lightning.errors import DatasetNotFoundError
from mis_lightning.images import read_image
from mis_lightning.instance_maps import instance_ids, read_instances
from mis_lightning.structures import Sample

_INNER = (
    "SBD",
    "sbd",
    "benchmark_RELEASE/dataset",
    "SBD/benchmark_RELEASE/dataset",
    "SBD/dataset",
    "dataset",
)
_INDEX_FORMAT = 1
TRAINING_IMAGES = 8498


class SBD(Benchmark):
    """SBD val: every instance of 2857 photographs, 6671 objects (Hariharan et al., ICCV 2011).

    The folder tree is drawn at the top of this file. Objects come in the order of ``val.txt``, then of
    ascending instance ids; no small or odd instance is left out. Names are ``<stem>#<id>``, e.g.
    ``2008_000002#3``.

    Which instances there are is read once from all instance maps, with a progress bar, and kept as JSON in
    the user's cache folder until the list or the size or time of an instance map changes.
    """

    name: ClassVar[str] = "SBD"
    expected_images: ClassVar[int] = 2857
    expected_count: ClassVar[int | None] = 6671

    def __init__(self, root: str | Path, *, allow_incomplete: bool = False) -> None:
        """Find the files and list the objects.

        Args:
            root: The folder drawn above, or a folder above it.
            allow_incomplete: Accept other counts than the published ones, with a warning; photographs of the
                list that are not there are left out.

        Raises:
            DatasetNotFoundError: Folders or files are missing or a count differs.
            ImageError: An instance map cannot be read.
        """
        self.folder = find_folder(self.name, root, ("img", "inst", "val.txt"), _INNER)
        names, complete = _read_list(self.folder, "val.txt", self.expected_images, allow_incomplete)
        ids = _instance_ids(self.folder, names)
        self._objects = [(name, instance) for name in names for instance in ids[name]]
        full = check_count(
            self.name,
            "objects",
            len(self._objects),
            self.expected_count,
            self.folder,
            allow_incomplete=allow_incomplete,
        )
        self.comparable = complete and full

    def __len__(self) -> int:
        """Count the objects."""
        return len(self._objects)

    def __getitem__(self, index: int) -> Sample:
        """Read one object.

        Args:
            index: Position in the published order.

        Raises:
            ImageError: A file cannot be read, or image and instance map differ in size.
        """
        name, instance = self._objects[index]
        image, labels = _read_pair(self.folder, name)
        return Sample(image, labels == instance, None, f"{name}#{instance}")


def training_names(root: str | Path, *, allow_incomplete: bool = False) -> list[str]:
    """List the photographs of SBD train.

    Args:
        root: The folder drawn above, or a folder above it.
        allow_incomplete: Accept another number of photographs than 8498, with a warning.

    Returns:
        The stems of ``train.txt``, in its order.

    Raises:
        DatasetNotFoundError: Folders or files are missing or the count differs.
    """
    folder = find_folder("SBD", root, ("img", "inst", "train.txt"), _INNER)
    return _read_list(folder, "train.txt", TRAINING_IMAGES, allow_incomplete)[0]


def _read_list(folder: Path, list_name: str, expected: int, allow_incomplete: bool) -> tuple[list[str], bool]:
    """Read the stems whose files are there, and whether the list is complete."""
    lines = (folder / list_name).read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    there = [name for name in names if all(path.is_file() for path in _files(folder, name))]
    if len(there) < len(names) and not allow_incomplete:
        first = next(name for name in names if name not in set(there))
        raise DatasetNotFoundError(
            f"SBD: {len(names) - len(there)} of the {len(names)} entries of {folder / list_name} lack "
            f"img/*.jpg or inst/*.mat, the first is {first}. {how_to_get('SBD', folder)}"
        )
    what = f"photographs of {list_name}"
    return there, check_count("SBD", what, len(there), expected, folder, allow_incomplete=allow_incomplete)


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / "img" / f"{name}.jpg", folder / "inst" / f"{name}.mat"


def _read_pair(folder: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    image_path, labels_path = _files(folder, name)
    image, labels = read_image(image_path), read_instances(labels_path)
    check_size(image, image_path, labels, labels_path)
    return image, labels


def _instance_ids(folder: Path, names: Sequence[str]) -> dict[str, list[int]]:
    """Instance ids of every photograph, from the cache or from the instance maps."""
    state = hashlib.sha256()
    for name in names:
        status = _files(folder, name)[1].stat()
        state.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    cache = _cache_folder() / f"sbd-instances-{_INDEX_FORMAT}-{state.hexdigest()[:24]}.json"
    try:
        stored: dict[str, list[int]] = json.loads(cache.read_text(encoding="utf-8"))
        if list(stored) == list(names):
            return stored
    except (OSError, ValueError):
        pass  # not there yet, or cut off
    from tqdm import tqdm

    bar = tqdm(names, desc="SBD: listing instances (once)", unit="image", disable=None)
    ids = {name: instance_ids(read_instances(_files(folder, name)[1])) for name in bar}
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        part = cache.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(ids), encoding="utf-8")
        part.replace(cache)
    except OSError as error:
        print(f"SBD: the list of instances could not be saved in {cache.parent} ({error}).", file=sys.stderr)
    return ids


def _cache_folder() -> Path:
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mis_lightning"
