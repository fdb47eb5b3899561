"""Image folder -> region store: extract, find, save; images that are done are skipped.

Extraction and finding overlap. An extractor on the CPU runs in dataloader workers, each of which also finds
and saves: the workers are the parallelism. One on an accelerator stays in this process, gets decoded images
from the workers, and leaves features to threads that find and save.
"""

from __future__ import annotations

import signal
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, Dataset

from mis_lightning.console import counted, told
from mis_lightning.data.training_images import TrainingImage
from mis_lightning.errors import ImageError, InputError, Note, of_system
from mis_lightning.regions.source import Features, RegionSource
from mis_lightning.regions.store import RegionStore

CPU = torch.device("cpu")
SMALLEST_SIDE = 16  # pixels; below this there is nothing to segment
AHEAD = 4  # images per thread that may wait for their regions to be found

Outcome = tuple[str, str]
"""Key of an image, and why it cannot be used, empty if it can."""


class _Refused(NamedTuple):
    """The system does not let the store be written to: nothing further can be saved.

    Workers return it, for what they raise comes with their traceback.
    """

    words: str


def before_workers() -> None:
    """Keep OpenCV to one thread, in this process and in the workers it is about to start.

    A forked worker inherits OpenCV's thread pool but not its threads, and waits for them for ever as soon as
    it touches it. So the pool goes here, in the process that owns it, and never in the worker.
    """
    cv2.setNumThreads(1)


