"""Ways of doing the same thing -> their times and peak memory, side by side."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import torch

from mis_lightning.bench.figure import Figure, system, table, to_json
from mis_lightning.errors import InputError


@dataclass(frozen=True)
class Cost:
    """What one way of doing something costs.

    Attributes:
        seconds: Median wall time of a call.
        cpu_seconds: Median processor time of a call, over all threads; steadier on a busy machine.
        peak_mebibytes: Memory that a call needs at its peak beyond what was held before, its result included;
            ``None`` where the system does not tell.
    """

    seconds: float
    cpu_seconds: float
    peak_mebibytes: float | None


def compare(ways: Mapping[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, Cost]:
    """Time the ways in turn, ``repeats`` times, so that a busy moment of the machine hits all of them.

    Args:
        ways: What to call, by name. Each is called twice before: once to warm up, once for its peak memory.
        repeats: Timed calls of each.
        device: Where they compute.

    Returns:
        The cost of each way, by name.
    """
    peaks = {}
    for name, way in ways.items():
        way()
        peaks[name] = _peak(way, device)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start, cpu_start = perf_counter(), process_time()
            way()
            _wait(device)
            seconds[name].append(perf_counter() - start)
            cpu_seconds[name].append(process_time() - cpu_start)
    return {name: Cost(median(seconds[name]), median(cpu_seconds[name]), peaks[name]) for name in ways}


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """Return the options that all comparisons share."""
    options = argparse.ArgumentParser(prog=command, description=description)
    options.add_argument("--batch", type=int, default=32, help="samples (default: %(default)s)")
    options.add_argument("--size", type=int, default=448, help="side in pixels (default: %(default)s)")
    options.add_argument("--repeats", type=int, default=5, help="timed calls of each (default: %(default)s)")
    options.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    options.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    return options


def set_up(options: argparse.Namespace) -> torch.device:
    """Check the options, set the number of threads and return the device.

    Raises:
        InputError: A count below 1, or a device that is not there.
    """
    for name in ("batch", "size", "repeats", "threads"):
        if getattr(options, name) < 1:
            raise InputError(f"Expected --{name} of at least 1, but got {getattr(options, name)}.")
    if options.device not in ("cpu", "cuda") or (options.device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"Expected --device cpu, or cuda where torch finds one, but got {options.device!r}.")
    torch.set_num_threads(options.threads)
    return torch.device(options.device)


def report(costs: Mapping[str, Cost], options: argparse.Namespace, figures: Sequence[Figure]) -> None:
    """Print the costs as a table, the last row being the measure of the others, and what became of the goals.

    Args:
        costs: As :func:`compare` returns them.
        options: What was asked for; ``--json`` also gets the costs.
        figures: Those that have goals.
    """
    *_, base = costs.values()
    print(f"batch {options.batch}, {options.size} px, {options.device}, {options.threads} threads")
    print(f"{'':<24}{'median ms':>12}{'of plain':>10}{'cpu ms':>12}{'of plain':>10}{'peak MiB':>12}")
    for name, cost in costs.items():
        memory = "?" if cost.peak_mebibytes is None else f"{cost.peak_mebibytes:.0f}"
        wall = f"{cost.seconds * 1e3:>12.1f}{cost.seconds / base.seconds:>10.3f}"
        cpu = f"{cost.cpu_seconds * 1e3:>12.1f}{cost.cpu_seconds / base.cpu_seconds:>10.3f}"
        print(f"{name:<24}{wall}{cpu}{memory:>12}")
    print(table(figures))
    if options.json is not None:
        settings = {name: value for name, value in vars(options).items() if name != "json"}
        content = {
            "settings": settings,
            "system": system(),
            "costs": {name: asdict(cost) for name, cost in costs.items()},
            "figures": to_json(figures),
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak(way: Callable[[], object], device: torch.device) -> float | None:
    """Memory of one call in MiB: by the allocator of CUDA, or by the kernel's account of the process."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        way()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    if sys.platform != "linux":
        return None
    ctypes.CDLL(None).malloc_trim(0)  # freed memory that the process still holds would hide what is needed
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets the peak
    except OSError:
        return None
    before_kib = status_kibibytes("VmRSS")
    way()
    return (status_kibibytes("VmHWM") - before_kib) / 2**10


def status_kibibytes(field: str, process: int | str = "self") -> int:
    """Return a line of Linux's account of a process, such as ``VmHWM``, its peak memory, in KiB."""
    lines: Sequence[str] = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))
