"""A click model as an ML backend of Label Studio: smart keypoints in, a brush mask out.

Start it with ``MODEL=/path/to/model label-studio-ml start examples/label_studio`` (package label-studio-ml).
The labelling configuration needs BrushLabels, and KeyPointLabels with ``smart="true"``; a point placed with
Alt is negative.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any
from uuid import uuid4

import numpy as np
from label_studio_ml.model import LabelStudioMLBase
from numpy.typing import NDArray

from mis_lightning import ClickPredictor

RUN_BITS = (3, 4, 8, 16)
"""Widths of the run lengths that the format may choose from."""


class ClickBackend(LabelStudioMLBase):
    """One predictor for all tasks: a request carries every point, so nothing is kept between requests."""

    predictor: ClickPredictor | None = None

    def predict(
        self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """Answer the smart keypoints in the context on the first task's image."""
        points = [one for one in (context or {}).get("result", []) if one.get("type") == "keypointlabels"]
        if not points:
            return []
        if ClickBackend.predictor is None:
            ClickBackend.predictor = ClickPredictor.from_pretrained(os.environ["MODEL"])
        from_name, to_name, value = self.get_first_tag_occurence("BrushLabels", "Image")
        path = self.get_local_path(tasks[0]["data"][value], task_id=tasks[0].get("id"))
        ClickBackend.predictor.set_image(path)
        return [{"result": [answer(ClickBackend.predictor, points, from_name, to_name)]}]


def answer(
    predictor: ClickPredictor, points: list[dict[str, Any]], from_name: str, to_name: str
) -> dict[str, Any]:
    """Click on the points of Label Studio, in per cent of the image's size; return its brush result."""
    height, width = predictor.probability.shape
    for point in points:
        x, y = point["value"]["x"] / 100 * width, point["value"]["y"] / 100 * height
        positive = bool(int(point.get("is_positive", 1)))
        predictor.click(min(y, height - 1), min(x, width - 1), positive)
    mask = predictor.mask
    return {
        "id": uuid4().hex[:10],
        "from_name": from_name,
        "to_name": to_name,
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": float(predictor.probability[mask].mean()) if mask.any() else 0.0,
        "readonly": False,
        "value": {
            "format": "rle",
            "rle": brush_rle(mask),
            "brushlabels": points[-1]["value"]["keypointlabels"],
        },
    }


def brush_rle(mask: NDArray[np.bool_]) -> list[int]:
    """Encode a mask as Label Studio's brush, which is not COCO's: runs of the bytes of an RGBA image.

    All as bits: a head (32 for the number of bytes; 5 for the width of a value - 1; four times 4 for
    ``RUN_BITS`` - 1), then for each run a 1, two bits that choose a width, the length - 1 in that width, and
    the value in 8. The bits fill bytes from the left.
    """
    pixels = mask.ravel().astype(np.uint8)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(pixels)) + 1, [pixels.size]])
    bits = [f"{4 * pixels.size:032b}{8 - 1:05b}", *(f"{width - 1:04b}" for width in RUN_BITS)]
    for start, end in pairwise(edges):
        left, value = 4 * int(end - start), 255 * int(pixels[start])
        while left:
            length = min(left, 2 ** RUN_BITS[-1])
            choice = next(k for k, width in enumerate(RUN_BITS) if length <= 2**width)
            bits.append(f"1{choice:02b}{length - 1:0{RUN_BITS[choice]}b}{value:08b}")
            left -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))
