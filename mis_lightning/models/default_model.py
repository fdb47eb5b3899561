"""The click model that comes with the package, for those who have trained none."""

from __future__ import annotations

from mis_lightning.models.click_network import ClickNetwork


def default_model() -> ClickNetwork | None:
    """The packaged model, in evaluation mode on the CPU; ``None`` while none is packaged."""
    return None
