"""Between two sets of weights of one network.

Wortsman et al., "Robust fine-tuning of zero-shot models" (WiSE-FT), CVPR 2022: on the line from the weights
before to those after fine-tuning much of what is gained on the new images comes before what was known of
other images is lost.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mis_lightning.errors import InputError


def between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """The weights a share of the way from ``start`` to ``end``; what is no float is that of ``end``.

    Args:
        start: Tensors by name, float32.
        end: Of the same names and shapes.
        share: In ``[0, 1]``.

    Raises:
        InputError: The share is out of range, or the names differ.
    """
    if not 0 <= share <= 1:
        raise InputError(f"Expected a share of the way in [0, 1], but got {share}.")
    if start.keys() != end.keys():
        raise InputError("Expected the weights of two networks of one shape, but their names differ.")
    return {
        name: start[name].lerp(value, share) if value.is_floating_point() else value.clone()
        for name, value in end.items()
    }
