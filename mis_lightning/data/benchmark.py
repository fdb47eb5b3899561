"""The interface of benchmarks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from mis_lightning.structures import Sample


class Benchmark(ABC):
    """A numbered set of objects to segment.

    To add one, write a subclass and name it by ``class_path`` under ``data.test_benchmarks``.

    Attributes:
        name: The name used in tables.
        comparable: Whether its figures may stand next to published ones: the set is complete, and nothing in
            it is our own choice.
        published_size: Input size of published figures of networks of 448 × 448 pixels, if it is another.
    """

    name: ClassVar[str]
    comparable: bool = False
    published_size: ClassVar[tuple[int, int] | None] = None

    @abstractmethod
    def __len__(self) -> int:
        """Count the objects."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Read one object."""

    def provenance(self) -> dict[str, Any]:
        """What a report says of where the objects come from, as JSON values."""
        folder = getattr(self, "folder", None)
        return {} if folder is None else {"folder": str(folder)}
