"""Train a click model in minutes: from unlabelled images, with all but the merge trees on the GPU.

    python experiments/gpu_training/train.py --data .gpu_data/images.npz --out $OUT --minutes 7
    python experiments/gpu_training/train.py --data images.npz --out /tmp/out --minutes 1 --tiny

The second line is a rehearsal on a CPU.

The clock starts with the program, so ``--minutes`` counts imports and merge trees. Training
begins as soon as some images have their trees. Weights are written once a
minute, averaged over the last steps; ``--resume`` goes on from them, and ``OUT/model`` is a model folder,
which another run may start from.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

BEGAN = time.monotonic()
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from gpu_training.builder import Builder  # noqa: E402
from gpu_training.settings import Settings  # noqa: E402

CLOSING = 6.0  # seconds to write the last weights and to end


def say(*words: object) -> None:
    """Print with the seconds since the start."""
    print(f"[{time.monotonic() - BEGAN:6.1f} s]", *words, flush=True)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="what pack.py has written")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0, help="from the start of the program to its end")
    parser.add_argument("--config", type=Path, help="JSON with other settings")
    parser.add_argument("--resume", action="store_true", help="go on from the weights in --out")
    parser.add_argument("--compile", action="store_true", help="compile first; took over 110 s on an H100")
    parser.add_argument("--compile-seconds", type=int, default=150, help="go on without after so long")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--tiny", action="store_true", help="few images, small batches: a rehearsal")
    parser.add_argument("--images", type=int, help="use this many images at most")
    parser.add_argument("--tables", type=Path, help="keep trees and regions in this folder, for other runs")
    arguments = parser.parse_args()
    given = json.loads(arguments.config.read_text(encoding="utf-8")) if arguments.config else {}
    settings = Settings(**given.get("training", {}))
    if arguments.tiny:
        settings.batch = 12
    arguments.out.mkdir(parents=True, exist_ok=True)
    with Builder(
        arguments.data,
        arguments.processes,
        arguments.images or (12 if arguments.tiny else None),
        arguments.tables,
    ) as builder:
        from gpu_training.loop import Training  # torch, only now that the processes have been started

        training = Training(settings, given.get("scenes", {}), arguments.out, arguments.resume, say)
        if arguments.compile:
            training.compile(arguments.compile_seconds)
        builder.wait(max(8, builder.count // 8))
        train(training, builder, BEGAN + 60 * arguments.minutes - CLOSING)


def train(training: Training, builder: Builder, end: float) -> None:  # noqa: F821
    """Train until ``end``, on ever more images while their trees are built."""
    training.load(builder.tables)
    training.check_gradients()
    began = time.monotonic()
    next_save, next_word = began + 60, began + 5
    whole = False
    while (now := time.monotonic()) < end:
        if not whole:
            whole, ready = builder.finished(), builder.ready()
            if ready >= 2 * training.images or (whole and ready > training.images):
                training.load(builder.tables)
            if whole:
                say(f"{ready} of {builder.count} images have their trees")
        training.step((now - began) / (end - began))
        if now > next_word:
            training.report()
            next_word = now + 10
        if now > next_save:
            training.save()
            next_save = now + 60
    training.save()
    training.report()
    say("done")


if __name__ == "__main__":
    main()
