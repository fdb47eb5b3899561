"""The interface of benchmarks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from mis_lightning.structures import Sample


class Benchmark(ABC):
    """A numbered set of objects to segment.

    To add one, write a subclass and name it by ``class_path`` under ``data.test_benchmarks``.

    Attributes:
        name: The name used in tables.
        comparable: Whether its figures may stand next to published ones: the set is complete, and nothing in
            it is our own choice.
    """

    name: ClassVar[str]
    comparable: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """Count the objects."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Read one object."""
