"""In which precision a processor computes fastest."""

from __future__ import annotations

from functools import cache

import torch


@cache
def has_tiles() -> bool:
    """Whether the processor multiplies bfloat16 in tiles (AMX): elsewhere that is slower than float32."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
