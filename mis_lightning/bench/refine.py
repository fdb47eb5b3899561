"""``mis bench refine``: a click on the merge tree and the tree of a new ROI, on one thread, beside rivals.

Then what a user waits for with the shipped model: the first click and the next ones, sharpened or not.

The ROI is a bundled photograph of as many pixels as leaves; the answer to sharpen is a blurred disc. A
click's rival, cv2.grabCut in the band where the answer is unsure, sharpens the same answer. A new ROI's
rivals also cut it into regions: Felzenszwalb's and SLIC of scikit-image, neither of them with a hierarchy.
Times on one thread are of the processor, a user's are by the clock.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.bench.figure import Figure, report
from mis_lightning.bench.merging import one_thread
from mis_lightning.data.bundled import bundled_images
from mis_lightning.errors import InputError
from mis_lightning.features.scaling import resize_bicubic
from mis_lightning.images import read_image
from mis_lightning.merge_tree.leaf_grid import leaf_evidence, leaf_extractor
from mis_lightning.models.shipped import DEFAULT
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click

CLICK_GOAL, ROI_GOAL, FIRST_CLICK_GOAL = 3.0, 30.0, 200.0  # ms
PHOTOGRAPH = "chelsea.png"
ANSWER = 160  # side of the model's answer


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench refine``.

    Raises:
        InputError: An option is out of range.
    """
    options = argparse.ArgumentParser(prog="mis bench refine", description=__doc__.split("\n")[0])
    options.add_argument("--side", type=int, default=256, help="leaves of a side (default: %(default)s)")
    options.add_argument("--rounds", type=int, default=15, help="timed calls of each (default: %(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    if given.side < 8 or given.rounds < 1:
        raise InputError(
            f"Expected --side of at least 8 and --rounds of at least 1, but got {given.side} and "
            f"{given.rounds}."
        )
    cv2.setNumThreads(1)
    with one_thread():
        figures = measure(given.side, given.rounds)
    report([*figures, *measure_user(given.rounds)], vars(given), given.json)
    return 0


def measure(side: int, rounds: int) -> list[Figure]:
    """Time a click and a new ROI of ``side * side`` pixels, and their rivals, in turn."""
    path = next(path for path in bundled_images() if path.name == PHOTOGRAPH)
    roi = resize_bicubic(read_image(path), (side, side)).copy()
    how = Refinement(max_side=side)
    extractor, tree = leaf_extractor(side), how.tree(roi)
    rows, cols = np.mgrid[0:ANSWER, 0:ANSWER] / ANSWER
    logits = np.float32(20) * (np.float32(0.3) - np.hypot(rows - 0.5, cols - 0.5)).astype(np.float32)
    clicks = [Click(side // 2, side // 2, True), Click(side // 8, side // 8, False)]
    ms = _medians(
        {
            "click": lambda: how.mask(tree, logits, (side, side), clicks),
            "cv2.grabCut": lambda: _grabcut(roi, logits, how),
            "roi": lambda: how.tree(roi),
            "features": lambda: extractor(roi),
            "felzenszwalb": lambda: import_module("skimage.segmentation").felzenszwalb(roi),
            "slic": lambda: import_module("skimage.segmentation").slic(roi, side * side // 64),
        },
        rounds,
    )
    return [
        Figure(f"a click, {side}x{side} leaves", ms["click"], "ms", CLICK_GOAL),
        Figure("  cv2.grabCut in the unsure band", ms["cv2.grabCut"], "ms"),
        Figure(f"a new ROI, {side}x{side} leaves", ms["roi"], "ms", ROI_GOAL),
        Figure("  its features alone", ms["features"], "ms"),
        Figure("  scikit-image, Felzenszwalb, no hierarchy", ms["felzenszwalb"], "ms"),
        Figure("  scikit-image, SLIC, no hierarchy", ms["slic"], "ms"),
    ]


def measure_user(rounds: int) -> list[Figure]:
    """Time the first and the second click on a bundled photograph, with either kind of settings, in turn."""
    image = read_image(next(path for path in bundled_images() if path.name == PHOTOGRAPH))
    sharpened, published = (
        ClickPredictor(open_segmenter(name)) for name in (DEFAULT, f"{DEFAULT}:published")
    )
    height, width = image.shape[:2]

    def first(predictor: ClickPredictor) -> None:
        predictor.set_image(image)
        predictor.click(height // 2, width // 2)

    ms = _medians(
        {
            "first": lambda: first(sharpened),
            "second": lambda: sharpened.click(height // 8, width // 8, False),
            "published, first": lambda: first(published),
            "published, second": lambda: published.click(height // 8, width // 8, False),
        },
        rounds,
        perf_counter,
    )
    return [
        Figure(f"{DEFAULT}, first click, {height}x{width}", ms["first"], "ms", FIRST_CLICK_GOAL),
        Figure("  published settings", ms["published, first"], "ms"),
        Figure(f"{DEFAULT}, second click", ms["second"], "ms"),
        Figure("  published settings", ms["published, second"], "ms"),
    ]


def _grabcut(roi: NDArray[np.uint8], logits: NDArray[np.float32], how: Refinement) -> None:
    evidence = leaf_evidence(logits, roi.shape[:2], roi.shape[:2], how.clip)
    trimap = np.where(evidence > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8, order="C")
    trimap[evidence > how.sure] = cv2.GC_FGD
    trimap[evidence < -how.sure] = cv2.GC_BGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(roi, trimap, (0, 0, 1, 1), *models, 1, cv2.GC_INIT_WITH_MASK)


def _medians(
    ways: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = process_time
) -> dict[str, float]:
    """Milliseconds of each way; the ways are called in turn, so that a busy moment hits all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for timed in range(-1, rounds):  # the first round warms up
        for name, way in ways.items():
            start = clock()
            way()
            if timed >= 0:
                seconds[name].append(clock() - start)
    return {name: 1e3 * median(values) for name, values in seconds.items()}
