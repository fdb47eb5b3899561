"""What it gives to tell a model the size of the object at the first click, on the eight sets.

    python experiments/granularity/measure.py --model mis-small --half report --limit 40

Columns: IoU@1 as the model is used without a size; with the true size, and with the best of ten sizes, which
both look at the truth (oracles); and the share of neighbouring pairs of the ten sizes for which the mask does
not shrink where the size grows. Lines of JSON go to --folder, one an object; what is there is not asked
again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "refinement"))
from sets import DOMAINS, SETS, some

from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.json_lines import append_line, read_lines
from mis_lightning.metrics.functional import iou
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.granularity import granularity_of_area
from mis_lightning.segmenters.registry import label_of, open_segmenter
from mis_lightning.structures import Sample

VALUES = [round(0.1 * k, 1) for k in range(1, 11)]
"""From a four-thousandth of the image to all of it, in equal ratios."""


def main() -> None:
    """Ask what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mis-small", help="that takes a granularity")
    parser.add_argument("--half", default="report", choices=["development", "report"])
    parser.add_argument("--limit", type=int, default=10**6, help="objects of a set at most, evenly spaced")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--folder", type=Path, default=Path("runs/granularity"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    segmenter = open_segmenter(options.model)
    done: dict[str, list[dict[str, Any]]] = {}
    print(HEAD, flush=True)
    for name in options.sets:
        chosen = some(name, options.half, options.limit)
        file = options.folder / f"{name}.{options.half}.{segmenter.identity}.jsonl"
        by_name = {line["name"]: line for line in map(json.loads, read_lines(file))}
        for sample in chosen:
            if sample.name not in by_name:
                by_name[sample.name] = asked(segmenter, sample)
                append_line(file, by_name[sample.name])
        done[name] = [by_name[sample.name] for sample in chosen]
        print(row(name, done[name]), flush=True)
    domains = [line for name in DOMAINS for line in done.get(name, [])]
    if domains:
        print(row("domains", domains))
    print(f"\n{label_of(options.model)} ({segmenter.identity}), {options.half} half")


def asked(segmenter: Segmenter[Any], sample: Sample) -> dict[str, Any]:
    """The first click on an object, answered without a size, with the true one, and with ten."""
    click = next_click(sample.mask, np.zeros_like(sample.mask), sample.ignore)
    begun = segmenter.begin(sample.image)
    true = granularity_of_area(int(sample.mask.sum()), sample.mask.shape)
    ious, areas = [], []
    for granularity in (None, true, *VALUES):
        (state,) = segmenter.click([segmenter.with_granularity(begun, granularity)], [[click]])
        mask = segmenter.mask(state)
        ious.append(round(iou(mask, sample.mask, sample.ignore), 5))
        areas.append(int(mask.sum()))
    return {"name": sample.name, "granularity": round(true, 4), "ious": ious, "areas": areas}


HEAD = "| set | objects | IoU@1 | true size | best of ten | does not shrink |\n|---|---|---|---|---|---|"


def row(name: str, lines: Sequence[dict[str, Any]]) -> str:
    """One row of the table: means over objects."""
    ious, areas = np.array([line["ious"] for line in lines]), np.array([line["areas"] for line in lines])
    grows = np.diff(areas[:, 2:], axis=1) >= 0
    numbers = ious[:, 0], ious[:, 1], ious[:, 2:].max(axis=1), grows.mean(axis=1)
    return f"| {name} | {len(lines)} | " + " | ".join(f"{one.mean():.3f}" for one in numbers) + " |"


if __name__ == "__main__":
    main()
