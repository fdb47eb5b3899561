"""The click model that comes with the package, for those who have trained none."""

from __future__ import annotations

from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.models.shipped import DEFAULT, shipped_models


def default_model() -> ClickNetwork | None:
    """The packaged model, in evaluation mode on the CPU; ``None`` while none is packaged."""
    return load_pretrained(DEFAULT) if DEFAULT in shipped_models() else None
