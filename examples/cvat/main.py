"""A click model as an interactor of CVAT: a nuclio function beside ``function.yaml``.

CVAT sends the whole image and all clicks at every click and keeps nothing; the clicks are replayed, positive
ones first, since their order is not sent. The answer is a mask, and the outline of its largest piece as a
polygon.
"""

from __future__ import annotations

import base64
import io
import json
import os
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mis_lightning import ClickPredictor, InputError


def init_context(context: Any) -> None:
    """Load the model once; the variable MODEL names it (a folder, a .onnx, or owner/name on the hub)."""
    context.user_data.model = ClickPredictor.from_pretrained(os.environ["MODEL"])


def handler(context: Any, event: Any) -> Any:
    """Answer ``{"image": base64, "pos_points": [[x, y]], "neg_points": [[x, y]], "threshold": 0.5}``."""
    data = event.body if isinstance(event.body, dict) else json.loads(event.body)
    try:
        image = Image.open(io.BytesIO(base64.b64decode(data["image"])))
        mask = segment(
            context.user_data.model,
            ImageOps.exif_transpose(image),
            data["pos_points"],
            data.get("neg_points", []),
            float(data.get("threshold", 0.5)),
        )
    except (InputError, OSError, KeyError, TypeError, ValueError) as error:
        return _respond(context, {"message": f"{type(error).__name__}: {error}"}, 400)
    return _respond(context, {"mask": mask.astype(int).tolist(), "points": outline(mask)}, 200)


def segment(
    predictor: ClickPredictor,
    image: Image.Image,
    positive: list[list[float]],
    negative: list[list[float]],
    threshold: float,
) -> NDArray[np.bool_]:
    """Click on every point ``[x, y]``; bool ``(H, W)`` where the probability is above the threshold."""
    predictor.set_image(image)
    for points, belongs in ((positive, True), (negative, False)):
        for x, y in points:
            predictor.click(row=y, col=x, positive=belongs)
    return predictor.probability > threshold


def outline(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Corners ``[x, y]`` of the largest piece of the mask; empty where there is no area to go round."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(found, key=cv2.contourArea, default=None)
    return [] if largest is None or len(largest) < 3 else largest[:, 0].tolist()


def _respond(context: Any, content: dict[str, Any], status: int) -> Any:
    return context.Response(
        body=json.dumps(content), headers={}, content_type="application/json", status_code=status
    )
