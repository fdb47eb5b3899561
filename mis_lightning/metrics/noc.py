"""Number of clicks as a torchmetrics metric: collects IoU curves over objects and processes.

Rule: docs/protocol.md#number-of-clicks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mis_lightning.errors import InputError
from mis_lightning.metrics.summary import THRESHOLDS, summarise

_NO_CLICK = -1.0  # fills the rows of curves up to max_clicks; no IoU is negative


class NumberOfClicks(Metric):
    """NoC, failures and IoU@k over the objects of one benchmark.

    Objects are keyed by their index in the benchmark, so that an object two processes saw (a distributed
    sampler repeats some to make the shares equal) counts once, and any split over processes gives the same
    bits.

    Args:
        max_clicks: The budget, which is also the score of a failure.
        thresholds: IoU targets in ``(0, 1]``.
        **kwargs: Of :class:`torchmetrics.Metric`.

    Raises:
        InputError: A budget below 1 or a threshold outside ``(0, 1]``.

    >>> metric = NumberOfClicks()
    >>> metric.update(0, [0.5, 0.95])
    >>> metric.update(1, [0.91])
    >>> metric.compute()["noc@90"]
    1.5
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    indices: list[Tensor]
    curves: list[Tensor]

    def __init__(self, max_clicks: int = 20, thresholds: Sequence[float] = THRESHOLDS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if max_clicks < 1 or not all(0 < threshold <= 1 for threshold in thresholds):
            raise InputError(
                "Expected `max_clicks` >= 1 and `thresholds` in (0, 1], "
                f"but got {max_clicks} and {tuple(thresholds)}."
            )
        self.max_clicks = max_clicks
        self.thresholds = tuple(thresholds)
        self.add_state("indices", default=[], dist_reduce_fx="cat")  # int64, (1,) each
        self.add_state("curves", default=[], dist_reduce_fx="cat")  # float32, (1, max_clicks) each

    def update(self, index: int, ious: ArrayLike) -> None:
        """Take in one object.

        Args:
            index: Which object of the benchmark, from 0; the same index again is the same object.
            ious: IoU after each click, ``(k,)`` with ``1 <= k <= max_clicks``, in ``[0, 1]`` or ``nan``.

        Raises:
            InputError: An index below 0 or a curve of another shape or range.
        """
        curve = np.asarray(ious, dtype=np.float32)
        if index < 0 or curve.ndim != 1 or not 1 <= len(curve) <= self.max_clicks:
            raise InputError(
                f"Expected `index` >= 0 and `ious` of shape (k,), 1 <= k <= {self.max_clicks}, "
                f"but got {index} and {curve.shape}."
            )
        if ((curve < 0) | (curve > 1)).any():
            raise InputError(f"Expected `ious` in [0, 1], but got {curve.tolist()}.")
        row = np.full((1, self.max_clicks), _NO_CLICK, dtype=np.float32)
        row[0, : len(curve)] = curve
        self.indices.append(torch.tensor([index], dtype=torch.int64, device=self.device))
        self.curves.append(torch.from_numpy(row).to(self.device))

    def compute(self) -> dict[str, float]:
        """The summary of all objects of all processes, see :func:`summarise`."""
        return summarise(list(self.objects().values()), self.max_clicks, self.thresholds)

    def objects(self) -> dict[int, NDArray[np.float32]]:
        """IoU curves by object index, in the order of the indices."""
        if len(self.indices) == 0:
            return {}
        indices = dim_zero_cat(self.indices).cpu().numpy()
        curves = dim_zero_cat(self.curves).cpu().numpy()
        unique, first = np.unique(indices, return_index=True)
        return {int(i): curves[at][curves[at] != _NO_CLICK] for i, at in zip(unique, first, strict=True)}

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the objects of all processes; a process without any takes part with empty rows."""
        if not self._is_synced and len(self.indices) == 0:
            # torchmetrics would send an empty float vector, which fits neither the int64 nor the 2-D rows.
            self.indices.append(torch.zeros(0, dtype=torch.int64, device=self.device))
            self.curves.append(torch.zeros(0, self.max_clicks, device=self.device))
        super().sync(*args, **kwargs)
