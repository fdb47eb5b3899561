"""What several training or evaluating processes have in common."""

from __future__ import annotations

from typing import TypeVar

import torch.distributed

T = TypeVar("T")


def of_all_processes(value: T) -> list[T]:
    """``value`` of every process, in the order of their ranks; of this one alone without a process group."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    parts: list[T] = [value] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, value)
    return parts
