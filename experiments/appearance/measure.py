"""What it saves to know what accepted objects look like: one by one, each learned from once it is asked.

python experiments/appearance/measure.py --half report --objects 24
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "refinement"))
from sets import SETS, some

from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.learning.appearance import Appearance
from mis_lightning.metrics.functional import number_of_clicks
from mis_lightning.metrics.report import bootstrap_intervals
from mis_lightning.metrics.summary import THRESHOLDS
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Sample

CLICKS = 10
"""Of a session at most; one that fails counts one more."""


def main(args: Sequence[str] | None = None) -> None:
    """Print a row for each set, and the differences over the six domains."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", default="development", choices=("development", "report"))
    parser.add_argument(
        "--sets", nargs="+", default=[name for name in SETS if name != "bundled"], choices=SETS
    )
    parser.add_argument("--objects", type=int, default=24, help="of a set at most, evenly spaced")
    parser.add_argument("--model", default="mis-small")
    given = parser.parse_args(args)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    segmenter = open_segmenter(given.model)
    if not isinstance(segmenter, ClickModelSegmenter):
        sys.exit(f"Expected a click model, but {given.model} is none.")
    print("| set | objects | NoC@80 / 85 / 90 | with looks | IoU@1 | with looks |\n|---|---|---|---|---|---|")
    changes = []
    for name in given.sets:
        objects = some(name, given.half, given.objects)
        order = np.random.default_rng(0).permutation(len(objects))
        pairs = np.array(list(asked_twice(segmenter, [objects[index] for index in order])))
        without, with_looks = pairs.mean(axis=0)
        cells = [" / ".join(f"{clicks:.2f}" for clicks in one[:-1]) for one in (without, with_looks)]
        print(
            f"| {name} | {len(pairs)} | {cells[0]} | {cells[1]} | {without[-1]:.3f} | {with_looks[-1]:.3f} |"
        )
        if name != "GrabCut":
            changes.append(pairs[:, 1] - pairs[:, 0])
    if changes:
        said = (interval(column) for column in np.concatenate(changes).T)
        print(f"Change of NoC@80, 85, 90 and IoU@1 over all but GrabCut: {', '.join(said)}")


def asked_twice(
    segmenter: ClickModelSegmenter, objects: Sequence[Sample]
) -> Iterator[tuple[list[float], list[float]]]:
    """Clicks to each threshold and the first IoU, without and with what the objects before looked like."""
    appearance = Appearance()
    for sample in objects:
        known = replace(segmenter.prediction, appearance=appearance.prior)
        knowing = ClickModelSegmenter(segmenter.model, known, segmenter.device)
        yield measured(segmenter, sample), measured(knowing, sample)
        appearance.accept(sample.image, sample.mask)


def measured(segmenter: ClickModelSegmenter, sample: Sample) -> list[float]:
    """Clicks to each threshold, and the IoU after the first."""
    settings = EvaluationSettings(max_clicks=CLICKS, target_iou=max(THRESHOLDS))
    ious = simulate_session(segmenter, sample, settings).ious
    return [*(number_of_clicks(ious, threshold, CLICKS + 1) for threshold in THRESHOLDS), float(ious[0])]


def interval(changes: np.ndarray) -> str:
    """The mean of some changes with its 95 % interval."""
    low, high = bootstrap_intervals({"change": changes}, np.random.default_rng(0))["change"]
    return f"{changes.mean():+.3g} [{low:+.2g}, {high:+.2g}]"


if __name__ == "__main__":
    main()
