"""True masks as training regions: the supervised twin of a model.

Rule: docs/protocol.md#benchmarks.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError
from mis_lightning.instance_maps import instance_ids, read_instances
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.segment_unions import box_share
from mis_lightning.regions.source import Features, MaskSource

SUFFIXES = (".mat", ".png", ".tif", ".tiff", ".bmp", ".gif")


class TrueMasks(MaskSource):
    """The objects of an instance map that lies beside each image, of which each draw takes one.

    The map of image ``a/b.jpg`` is ``a/b.mat``, ``a/b.png`` … below ``masks``, or else ``b.mat``, ``b.png``
    … right in it, so that SBD's ``img/<stem>.jpg`` finds ``inst/<stem>.mat``.

    Args:
        masks: Folder of instance maps (:mod:`mis_lightning.instance_maps`).
        smallest_fill: Objects whose area is a smaller share of their bounding box are left out;
            docs/protocol.md#benchmarks has 0.08 for SBD.

    Raises:
        InputError: ``smallest_fill`` is out of range.
        DatasetNotFoundError: There is no such folder.
    """

    def __init__(self, masks: str, smallest_fill: float = 0.08) -> None:
        if not 0 <= smallest_fill <= 1:
            raise InputError(f"Expected `smallest_fill` in [0, 1], but got {smallest_fill}.")
        self.masks = Path(masks).expanduser()
        if not self.masks.is_dir():
            raise DatasetNotFoundError(
                f"Expected a folder of instance maps, but there is none at {self.masks}."
            )
        self.smallest_fill = smallest_fill

    def settings(self) -> dict[str, Any]:
        """Return the folder's place and the filter."""
        return {
            "source": "true_masks",
            "masks": str(self.masks.resolve()),
            "smallest_fill": self.smallest_fill,
        }

    def find(self, image: NDArray[np.uint8], key: str, features: Features | None) -> MaskSet:
        """Read the objects of one image, in ascending order of their ids; there may be none.

        Raises:
            ImageError: There is no map of this image, it cannot be read, or it has another size.
        """
        path = self._path(key)
        labels = read_instances(path)
        if labels.shape != image.shape[:2]:
            raise ImageError(
                f"Expected an instance map of {image.shape[1]}×{image.shape[0]} pixels, the size of {key}, "
                f"but {path} has {labels.shape[1]}×{labels.shape[0]}."
            )
        masks = [labels == instance for instance in instance_ids(labels)]
        kept = [mask for mask in masks if box_share(mask) >= self.smallest_fill]
        return MaskSet.pack(np.stack(kept) if kept else np.zeros((0, *labels.shape), np.bool_))

    def _path(self, key: str) -> Path:
        inside = PurePosixPath(key).with_suffix("")
        for stem in (self.masks / inside, self.masks / inside.name):
            for suffix in SUFFIXES:
                path = stem.with_name(stem.name + suffix)
                if path.is_file():
                    return path
        raise ImageError(
            f"Expected the instance map of {key} as {inside.name}.mat or .png in {self.masks}, "
            "but there is none."
        )
