"""What several sources found in one image."""

from __future__ import annotations

from dataclasses import dataclass

from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.mask_set import MaskSet


@dataclass(frozen=True, eq=False)
class RegionBundle:
    """The regions of each source of a :class:`~mis_lightning.regions.mixture.Mixture`, in their order."""

    parts: tuple[MergeTree | MaskSet, ...]
