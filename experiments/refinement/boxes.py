"""Mean IoU of boxes drawn around the true masks: as `published` answers them, and by segment_box.

python experiments/refinement/boxes.py --half report
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from sets import SETS, some

from mis_lightning.clicks.encoding import pack_points
from mis_lightning.metrics.functional import iou
from mis_lightning.segmenters.asked_model import evaluation_mode
from mis_lightning.segmenters.base import Box
from mis_lightning.segmenters.box import Ask, segment_box
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.segmenters.zoom_in import ROI, ZoomIn, crop, expand, to_crop
from mis_lightning.structures import Click, Prompt


def asker(segmenter: ClickModelSegmenter, image: torch.Tensor, roi: ROI) -> Ask:
    """The model in one ROI, mirrored pass included."""
    size = tuple(segmenter.prediction.size)
    view = crop(image, roi, size)

    def ask(previous: np.ndarray, clicks: Sequence[Click]) -> np.ndarray:
        given = torch.nn.functional.interpolate(
            torch.from_numpy(previous)[None, None], size=size, mode="bilinear", align_corners=True
        )[0]
        one = torch.cat([view, given])
        moved = [
            to_crop(c._replace(row=c.row + roi.row_min, col=c.col + roi.col_min), roi, size) for c in clicks
        ]
        mirrored = [c._replace(col=size[1] - c.col - 1) for c in moved]
        both = torch.stack([one, one.flip(-1)])
        with torch.inference_mode(), evaluation_mode(segmenter.model):
            logits = segmenter.model(both[:, :3], Prompt(pack_points([moved, mirrored]), both[:, 3:]))[:, 0]
        return (0.5 * (logits[0] + logits[1].flip(-1))).numpy()

    return ask


def main() -> None:
    """Print one line a set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", default="report", choices=["development", "report", "both"])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument(
        "--limit", type=int, default=10**6, help="objects of a half of a set at most, evenly spaced"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    segmenter = open_segmenter("mis-small:published")
    zoom = ZoomIn(min_size=32)
    for name in options.sets:
        halves = ("development", "report") if options.half == "both" else (options.half,)
        scores = []
        for sample in (sample for half in halves for sample in some(name, half, options.limit)):
            rows, cols = (np.flatnonzero(sample.mask.any(axis)) for axis in (1, 0))
            box = Box(int(rows[0]), int(cols[0]), int(rows[-1]), int(cols[-1]))
            start = segmenter.begin(sample.image)
            before = segmenter.mask(segmenter.box(start, box))
            inside = box.mask(sample.mask.shape)
            roi = expand(ROI(box.top, box.bottom, box.left, box.right), inside.shape, zoom)
            part = np.s_[roi.row_min : roi.row_max + 1, roi.col_min : roi.col_max + 1]
            after = np.zeros_like(inside)
            after[part] = segment_box(
                asker(segmenter, start.image, roi), sample.image[part], inside[part], Refinement()
            )
            scores.append([iou(mask, sample.mask, sample.ignore) for mask in (before, after, inside)])
        means = np.mean(scores, axis=0)
        print(
            f"{name:20s} n {len(scores):3d}  before {means[0]:.3f}  after {means[1]:.3f}  box {means[2]:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
