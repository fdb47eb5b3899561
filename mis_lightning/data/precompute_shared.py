"""The precompute of several processes (torchrun, SLURM, Lightning's launchers): each takes its share."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import torch.distributed as dist
from tqdm import tqdm

from mis_lightning.data.precompute import find_missing, find_regions, precompute
from mis_lightning.data.training_images import TrainingImage
from mis_lightning.errors import InputError
from mis_lightning.regions.source import RegionSource
from mis_lightning.regions.store import RegionStore

POLL = 0.2  # seconds between two looks at how far the other processes are


def rank_and_world() -> tuple[int, int]:
    """Return the number of this process and how many there are; ``(0, 1)`` for one alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def precompute_shared(
    images: Sequence[TrainingImage], source: RegionSource, store: RegionStore, num_workers: int = 2
) -> dict[str, str]:
    """Find missing regions together with the other processes of this job, and wait until all are done.

    Process ``r`` of ``w`` takes images ``r``, ``r + w``, … . The regions do not depend on the number of
    processes. The first one shows a progress bar of the whole work. When one fails, all stop.

    Args:
        images: The images, the same in every process.
        source: Finds their regions.
        store: Where they go, on a file system that all processes see.
        num_workers: Workers of each process.

    Returns:
        Images that cannot be used, of all processes: key -> message.

    Raises:
        InputError: The store cannot be written to, such as on a full disk.
        RuntimeError: Something went wrong with an image, in this process or another; the message names it.
    """
    rank, world = rank_and_world()
    if world == 1:
        return precompute(images, source, store, num_workers)
    if rank == 0:
        store.sweep()
    board = _open_board(rank)
    dist.barrier()  # no one writes before the sweep, and every one has joined
    share = images[rank::world]
    missing = find_missing(share, store)
    done = board.add("done", len(share) - len(missing))
    bar = tqdm(desc="regions", total=len(images), initial=done, unit="image", disable=rank != 0)
    failures: dict[str, str] = {}
    error: tuple[str, bool] | None = None  # its words, and whether they are for the user
    try:
        for key, message in find_regions(missing, source, store, num_workers):
            if message:
                failures[key] = message
            bar.update(board.add("done", 1) - bar.n)
            if board.add("failed", 0):
                break
    except Exception as caught:
        error = str(caught), isinstance(caught, InputError)
        board.add("failed", 1)
    # Not left to the gathering below: a process that is done early would wait there longer than torch allows.
    while board.add("done", 0) < len(images) and not board.add("failed", 0):
        bar.update(board.add("done", 0) - bar.n)
        time.sleep(POLL)
    bar.update(board.add("done", 0) - bar.n)
    bar.close()
    shares: list[tuple[dict[str, str], tuple[str, bool] | None]] = [({}, None)] * world
    dist.all_gather_object(shares, (failures, error))  # also a barrier
    errors = [error for _, error in shares if error is not None]
    if errors:
        text, for_user = errors[0]
        raise InputError(text) if for_user else RuntimeError(text)
    return {key: message for part, _ in shares for key, message in part.items()}


def _open_board(rank: int) -> Any:
    """Open counters that all processes of the job see; the first one serves them on a free port."""
    host = os.environ.get("MASTER_ADDR", "127.0.0.1")
    open_store: Any = partial(
        dist.TCPStore,  # type: ignore[attr-defined]
        wait_for_workers=False,
        timeout=timedelta(minutes=5),
    )
    served = open_store(host, 0, is_master=True) if rank == 0 else None
    port = [served.port if served else 0]
    dist.broadcast_object_list(port)
    return served or open_store(host, port[0])
