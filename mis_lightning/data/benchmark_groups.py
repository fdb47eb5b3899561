"""A benchmark in groups of objects, which loaders hand on and processes share."""

from __future__ import annotations

import time

from torch.utils.data import Dataset

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.structures import Sample


class SampleBatch:
    """A few numbered benchmark samples. Not a collection, so that Lightning hands it through as it is.

    Attributes:
        items: Number in the benchmark, and sample.
        seconds: Wall time of reading each of them.
    """

    def __init__(self, items: list[tuple[int, Sample]], seconds: list[float] | None = None) -> None:
        self.items = items
        self.seconds = seconds if seconds is not None else [0.0] * len(items)


class BenchmarkGroups(Dataset[SampleBatch]):
    """A benchmark cut into groups of consecutive objects.

    Processes share groups, not objects: what is computed together rounds alike however many there are.
    """

    size = 16
    """Objects of a group."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.benchmark = benchmark

    def __len__(self) -> int:
        return -(-len(self.benchmark) // self.size)

    def __getitem__(self, group: int) -> SampleBatch:
        items, seconds = [], []
        for index in range(group * self.size, min((group + 1) * self.size, len(self.benchmark))):
            began = time.perf_counter()
            items.append((index, self.benchmark[index]))
            seconds.append(time.perf_counter() - began)
        return SampleBatch(items, seconds)
