"""How long a click model takes, apart from everything around it."""

from __future__ import annotations

import threading
import time
from typing import Any

from torch import nn


class ModelClock:
    """Measures the calls of a module that the present thread makes.

    Args:
        model: What answers the clicks; anything but a module counts as taking no time.
    """

    def __init__(self, model: object) -> None:
        self._thread = threading.local()
        if isinstance(model, nn.Module):
            model.register_forward_pre_hook(self._begin)
            model.register_forward_hook(self._end)

    def take(self) -> float:
        """Seconds in the model since the last call of this method in this thread."""
        seconds: float = getattr(self._thread, "seconds", 0.0)
        self._thread.seconds = 0.0
        return seconds

    def _begin(self, *_: Any) -> None:
        self._thread.began = time.perf_counter()

    def _end(self, *_: Any) -> None:
        self._thread.seconds = (
            getattr(self._thread, "seconds", 0.0) + time.perf_counter() - self._thread.began
        )
