"""``mis bench memory``: the largest process of ``mis precompute`` and ``mis fit``, on n and on 4n images.

Both run as they are, each in a process of its own; the peaks are the kernel's account of that process and of
each of its workers (Linux only).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mis_lightning.bench.compare import status_kibibytes
from mis_lightning.bench.figure import Figure, report
from mis_lightning.data.training_images import find_training_images
from mis_lightning.errors import InputError

GOAL = 2048.0  # MiB a process
GROWTH_GOAL = 1.1  # of the peak, from n to 4n images
LOOK = 0.05  # seconds between two looks at the processes
TAIL = 2000  # characters of a failed command's output that are shown


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench memory --images DIR``.

    Raises:
        InputError: An option is out of range, there are too few images, or a command fails.
    """
    options = argparse.ArgumentParser(prog="mis bench memory", description=__doc__.split("\n")[0])
    options.add_argument("--images", required=True, help="folder of images")
    options.add_argument("--config", default="cpu", help="config of mis fit (default: %(default)s)")
    options.add_argument("--count", type=int, default=150, help="images, n (default: %(default)s)")
    options.add_argument("--steps", type=int, default=20, help="training steps (default: %(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    if min(given.count, given.steps) < 1:
        raise InputError("Expected --count and --steps of at least 1.")
    if not Path("/proc/self/status").exists():
        raise InputError("Expected Linux, which reports the peak memory of a process.")
    images = [str(image.path) for image in find_training_images(given.images)]
    if len(images) < 4 * given.count:
        raise InputError(
            f"Expected at least {4 * given.count} images, but {given.images} holds {len(images)}."
        )
    report(measure(images, given.config, given.count, given.steps), vars(given), given.json)
    return 0


def measure(images: Sequence[str], config: str, count: int, steps: int) -> list[Figure]:
    """Run both commands on the first ``count`` and ``4 * count`` images, and compare their peaks."""
    peaks: dict[str, list[float]] = {}
    figures = []
    for number in (count, 4 * count):
        with tempfile.TemporaryDirectory() as folder:
            listed = Path(folder, "images.txt")
            listed.write_text("\n".join(images[:number]) + "\n", encoding="utf-8")
            common = ["--config", config, f"--data.images={listed}", f"--data.store={folder}/store"]
            training = [
                f"--trainer.default_root_dir={folder}/run",
                "--trainer.max_epochs=1",
                f"--trainer.limit_train_batches={steps}",
                "--trainer.limit_val_batches=0",
            ]
            for verb, further in (("precompute", []), ("fit", training)):
                process, worker = watch([verb, *common, *further], Path(folder, "output.txt"))
                for who, peak in (("main process", process), ("largest worker", worker)):
                    peaks.setdefault(f"mis {verb}, {who}", []).append(peak)
                    figures.append(Figure(f"mis {verb}, {who}, {number} images", peak, "MiB", GOAL))
    for name, (few, many) in peaks.items():
        if few > 0:
            figures.append(Figure(f"{name}, of that with a quarter of them", many / few, "x", GROWTH_GOAL))
    return figures


def watch(words: Sequence[str], output: Path) -> tuple[float, float]:
    """Run ``mis`` with these words; return the peaks of its process and of its largest child, in MiB.

    Raises:
        InputError: The command fails; the message ends with what it printed.
    """
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    own, largest = 0, 0
    with output.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-m", "mis_lightning", *words]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            own = max(own, _peak(process.pid))
            largest = max([largest, *map(_peak, _below(process.pid))])
            time.sleep(LOOK)
    if process.returncode != 0:
        raise InputError(f"`mis {' '.join(words)}` failed:\n{output.read_text(encoding='utf-8')[-TAIL:]}")
    return own / 1024, largest / 1024


def _peak(process: int) -> int:
    try:
        return status_kibibytes("VmHWM", process)
    except (OSError, StopIteration):  # it has ended
        return 0


def _below(process: int) -> list[int]:
    """The processes that this one started, and those that they did."""
    found = []
    try:
        for thread in Path(f"/proc/{process}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text(encoding="utf-8").split()]
    except OSError:
        return found
    return found + [below for child in found for below in _below(child)]
