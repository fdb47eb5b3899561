"""A name for a click model that tells whether two are the same."""

from __future__ import annotations

import hashlib
import json
from weakref import WeakKeyDictionary

import torch
from torch import nn

_KNOWN: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def model_identity(model: object) -> str:
    """Name a model by its kind and a digest of its config and weights.

    The digest is taken once for each object: a model that is trained further keeps its name.

    Args:
        model: A module; any other click model goes by its attribute ``identity``, or by its name in Python.
    """
    given = getattr(model, "identity", None)
    if isinstance(given, str):
        return given
    if not isinstance(model, nn.Module):
        kind = model if hasattr(model, "__qualname__") else type(model)
        return f"{kind.__module__}.{kind.__qualname__}"
    if model not in _KNOWN:
        digest = hashlib.sha256(json.dumps(getattr(model, "config", None), default=str).encode())
        for name, value in sorted(model.state_dict().items()):
            digest.update(name.encode())
            digest.update(_bytes(value))
        _KNOWN[model] = f"{type(model).__name__}-{digest.hexdigest()[:16]}"
    return _KNOWN[model]


def _bytes(value: torch.Tensor) -> bytes:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