def one_thread(_worker: int) -> None:
    """Keep torch and numpy's BLAS to one thread in a worker: the workers are the parallelism.

    Ctrl-C reaches the workers, too, and SIGTERM may (SLURM): both are left to the process that started them,
    which ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    threadpool_limits(1)


def precompute(
    images: Sequence[TrainingImage],
    source: RegionSource,
    store: RegionStore,
    num_workers: int = 2,
    progress: bool = True,
) -> dict[str, str]:
    """Find the regions that are still missing, in this process and its workers.

    Those of each image are saved as soon as they are found, so a killed run goes on where it was, and two
    runs on one store do no harm.

    Args:
        images: The images.
        source: Finds their regions.
        store: Where they go; opened with the source's settings.
        num_workers: Worker processes (and threads, for an extractor on an accelerator); 0 works in this
            process, with all its threads.
        progress: Show a progress bar.

    Returns:
        Images whose regions could not be found because of the file: key -> message.

    Raises:
        InputError: The store cannot be written to, such as on a full disk.
        RuntimeError: Something else went wrong with an image; the message names it.
    """
    store.sweep()
    missing = find_missing(images, store)
    found = find_regions(missing, source, store, num_workers)
    if progress:
        found = told(found, len(images), "regions", "image", done=len(images) - len(missing))
    return {key: message for key, message in found if message}


def find_missing(images: Sequence[TrainingImage], store: RegionStore) -> list[TrainingImage]:
    """The images that have no regions yet. Damaged files are removed, so that they are made again."""
    damaged = [image.key for image in images if store.remove_damaged(image.key)]
    if damaged:
        were = counted(len(damaged), "file was", "files were")
        warnings.warn(
            f"{were} damaged in {store.root}, such as the regions of {damaged[0]}: made again.",
            Note,
            stacklevel=2,
        )
    return [image for image in images if image.key not in store]


def find_regions(
    images: Sequence[TrainingImage], source: RegionSource, store: RegionStore, num_workers: int
) -> Iterator[Outcome]:
    """Find and save the regions of images, and yield each outcome (:func:`precompute`).

    Raises:
        InputError: The store cannot be written to, such as on a full disk.
    """
    with closing(_outcomes(images, source, store, num_workers)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, _Refused):
                raise InputError(outcome.words)
            yield outcome


def _outcomes(
    images: Sequence[TrainingImage], source: RegionSource, store: RegionStore, num_workers: int
) -> Generator[Outcome | _Refused]:
    if not images:
        return
    before_workers()
    workers = min(num_workers, len(images))
    if getattr(source.extractor, "device", CPU) == CPU:
        jobs = _Whole(images, source, store)
        try:
            yield from DataLoader(jobs, batch_size=None, num_workers=workers, worker_init_fn=one_thread)
        except Exception as error:
            # Its traceback would hold the loader, and so the workers, for which the process waits at its end.
            raise error.with_traceback(None) from None
    else:
        yield from _overlapped(images, source, store, workers)


def _overlapped(
    images: Sequence[TrainingImage], source: RegionSource, store: RegionStore, workers: int
) -> Iterator[Outcome | _Refused]:
    """Extract in this process, on the accelerator; read ahead of it, and find behind it."""
    if source.extractor is None:
        raise TypeError("A source without an extractor has nothing to overlap.")
    store.write_manifest()  # before the threads, which would all do it
    prepare = getattr(source.extractor, "prepare", None)
    extract = source.extractor if prepare is None else getattr(source.extractor, "extract", source.extractor)
    loader = DataLoader(
        _Decoded(images, prepare), batch_size=None, num_workers=workers, worker_init_fn=one_thread
    )
    threads = max(workers, 1)
    waiting: deque[Future[Outcome | _Refused]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for index, *tensors, message in loader:  # tensors, as loaders move them in shared memory
                image, prepared = (tensor.numpy() for tensor in tensors)
                if message:
                    yield images[index].key, message
                    continue
                with _Named(images[index]) as named:
                    waiting.append(
                        pool.submit(_find_and_save, images[index], image, extract(prepared), source, store)
                    )
                if named.message:
                    yield images[index].key, named.message
                while waiting and (waiting[0].done() or len(waiting) > AHEAD * threads):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # only after an error: what has not begun need not
                future.cancel()


@dataclass
class _Whole(Dataset["Outcome | _Refused"]):
    """Item ``i`` finds and saves the regions of image ``i``."""

    images: Sequence[TrainingImage]
    source: RegionSource
    store: RegionStore

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Outcome | _Refused:
        with _Named(self.images[index]) as named:
            image = _read(self.images[index])
            features = None if self.source.extractor is None else self.source.extractor(image)
            return _find_and_save(self.images[index], image, features, self.source, self.store)
        return self.images[index].key, named.message


@dataclass
class _Decoded(Dataset[tuple[int, NDArray[np.uint8], NDArray[np.uint8], str]]):
    """Item ``i`` is ``i``, image ``i``, what the extractor prepares of it, and why it cannot be used."""

    images: Sequence[TrainingImage]
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8], str]:
        with _Named(self.images[index]) as named:
            image = _read(self.images[index])
            return index, image, image if self.prepare is None else self.prepare(image), ""
        nothing = np.empty((0, 0, 3), np.uint8)
        return index, nothing, nothing, named.message


def _read(image: TrainingImage) -> NDArray[np.uint8]:
    pixels = image.read()
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        raise ImageError(
            f"{image.path} is {pixels.shape[1]}×{pixels.shape[0]} pixels; training images need at least "
            f"{SMALLEST_SIDE} on each side."
        )
    return pixels


def _find_and_save(
    image: TrainingImage,
    pixels: NDArray[np.uint8],
    features: Features | None,
    source: RegionSource,
    store: RegionStore,
) -> Outcome | _Refused:
    with _Named(image) as named:
        found = source.find(pixels, image.key, features)
        try:
            store.save(image.key, found)
        except OSError as error:
            return _Refused(f"The regions of {image.key} cannot be saved: {of_system(error)}")
    return image.key, named.message


class _Named:
    """Says of which image an error is: of the file, kept as ``message``; any other, raised with its name."""

    def __init__(self, image: TrainingImage) -> None:
        self.image = image
        self.message = ""

    def __enter__(self) -> _Named:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, InputError):
            path = str(self.image.path)
            self.message = str(error) if path in str(error) else f"{path}: {error}"
            return True
        if isinstance(error, Exception):
            raise RuntimeError(f"The regions of {self.image.path} could not be found: {error}") from error
        return False
