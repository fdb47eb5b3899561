"""``mis bench evaluate``: objects evaluated together against one by one, and the simulated user's own cost.

The model is the small preset with random weights, which is as fast as a trained one. For the user's own
cost, which is everything but the model, a played model answers at 448×448 at once, on pictures of 500×375.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn.functional import interpolate

from mis_lightning.bench.figure import Figure, report
from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmarks import GrabCut
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, SimulatedSession, simulate_sessions
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Prompt, Sample

TOGETHER_GOAL, USER_GOAL = 1.5, 10.0  # times as fast; ms per click
PHOTOGRAPH = (375, 500)
SMALL: dict[str, Any] = {"dims": (32, 48, 96), "dim": 192, "depth": 4, "heads": 6, "click_radius": 3.0}
"""Of configs/cpu.yaml, but for the input size."""


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench evaluate``.

    Raises:
        InputError: An option is out of range, or there is no benchmark in ``--root``.
    """
    options = argparse.ArgumentParser(prog="mis bench evaluate", description=__doc__.split("\n")[0])
    options.add_argument(
        "--root",
        type=Path,
        help="folder of GrabCut (default: $MIS_DATA_DIR/GrabCut, or else the bundled photographs)",
    )
    for name, default, text in (
        ("objects", 16, "objects evaluated"),
        ("clicks", 8, "clicks on each"),
        ("batch", 8, "objects that advance together"),
        ("side", 128, "side of the small preset's input in pixels"),
        ("answer", 448, "side of the played model's input in pixels"),
        ("rounds", 3, "timed calls of each"),
        ("threads", 2, "CPU threads"),
    ):
        options.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: %(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    for name in ("objects", "clicks", "batch", "side", "answer", "rounds", "threads"):
        if getattr(given, name) < 1:
            raise InputError(f"Expected --{name} of at least 1, but got {getattr(given, name)}.")
    benchmark = _open(given.root)
    before = torch.get_num_threads()
    torch.set_num_threads(given.threads)
    try:
        samples = [benchmark[i] for i in range(min(given.objects, len(benchmark)))]
        figures = together(samples, given.clicks, given.batch, given.side, given.rounds)
        torch.set_num_threads(1)
        figures += user(given.clicks, given.answer, given.rounds)
    finally:
        torch.set_num_threads(before)
    print(f"{len(samples)} objects of {benchmark.name}, {given.clicks} clicks each, {given.threads} threads")
    report(figures, vars(given), given.json)
    return 0


def _open(root: Path | None) -> Benchmark:
    usual = Path(os.environ.get("MIS_DATA_DIR", "")) / "GrabCut"
    if root is not None or ("MIS_DATA_DIR" in os.environ and usual.is_dir()):
        return GrabCut(root or usual)
    return BundledBenchmark()


def together(samples: Sequence[Sample], clicks: int, batch: int, side: int, rounds: int) -> list[Figure]:
    """Time ``batch`` objects at a time against one by one, and compare the results.

    The two take turns at every ``batch`` objects, so that a busy moment of the machine hits both; the ratio
    is the median over these turns, and so is that of the forward passes alone.
    """
    torch.manual_seed(0)
    model = HybridClickViT(input_size=(side, side), **SMALL).eval()
    model = model.to(memory_format=torch.channels_last)  # as MISModule does
    settings = EvaluationSettings(target_iou=None, max_clicks=clicks)
    turns = [samples[first : first + batch] for first in range(0, len(samples), batch)]
    sizes = (1, batch)
    seconds: dict[int, list[float]] = {size: [] for size in sizes}  # an object, by turn
    forward: dict[int, list[float]] = {size: [] for size in sizes}
    sessions: dict[int, list[SimulatedSession]] = {}
    segmenter = ClickModelSegmenter(model)
    list(simulate_sessions(segmenter, turns[0][:2], settings, batch))
    for _ in range(rounds):
        sessions = {size: [] for size in sizes}
        for some in turns:
            for size in sizes:
                start = time.perf_counter()
                sessions[size] += simulate_sessions(segmenter, some, settings, size)
                seconds[size].append((time.perf_counter() - start) / len(some))
                forward[size].append(_forward(model, 2 * min(size, len(some)), clicks))
    pairs = list(zip(sessions[1], sessions[batch], strict=True))
    same = sum(one.clicks == other.clicks for one, other in pairs)
    difference = max(
        (float(np.abs(one.ious - other.ious).max()) for one, other in pairs if one.clicks == other.clicks),
        default=float("nan"),
    )
    return [
        Figure(f"an object, {batch} together", 1e3 * median(seconds[batch]), "ms"),
        Figure("an object, one by one", 1e3 * median(seconds[1]), "ms"),
        Figure(f"{batch} together against one by one", _ratio(seconds, batch), "x", TOGETHER_GOAL, True),
        Figure("  the forward passes alone", _ratio(forward, batch), "x"),
        Figure("  objects with the same clicks either way", same / len(pairs), "x", 1.0, at_least=True),
        Figure("  largest difference of an IoU among them", difference, ""),
    ]


def _ratio(seconds: Mapping[int, Sequence[float]], batch: int) -> float:
    """Median over the turns of how many times as fast ``batch`` at a time are as one."""
    return median(alone / shared for alone, shared in zip(seconds[1], seconds[batch], strict=True))


def _forward(model: HybridClickViT, count: int, clicks: int) -> float:
    """Seconds of a forward pass for one of ``count`` inputs: the median of three passes after another one."""
    height, width = model.input_size
    image, previous = torch.rand(count, 3, height, width), torch.rand(count, 1, height, width)
    points = 50 * torch.rand(count, 2 * clicks, 3)
    times = []
    with torch.inference_mode():
        for _ in range(4):
            start = time.perf_counter()
            model(image, Prompt(points, previous))
            times.append(time.perf_counter() - start)
    return median(times[1:]) / count


class PlayedModel:
    """Answers with smooth waves made beforehand, and counts the little time it takes."""

    def __init__(self, side: int) -> None:
        generator = torch.Generator().manual_seed(0)
        waves = torch.randn(20, 1, 7, 7, generator=generator)
        self.input_size = (side, side)
        self.answers = 3 * interpolate(waves, self.input_size, mode="bicubic")
        self.calls = 0
        self.seconds = 0.0

    def __call__(self, image: Tensor, prompt: Prompt) -> Tensor:
        """Return the next wave, for each input."""
        start = time.process_time()
        self.calls += 1
        answer = self.answers[self.calls % len(self.answers)].expand(len(image), -1, -1, -1).clone()
        self.seconds += time.process_time() - start
        return answer


def user(clicks: int, answer: int, rounds: int) -> list[Figure]:
    """Time everything but the model, per click, and the choice of a click against two distance transforms.

    Times are of the processor, over all threads.
    """
    samples = list(islice(scenes(), 6))
    settings = EvaluationSettings(target_iou=None, max_clicks=clicks)
    per_click: list[float] = []
    for timed in range(-1, rounds):
        model = PlayedModel(answer)
        start = time.process_time()
        made = sum(
            len(session.clicks)
            for session in simulate_sessions(ClickModelSegmenter(model), samples, settings)
        )
        if timed >= 0:
            per_click.append((time.process_time() - start - model.seconds) / made)
    predictions = [other.mask for other in samples[1:] + samples[:1]]
    ways: dict[str, Callable[[NDArray[np.bool_], NDArray[np.bool_]], object]] = {
        "choosing a click": next_click,
        "  by OpenCV's precise distance transform": partial(_deepest, _opencv),
        "  by SciPy's distance transform": partial(_deepest, _scipy),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for timed in range(-1, rounds):
        for name, way in ways.items():
            start = time.process_time()
            for sample, prediction in zip(samples, predictions, strict=True):
                way(sample.mask, prediction)
            if timed >= 0:
                seconds[name].append((time.process_time() - start) / len(samples))
    pixels = f"{PHOTOGRAPH[1]}x{PHOTOGRAPH[0]} pixels"
    return [
        Figure(f"a click but for the model, {pixels}", 1e3 * median(per_click), "ms", USER_GOAL),
        *(Figure(name, 1e3 * median(times), "ms") for name, times in seconds.items()),
    ]


def scenes() -> Iterator[Sample]:
    """Random images, each with a smooth object."""
    for number in range(1 << 30):
        generator = np.random.default_rng(number)
        coarse = generator.standard_normal((5, 6))
        height = cv2.resize(coarse, PHOTOGRAPH[::-1], interpolation=cv2.INTER_CUBIC)
        image = generator.integers(0, 256, (*PHOTOGRAPH, 3), dtype=np.uint8)
        yield Sample(image, height > 0.4, None, str(number))


def _deepest(depth: Callable[[NDArray[np.bool_]], Any], mask: Any, prediction: Any) -> tuple[bool, int]:
    missed, added = depth(mask & ~prediction), depth(prediction & ~mask)
    positive = bool(missed.max() > added.max())
    return positive, int((missed if positive else added).argmax())


def _opencv(region: NDArray[np.bool_]) -> NDArray[np.float32]:
    padded = np.pad(region, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(depth[1:-1, 1:-1], np.float32)


def _scipy(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    depth: NDArray[np.float64] = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return depth
