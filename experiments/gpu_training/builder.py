"""Merge trees and regions of all images, built by many processes beside the training."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_training.tables import Tables

_FORK = multiprocessing.get_context("fork")


class Builder:
    """Fills tables in the background. To be made before torch is imported, since it forks.

    One process compiles the merging, then starts the others, which share what is compiled. An image that
    fails prints why and stays empty.

    Args:
        data: What ``pack.py`` has written.
        processes: Number of processes.
        most: Use this many images at most, drawn at random.
        folder: Keep the tables in files there; what an earlier run has filled is not built again.

    Attributes:
        tables: What is filled.
        count: Number of images.
    """

    def __init__(
        self, data: Path, processes: int, most: int | None = None, folder: Path | None = None
    ) -> None:
        with np.load(data, allow_pickle=False) as packed:
            count = sum(name.endswith(".jpg") for name in packed.files)
        order = np.random.default_rng(0).permutation(count)[:most]
        self.count = len(order)
        self.tables = Tables.empty(self.count, folder)
        self._stop = _FORK.Event()
        arguments = (self.tables, data, order, processes, self._stop)
        self._process = _FORK.Process(target=_build, args=arguments)
        self._process.start()

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._process.join(10)

    def ready(self) -> int:
        """Number of images that are done."""
        return int(np.count_nonzero(self.tables.sizes[:, 0]))

    def finished(self) -> bool:
        """Whether no more will be done."""
        return not self._process.is_alive()

    def wait(self, count: int) -> None:
        """Wait until that many images are done.

        Raises:
            RuntimeError: None was, and none will be.
        """
        while self.ready() < min(count, self.count) and not self.finished():
            time.sleep(0.05)
        if self.ready() == 0:
            raise RuntimeError("no merge tree could be built; see the messages above")


def _build(tables: Tables, data: Path, order: NDArray[np.int64], processes: int, stop: Any) -> None:
    if tables.sizes[:, 0].all():
        return
    cv2.setNumThreads(0)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Tables.empty(1).fill(0, noise, np.full((1, 12, 12), 255, np.uint8), True)  # compiles
    workers = [
        _FORK.Process(target=_work, args=(tables, data, order, number, processes, stop))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _work(tables: Tables, data: Path, order: NDArray[np.int64], first: int, step: int, stop: Any) -> None:
    with np.load(data, allow_pickle=False) as packed:
        for number in range(first, len(order), step):
            if stop.is_set():
                return
            if tables.sizes[number, 0]:
                continue
            name = f"{order[number]:05d}"
            try:
                image = cv2.imdecode(packed[f"{name}.jpg"], cv2.IMREAD_COLOR)
                upright = bool(packed[f"{name}.upright"][0])
                tables.fill(
                    number, np.ascontiguousarray(image[:, :, ::-1]), packed[f"{name}.salient"], upright
                )
            except Exception as error:  # the others go on
                print(f"image {name}: {type(error).__name__}: {error}", flush=True)
