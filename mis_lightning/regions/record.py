"""Regions of one image <-> bytes: what a store keeps.

The bytes are safetensors: numbers only, so reading them never runs code. A merge tree has ``children`` int32
``(n - 1, 2)``, ``cost`` float32 ``(n - 1,)`` and ``grid`` int64 ``(2,)``; a set of masks has ``bits`` uint8
``(N, ceil(h * w / 8))``, ``scores`` float32 ``(N,)`` and ``size`` int64 ``(2,)``. What several sources found
has the arrays of each, their names behind the number of the source: ``0.children``, ``1.bits``.
"""

from __future__ import annotations

import json

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.region_bundle import RegionBundle
from mis_lightning.regions.source import Regions


def to_bytes(regions: Regions, key: str | None = None) -> bytes:
    """Write regions down, with the key of their image where the name of their file cannot tell it."""
    metadata = None if key is None else {"key": key}
    return save({name: np.ascontiguousarray(array) for name, array in _arrays(regions).items()}, metadata)


def _arrays(regions: Regions) -> dict[str, np.ndarray]:
    if isinstance(regions, RegionBundle):
        parts = enumerate(regions.parts)
        return {f"{number}.{name}": a for number, part in parts for name, a in _arrays(part).items()}
    if isinstance(regions, MergeTree):
        grid = np.array(regions.grid, np.int64)
        return {"children": regions.children, "cost": regions.cost, "grid": grid}
    return {"bits": regions.bits, "scores": regions.scores, "size": np.array(regions.size, np.int64)}


def from_bytes(data: bytes) -> Regions:
    """Read regions, and check that they are sound (below 0.1 ms for a tree of 3000 patches).

    Raises:
        ValueError: The bytes are no regions, or damaged ones.
    """
    try:
        arrays = load(data)
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        number, _, own = name.rpartition(".")
        parts.setdefault(number, {})[own] = array
    if parts and parts.keys() == {str(number) for number in range(len(parts))}:
        return RegionBundle(tuple(_one(parts[str(number)]) for number in range(len(parts))))
    return _one(arrays)


def _one(arrays: dict[str, np.ndarray]) -> MergeTree | MaskSet:
    """The regions of one source."""
    if arrays.keys() == {"children", "cost", "grid"}:
        return MergeTree(arrays["children"], arrays["cost"], _pair(arrays["grid"])).validate()
    if arrays.keys() == {"bits", "scores", "size"}:
        return MaskSet(arrays["bits"], arrays["scores"], _pair(arrays["size"])).validate()
    raise ValueError(f"neither a merge tree nor a set of masks: {', '.join(sorted(arrays)) or 'empty'}")


def key_of(data: bytes) -> str | None:
    """The key that :func:`to_bytes` was given; ``None`` without one."""
    try:
        length = int.from_bytes(data[:8], "little")
        return json.loads(data[8 : 8 + length]).get("__metadata__", {}).get("key")
    except (ValueError, AttributeError):
        return None


def _pair(array: np.ndarray) -> tuple[int, int]:
    if array.shape != (2,) or array.dtype != np.int64:
        raise ValueError(f"a size is int64 (2,), not {array.dtype} {array.shape}")
    return int(array[0]), int(array[1])
