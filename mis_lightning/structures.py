"""The few structures every part shares, and the conventions of the whole package, said once.

Conventions:

* sizes are ``(height, width)``; positions are ``(row, col)`` in pixels, pixel centres at integers;
* an image is RGB, uint8, ``(H, W, 3)`` as an array; a tensor of images is float32, ``(B, 3, H, W)``, in
  ``[0, 1]``; normalisation happens inside the networks;
* a mask is bool ``(H, W)``; pixels that do not count are a separate bool array ``ignore``, never a special
  value inside the mask;
* a probability map is float32 in ``[0, 1]``; logits are float32 without bound;
* the *points* tensor is float ``(B, 2K, 3)``: rows ``0..K-1`` are positive clicks, rows ``K..2K-1``
  negative ones; columns are ``(row, col, order)``; an unused row is ``(-1, -1, -1)``
  (docs/protocol.md#layout-of-points);
* a click model is any callable ``model(image, prompt) -> logits`` with ``image`` ``(B, 3, H, W)`` in
  ``[0, 1]``, a :class:`Prompt`, and ``logits`` ``(B, 1, H, W)``;
* a random function takes a generator: ``numpy.random.Generator`` on arrays, ``torch.Generator`` on tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # importing torch takes a second, and most of this file does without
    from torch import Tensor

Connectivity = Literal["grid", "full"]
"""Which regions may merge: only neighbours on the patch grid, or any two."""


class Click(NamedTuple):
    """One click of a user: position in pixels of the image, and whether it means "this belongs"."""

    row: float
    col: float
    positive: bool


class Prompt(NamedTuple):
    """What a click model is asked about a batch of ``B`` images, beside the images themselves.

    Attributes:
        points: The clicks, float32, ``(B, 2K, 3)``, in pixels of the network's input; float64 when a
            segmenter asks a model whose attribute ``exact_points`` is true.
        previous_mask: Probabilities of the last answer, float32, ``(B, 1, H, W)``; zeros before the first.
        granularity: How large a part of the view is wanted, float32, ``(B,)``; ``nan`` where an image asks
            for none; ``None`` where no image does.
    """

    points: Tensor
    previous_mask: Tensor
    granularity: Tensor | None = None


@dataclass(frozen=True)
class Sample:
    """One object to segment: what a benchmark hands to the simulated user.

    Attributes:
        image: RGB, uint8, ``(H, W, 3)``.
        mask: The object, bool, ``(H, W)``.
        ignore: Pixels that count neither for nor against, bool, ``(H, W)``; ``None`` where every pixel
            counts.
        name: Unique in its benchmark, e.g. ``"2008_000002#3"``.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    ignore: NDArray[np.bool_] | None
    name: str
