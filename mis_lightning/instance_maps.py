"""Instance maps: every pixel holds the number of its object, 0 the background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import ImageError
from mis_lightning.images import read_mask


def read_instances(path: Path) -> NDArray[np.integer]:
    """Read an instance map.

    Args:
        path: A ``.mat`` file as SBD publishes it (struct ``GTinst``, field ``Segmentation``), or an image of
            one channel or a palette.

    Returns:
        The instance ids, integers, ``(H, W)``; 0 is background.

    Raises:
        ImageError: The file is not such a map.
    """
    labels = _read_mat(path) if path.suffix == ".mat" else read_mask(path)
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise ImageError(
            f"Expected a 2-D map of integers in {path}, but got {labels.dtype} of shape {labels.shape}."
        )
    return labels


def instance_ids(labels: NDArray[np.integer]) -> list[int]:
    """List the ids in a map, ascending, without the background."""
    return [int(instance) for instance in np.unique(labels) if instance != 0]


def _read_mat(path: Path) -> NDArray[np.integer]:
    from scipy.io import loadmat  # a third of a second, and only SBD needs it

    try:
        struct = loadmat(path, variable_names=["GTinst"])["GTinst"][0, 0]
        labels = np.asarray(struct["Segmentation"])
    except Exception as error:
        # scipy raises ValueError, KeyError, MatReadError, zlib.error, ... on what is not such a file
        raise ImageError(
            f"Expected a struct GTinst with a field Segmentation in {path}, but could not read it "
            f"({error!r}). Extract the file from benchmark.tgz again."
        ) from error
    return labels
