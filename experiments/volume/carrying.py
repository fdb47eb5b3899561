"""How well objects of `em_volume` are carried from their largest slice to their ends, from the true mask on.

    python experiments/volume/carrying.py --half even

Four ways: the mask as it is, or moved as the picture moves; and each of them answered by the model. Then what
the score says on the slices that the object is on, and on the first slice beyond its ends.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mis_lightning.annotation.propagation import Carrying, move_mask, score
from mis_lightning.clicks.deepest_pixel import deepest_pixel
from mis_lightning.formats.nifti import NiftiSlices
from mis_lightning.instance_maps import instance_ids
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click

FOLDER = Path(os.environ.get("MIS_DATA_DIR", "."), "domains", "em_volume")
WAYS = {
    "unmoved": (False, False),
    "moved": (True, False),
    "unmoved, answered": (False, True),
    "moved, answered": (True, True),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", default="even", choices=["even", "odd"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    slices = NiftiSlices(FOLDER / "raw.nii.gz")
    labels = slices.read_labels(FOLDER / "mitochondria.nii.gz")
    images = [slices[k] for k in range(len(slices))]
    truth = np.stack([labels[k] for k in range(len(slices))])
    ids = [id for id in instance_ids(truth) if id % 2 == ("even", "odd").index(options.half)]
    segmenter = open_segmenter("mis-small")
    begun = [segmenter.begin(image) for image in images]
    for name, (moves, answers) in WAYS.items():
        found: dict[int, list[float]] = {}
        scores: dict[bool, list[float]] = {True: [], False: []}
        for id in ids:
            for distance, dice, fits, there in carried(images, begun, truth == id, segmenter, moves, answers):
                if there:
                    found.setdefault(min(distance, 7), []).append(dice)
                scores[there].append(fits)
        by_distance = "  ".join(f"{d}: {np.mean(values):.3f}" for d, values in sorted(found.items()))
        every = np.concatenate(list(found.values()))
        print(f"{name:18s} {by_distance}  all: {every.mean():.3f} ({len(every)} slices)", flush=True)
    inside, beyond = np.array(scores[True]), np.array(scores[False])
    auc = (inside[:, None] > beyond).mean() + (inside[:, None] == beyond).mean() / 2
    stop = Carrying.stop
    print(
        f"score: AUC {auc:.3f}; at {stop}, {(inside >= stop).mean():.0%} of {len(inside)} slices are kept, "
        f"and {(beyond < stop).mean():.0%} of {len(beyond)} ends are seen"
    )


def carried(
    images: list[NDArray[np.uint8]],
    begun: list[Any],
    truth: NDArray[np.bool_],
    segmenter: Segmenter[Any],
    moves: bool,
    answers: bool,
) -> list[tuple[int, float, float, bool]]:
    """One object, both ways: slices from the start, Dice, score, and whether the object is there."""
    start, lines = int(truth.sum(axis=(1, 2)).argmax()), []
    for way in (1, -1):
        mask, k = truth[start], start + way
        while 0 <= k < len(images) and truth[k - way].any() and mask.any():
            before = images[k - way]
            expected = move_mask(before, images[k], mask) if moves else mask
            answer = expected
            if answers and expected.any():
                _, row, col = deepest_pixel(expected, np.empty((0, 2), np.int64))
                state = segmenter.carry(begun[k], expected, [Click(row, col, True)])
                answer = segmenter.mask(state)
            sizes = np.count_nonzero(answer) + np.count_nonzero(truth[k])
            dice = 2 * np.count_nonzero(answer & truth[k]) / sizes if sizes else 0.0
            fits = score(before, mask, images[k], expected, answer)
            lines.append((abs(k - start), dice, fits, bool(truth[k].any())))
            mask, k = answer, k + way
    return lines


if __name__ == "__main__":
    main()
