"""Image folder -> tree store: extract, merge, save, in dataloader workers, skipping what is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from mis_lightning.data.training_images import TrainingImage
from mis_lightning.errors import ImageError, InputError
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.images import read_image
from mis_lightning.merge_tree.store import TreeStore
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.structures import Connectivity

CPU = torch.device("cpu")
SMALLEST_SIDE = 16  # pixels; below this there is nothing to segment


def store_settings(extractor: PatchExtractor, connectivity: Connectivity) -> dict[str, Any]:
    """Return the settings a store of this extractor's trees carries in its manifest."""
    return {**extractor.settings(), "connectivity": connectivity}


@dataclass
class _TreeJobs(Dataset[tuple[str, str]]):
    """Item ``i`` makes and saves the tree of image ``i``; what comes back is its key and what went wrong."""

    images: Sequence[TrainingImage]
    extractor: PatchExtractor
    connectivity: Connectivity
    store: TreeStore

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[str, str]:
        key, path = self.images[index]
        try:
            image = read_image(path)
            if min(image.shape[:2]) < SMALLEST_SIDE:
                raise ImageError(
                    f"{path} is {image.shape[1]}×{image.shape[0]} pixels; training images need at least "
                    f"{SMALLEST_SIDE} on each side."
                )
            features, grid = self.extractor(image)
            self.store.save(key, build_merge_tree(features, grid, self.connectivity))
        except InputError as error:
            return key, str(error) if str(path) in str(error) else f"{path}: {error}"
        except Exception as error:
            raise RuntimeError(f"The merge tree of {path} could not be made: {error}") from error
        return key, ""


def before_workers() -> None:
    """Keep OpenCV to one thread, in this process and in the workers it is about to start.

    A forked worker inherits OpenCV's thread pool but not its threads, and waits for them for ever as soon as
    it touches it. So the pool goes here, in the process that owns it, and never in the worker.
    """
    cv2.setNumThreads(1)


def one_thread(_worker: int) -> None:
    """Keep torch to one thread in a dataloader worker: the workers are the parallelism."""
    torch.set_num_threads(1)


def precompute(
    images: Sequence[TrainingImage],
    extractor: PatchExtractor,
    store: TreeStore,
    connectivity: Connectivity = "grid",
    num_workers: int = 2,
    progress: bool = True,
) -> dict[str, str]:
    """Make the merge trees that are still missing.

    Each tree is saved as soon as it is made, so a killed run goes on where it was.

    Args:
        images: The images.
        extractor: Makes the patch features; runs in the workers, one thread each, or in this process if its
            ``device`` is not the CPU.
        store: Where the trees go; opened with :func:`store_settings`.
        connectivity: Which patches may merge.
        num_workers: Worker processes; 0 works in this process, with all its threads.
        progress: Show a progress bar.

    Returns:
        Images whose tree could not be made because of the file: key -> message.

    Raises:
        RuntimeError: Something else went wrong with an image; the message names it.
    """
    store.sweep()
    missing = [image for image in images if image.key not in store]
    if not missing:
        return {}
    workers = num_workers if getattr(extractor, "device", CPU) == CPU else 0
    before_workers()
    jobs = _TreeJobs(missing, extractor, connectivity, store)
    loader: DataLoader[tuple[str, str]] = DataLoader(
        jobs, batch_size=None, num_workers=min(workers, len(missing)), worker_init_fn=one_thread
    )
    bar = tqdm(
        loader,
        desc="merge trees",
        total=len(images),
        initial=len(images) - len(missing),
        unit="image",
        disable=not progress,
    )
    return {key: message for key, message in bar if message}
