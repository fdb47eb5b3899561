"""OAI-ZIB slices -> one sample per cartilage.

Rules: docs/protocol.md#benchmarks, docs/protocol.md#oai-zib-slices.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmark_folders import (
    check_count,
    check_size,
    find_folder,
    is_marked_not_comparable,
    pair_by_stem,
    read_levels,
)
from mis_lightning.images import read_image
from mis_lightning.structures import Sample


class OAIZIB(Benchmark):
    """OAI-ZIB: 150 slices of 50 knee MR volumes, up to two cartilages each (Ambellan et al., MedIA 2019).

    ::

        OAI-ZIB/iseg_slices/    (or any folder with test/ in it)
        └── test/
            ├── image/          150 slices, <patient>_<slice>.png
            └── annotations/    150 masks of the same names

    Every level of a mask's first channel other than 0 is an object: 128 femoral, 255 tibial cartilage.
    Objects come in the order of the slices, then of the levels; names are ``<patient>_<slice>#<level>``.
    """

    name: ClassVar[str] = "OAIZIB"
    expected_images: ClassVar[int] = 150
    expected_count: ClassVar[int | None] = None

    def __init__(self, root: str | Path, *, allow_incomplete: bool = False) -> None:
        """Find the slices, count them and list the objects in them (reads every mask).

        Args:
            root: The folder drawn above, or a folder above it.
            allow_incomplete: Accept another number of slices than 150, with a warning.

        Raises:
            DatasetNotFoundError: Folders or masks are missing or the count differs.
            ImageError: A mask cannot be read.
        """
        self.folder = find_folder(
            self.name,
            root,
            ("test/image", "test/annotations"),
            ("OAIZIB", "OAI-ZIB", "OAI-ZIB/iseg_slices", "OAIZIB/iseg_slices", "iseg_slices"),
        )
        pairs = pair_by_stem(
            self.name,
            self.folder / "test" / "image",
            self.folder / "test" / "annotations",
            allow_incomplete=allow_incomplete,
        )
        complete = check_count(
            self.name,
            "slices with masks",
            len(pairs),
            self.expected_images,
            self.folder,
            allow_incomplete=allow_incomplete,
        )
        self.comparable = complete and not is_marked_not_comparable(self.folder)
        self._objects = [
            (pair, int(level))
            for pair in pairs
            for level in np.unique(read_levels(pair.mask)[..., 0])
            if level != 0
        ]

    def __len__(self) -> int:
        """Count the objects."""
        return len(self._objects)

    def __getitem__(self, index: int) -> Sample:
        """Read one object.

        Args:
            index: Position in the published order.

        Raises:
            ImageError: A file cannot be read, or image and mask differ in size.
        """
        pair, level = self._objects[index]
        image, levels = read_image(pair.image), read_levels(pair.mask)
        check_size(image, pair.image, levels, pair.mask)
        return Sample(image, levels[..., 0] == level, None, f"{pair.name}#{level}")
