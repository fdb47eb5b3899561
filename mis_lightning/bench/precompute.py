"""``mis bench precompute``: the whole pipeline against its two stages, extraction and finding, each alone.

Where the stages overlap well, the pipeline takes at most what the slower one takes alone,
``max(find / workers, extract)``: extraction by one extractor in one process, finding in one thread. Two
arrangements are timed: an extractor on the CPU, which the pipeline runs in all workers; and one on an
accelerator, which stays in one process. The accelerator is played by an extractor that sleeps for as long as
a GPU would compute, and so leaves the processor to the others; ``--vit NAME --device cuda`` times a real one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mis_lightning.data.precompute import before_workers, precompute
from mis_lightning.data.training_images import TrainingImage, find_training_images
from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.vit import ViTFeatures
from mis_lightning.images import read_image
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.source import Features
from mis_lightning.regions.store import RegionStore

GOAL = 1.15  # issue: pipeline / max(find / workers, extract)


class PlayedAccelerator:
    """Gives features drawn at random, at the grid of a ViT with patches of 8, after a sleep.

    Args:
        seconds: How long an image takes.
        channels: Channels of the features.
    """

    device = torch.device("cuda")  # so that it stays in the main process

    def __init__(self, seconds: float, channels: int = 384) -> None:
        self.seconds = seconds
        self.channels = channels
        self.generator = np.random.default_rng(0)

    def __call__(self, image: NDArray[np.uint8]) -> Features:
        """Sleep, and return the features of a grid of 47×63."""
        time.sleep(self.seconds)
        return self.generator.random((47 * 63, self.channels), np.float32), (47, 63)

    def settings(self) -> dict[str, Any]:
        """Return what it is."""
        return {"extractor": "played"}


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench precompute --images DIR``.

    Raises:
        InputError: An option is out of range, or there are no images.
    """
    options = argparse.ArgumentParser(prog="mis bench precompute", description=__doc__.split("\n")[0])
    options.add_argument("--images", required=True, help="folder of images")
    options.add_argument("--count", type=int, default=200, help="images used (default: %(default)s)")
    options.add_argument("--workers", type=int, default=2, help="worker processes (default: %(default)s)")
    options.add_argument("--repeats", type=int, default=3, help="rounds (default: %(default)s)")
    options.add_argument(
        "--vit", default="", help="also time this timm model, with random weights, on --device"
    )
    options.add_argument("--device", default="cpu", help="device for --vit (default: %(default)s)")
    options.add_argument(
        "--played", type=float, default=0.02, help="seconds that the played accelerator takes for an image"
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    if min(given.count, given.workers, given.repeats) < 1:
        raise InputError("Expected --count, --workers and --repeats of at least 1.")
    images = find_training_images(given.images)[: given.count]
    sources = {
        "colour and texture, CPU": MergeTreeRegions(ColourTexture()),
        f"played accelerator, {given.played * 1e3:.0f} ms": MergeTreeRegions(PlayedAccelerator(given.played)),
    }
    if given.vit:
        extractor = ViTFeatures(given.vit, pretrained=False, device=given.device)
        sources[f"{given.vit}, {given.device}"] = MergeTreeRegions(extractor)
    print(f"{len(images)} images, {given.workers} workers, medians of {given.repeats} rounds")
    print(
        f"{'':<28}{'extract s':>11}{'find s':>9}{'pipeline s':>12}{'bound s':>9}{'ratio':>8}{'images/s':>10}"
    )
    figures = {}
    for name, source in sources.items():
        figures[name] = cost = measure(images, source, given.workers, given.repeats)
        print(
            f"{name:<28}{cost['extract']:>12.2f}{cost['find']:>12.2f}{cost['pipeline']:>12.2f}"
            f"{cost['bound']:>12.2f}{cost['ratio']:>12.2f}{len(images) / cost['pipeline']:>12.1f}"
        )
    print(f"bound = max(find / workers, extract); the goal is a ratio of at most {GOAL}")
    if given.json is not None:
        settings = {name: str(value) for name, value in vars(given).items() if name != "json"}
        given.json.write_text(
            json.dumps({"settings": settings, "figures": figures}, indent=2) + "\n", encoding="utf-8"
        )
    return 0


def measure(
    images: Sequence[TrainingImage], source: MergeTreeRegions, workers: int, repeats: int
) -> dict[str, float]:
    """Time both stages and the pipeline, in turn.

    Args:
        images: The images.
        source: What finds their regions.
        workers: Worker processes of the pipeline.
        repeats: Rounds; the first of all is preceded by one that does not count.

    Returns:
        Median seconds: ``extract`` (reading and extracting in this process), ``find`` (in one thread, saving
        included), ``pipeline``, their ``bound`` and ``ratio``.
    """
    times: dict[str, list[float]] = {"extract": [], "find": [], "pipeline": []}
    before_workers()
    for round_number in range(repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            stages = {
                "extract": lambda: _extract(images, source),
                "pipeline": lambda: precompute(
                    images, source, RegionStore(f"{folder}/all", source.settings()), workers, progress=False
                ),
            }
            for name, stage in stages.items():
                seconds = _timed(stage)
                if round_number:
                    times[name].append(seconds)
            seconds = _find(images, source, RegionStore(f"{folder}/one", source.settings()))
            if round_number:
                times["find"].append(seconds)
    cost = {name: median(values) for name, values in times.items()}
    cost["bound"] = max(cost["find"] / workers, cost["extract"])
    cost["ratio"] = cost["pipeline"] / cost["bound"]
    return cost


def _timed(stage: Callable[[], object]) -> float:
    start = time.perf_counter()
    stage()
    return time.perf_counter() - start


def _extract(images: Sequence[TrainingImage], source: MergeTreeRegions) -> None:
    for image in images:
        source.extractor(read_image(image.path))


def _find(images: Sequence[TrainingImage], source: MergeTreeRegions, store: RegionStore) -> float:
    """Time the finding and saving of all images in this thread, features not counted."""
    total = 0.0
    with _one_torch_thread():
        for image in images:
            pixels = read_image(image.path)
            features = source.extractor(pixels)
            start = time.perf_counter()
            store.save(image.key, source.find(pixels, image.key, features))
            total += time.perf_counter() - start
    return total


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
