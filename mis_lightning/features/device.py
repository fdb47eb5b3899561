"""Where an extractor computes."""

from __future__ import annotations

import torch

from mis_lightning.errors import InputError


def extractor_device(name: str) -> torch.device:
    """Return the device of this name, checked.

    An extractor moves its network there when it is first called, not when it is made: configs are read before
    a launcher gives each process its GPU, and until then ``"cuda"`` is the first GPU for all of them.

    Args:
        name: As of torch, such as ``"cpu"``, ``"cuda"`` (the GPU of this process), ``"cuda:1"``.

    Raises:
        InputError: There is no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"Expected `device` as cpu or cuda, but got {name!r}.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"Expected a GPU for `device` {name!r}, but torch finds {torch.cuda.device_count()}; use cpu."
        )
    return device
