"""At which size published figures show crops to a network.

Rule: docs/protocol.md#zoom-in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import UNPUBLISHED

USUAL = (448, 448)


def at_published_size(segmenter: Segmenter[Any], benchmark: Benchmark) -> Segmenter[Any]:
    """A network of 448 × 448 pixels asked by the published protocol, at the size that a benchmark asks for.

    Args:
        segmenter: Any.
        benchmark: What it is to be evaluated on.

    Returns:
        The segmenter itself, unless the rule is about it and it is asked at another size.
    """
    size = benchmark.published_size
    if size is None or not isinstance(segmenter, ClickModelSegmenter):
        return segmenter
    asked = segmenter.prediction
    published = all(getattr(asked, name) is None for name in UNPUBLISHED)
    own = tuple(getattr(segmenter.model, "input_size", USUAL))
    if not published or own != USUAL or asked.size == size:
        return segmenter
    return ClickModelSegmenter(segmenter.model, replace(asked, size=size), segmenter.device)
