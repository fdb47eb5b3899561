"""Free Mask: masks from the similarity of dense features with themselves (FreeSOLO, 2022).

Rule: docs/protocol.md#free-mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from mis_lightning.errors import InputError
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.features.resnet import ResNetFeatures
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.matrix_nms import matrix_nms
from mis_lightning.regions.source import Features, MaskSource

SCALES = (1.0, 0.5, 0.25)  # of the queries
MAX_QUERIES = 20_000  # beyond it the similarities would not fit in memory


class FreeMask(MaskSource):
    """Up to ``kept`` masks an image, best first, with their scores; there may be none.

    Args:
        extractor: Makes the dense features; :class:`ResNetFeatures` (DenseCL ResNet-101) if none is given.
        kept: Masks kept after Matrix NMS.
        least_score: Least score, decayed by Matrix NMS, of a mask.
        top: A mask whose box has its centre in this upper share of the image is dropped.
        widest: So is one whose box is at least this share of the image wide.

    Raises:
        InputError: A number is out of range.
    """

    extractor: PatchExtractor

    def __init__(
        self,
        extractor: PatchExtractor | None = None,
        kept: int = 20,
        least_score: float = 0.7,
        top: float = 0.2,
        widest: float = 0.95,
    ) -> None:
        if kept < 1 or not all(0 <= value <= 1 for value in (least_score, top)) or widest <= 0:
            raise InputError(
                "Expected `kept` >= 1, `least_score` and `top` in [0, 1] and `widest` > 0, "
                f"but got {kept}, {least_score}, {top} and {widest}."
            )
        self.extractor = extractor if extractor is not None else ResNetFeatures()
        self.kept = kept
        self.least_score = least_score
        self.top = top
        self.widest = widest

    def settings(self) -> dict[str, Any]:
        """Return the extractor's settings and those of the masks."""
        own = {name: getattr(self, name) for name in ("kept", "least_score", "top", "widest")}
        return {"source": "free_mask", **self.extractor.settings(), **own}

    def find(self, image: NDArray[np.uint8], key: str, features: Features | None) -> MaskSet:
        """Find masks, filter them, and bring them to the size of the image."""
        if features is None:
            raise TypeError("FreeMask needs the features of its extractor.")
        soft, scores = free_masks(*features, self.kept)
        size = (image.shape[0], image.shape[1])
        if len(soft) == 0:
            return MaskSet.pack(np.zeros((0, *size), np.bool_))
        large = interpolate(torch.from_numpy(soft)[None], size, mode="bilinear", align_corners=False)[0]
        masks = (large >= 0.5).numpy()
        good = [
            number
            for number, mask in enumerate(masks)
            if scores[number] >= self.least_score and passes_filters(mask, self.top, self.widest)
        ]
        return MaskSet.pack(masks[good], scores[good])


def free_masks(
    features: NDArray[np.float32], grid: tuple[int, int], kept: int = 20
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Soft masks of the best queries.

    Rule: docs/protocol.md#free-mask, steps 2 to 5.

    Args:
        features: float32, ``(n, c)``, row-major over the grid.
        grid: ``(h, w)``.
        kept: At most so many.

    Returns:
        Soft masks, float32, ``(N, h, w)`` in ``[0, 1]``, and their decayed scores, float64, ``(N,)``,
        descending.

    Raises:
        InputError: The grid is too fine for the similarities of all its places.
    """
    if len(features) > MAX_QUERIES:
        raise InputError(
            f"Free Mask compares all places with all others; a grid of {grid[0]}x{grid[1]} has more than "
            f"{MAX_QUERIES}. Choose an extractor with a larger stride."
        )
    dense = torch.from_numpy(np.ascontiguousarray(features.T))[None].reshape(1, -1, *grid)
    keys = normalize(dense[0].flatten(1), dim=0)
    soft = torch.cat([_answers(dense, keys, scale) for scale in SCALES])
    binary = soft >= 0.5
    area = binary.sum(dim=1)
    many = area > 1
    soft, binary, area = soft[many], binary[many], area[many]
    maskness = (soft * binary).sum(dim=1) / area
    order = torch.argsort(maskness, descending=True, stable=True)
    soft, binary = soft[order], binary[order]
    scores = matrix_nms(binary.numpy(), maskness[order].double().numpy())
    best = np.argsort(-scores, kind="stable")[:kept]
    return soft[torch.from_numpy(best)].reshape(-1, *grid).numpy(), scores[best]


def _answers(dense: Tensor, keys: Tensor, scale: float) -> Tensor:
    """Cosine of the queries of one scale with all keys, each query to ``[0, 1]``; ``(queries, n)``."""
    if scale < 1 and min(dense.shape[2:]) * scale < 1:
        return torch.empty(0, keys.shape[1])
    queries = (
        dense if scale == 1 else interpolate(dense, scale_factor=scale, mode="bilinear", align_corners=False)
    )
    similar = normalize(queries[0].flatten(1), dim=0).T @ keys
    low, high = similar.amin(dim=1, keepdim=True), similar.amax(dim=1, keepdim=True)
    return (similar - low) / (high - low).clamp(min=1e-12)


def passes_filters(mask: NDArray[np.bool_], top: float = 0.2, widest: float = 0.95) -> bool:
    """Whether the box of a mask is low and narrow enough.

    Rule: docs/protocol.md#free-mask, step 7.

    The centre is the mean of the occupied rows, the width the number of occupied columns.

    Args:
        mask: bool, ``(H, W)``.
        top: The centre must lie below this share of the height.
        widest: The width must be less than this share of that of the image.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return False
    return bool(rows.mean() > top * mask.shape[0] and len(columns) < widest * mask.shape[1])
