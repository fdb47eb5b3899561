"""Progress of a run whose output is not a terminal: a line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L

from mis_lightning.errors import InputError


class ToldSteps(L.Callback):
    """Prints how far a run is, its loss and the time that is left, as lines of their own.

    A progress bar draws itself anew with control characters, which log files and job schedulers keep; where
    the output is a terminal, the bar tells more, and this says nothing.

    Args:
        seconds: Between two lines, at least 0.
        always: Also where the output is a terminal.
    """

    def __init__(self, seconds: float = 10.0, always: bool = False) -> None:
        if seconds < 0:
            raise InputError(f"Expected `seconds` of at least 0, but got {seconds}.")
        self.seconds = seconds
        self.always = always
        self._began = self._told = 0.0
        self._first = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the clock."""
        self._began = self._told = time.monotonic()
        self._first = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say how far it is, where it is time."""
        if not trainer.is_global_zero or (sys.stderr.isatty() and not self.always):
            return
        now, step, last = time.monotonic(), trainer.global_step, trainer.max_steps
        if step != last and now - self._told < self.seconds:
            return
        self._told = now
        numbers = {name.removeprefix("train/"): float(v) for name, v in trainer.callback_metrics.items()}
        shown = [f"{name} {numbers[name]:.3f}" for name in ("loss", "iou") if name in numbers]
        left = ""
        if last > step > self._first:
            left = f", {(now - self._began) / (step - self._first) * (last - step):.0f} s left"
        total = f" of {last}" if last > 0 else ""
        print(f"step {step}{total}: {', '.join(shown)}{left}", file=sys.stderr, flush=True)
