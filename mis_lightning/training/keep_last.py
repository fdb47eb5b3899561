"""A run that may be stopped at any moment: ``last.ckpt`` every few minutes and on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L

from mis_lightning.errors import InputError, Interrupted


class KeepLast(L.Callback):
    """Writes ``last.ckpt``, whole or not at all, between two steps.

    A first Ctrl-C (SIGINT) or SIGTERM lets the step at work end, keeps the checkpoint and ends the run; a
    second one ends it at once. A run that is killed in any other way loses the last few minutes at most. Run
    with ``--ckpt_path FOLDER/last.ckpt`` it goes on to the same weights as one that was never stopped.

    Args:
        folder: Where the file goes.
        minutes: Time between two checkpoints, at least 0.
    """

    def __init__(self, folder: str, minutes: float = 5.0) -> None:
        if minutes < 0:
            raise InputError(f"Expected `minutes` of at least 0, but got {minutes}.")
        self.path = Path(folder) / "last.ckpt"
        self.minutes = minutes
        self._saved = 0.0
        self._signal: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen to signals."""
        self._saved, self._signal = time.monotonic(), None
        try:
            numbers = signal.SIGINT, signal.SIGTERM
            self._before = {number: signal.signal(number, self._told) for number in numbers}
        except ValueError:  # signals come to the main thread only; elsewhere time alone decides
            self._before = {}

    def _told(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            self._listen_no_more()
            raise KeyboardInterrupt
        self._signal = number
        print("\nstopping after this step; interrupt again to stop at once", file=sys.stderr, flush=True)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep a checkpoint where it is time, and stop where that was asked for."""
        due = time.monotonic() - self._saved >= 60 * self.minutes
        due = due or trainer.is_last_batch  # a validation may follow, in which none can be kept
        stop = self._signal is not None
        if trainer.world_size > 1:  # all processes write it together
            due, stop = (trainer.strategy.reduce_boolean_decision(one, all=False) for one in (due, stop))
        if due or stop:
            trainer.save_checkpoint(self.path)
            self._saved = time.monotonic()
        if stop:
            self._end(f"saved {self.path}; continue with --ckpt_path {self.path}")

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_args: Any, **_options: Any
    ) -> None:
        """Stop where that was asked for; the weights may be averages now, so nothing is kept."""
        if self._signal is not None:
            there = f"; continue with --ckpt_path {self.path}" if self.path.is_file() else ""
            self._end(f"stopped while validating{there}")

    def _end(self, words: str) -> None:
        number = self._signal if self._signal is not None else signal.SIGTERM
        self._listen_no_more()
        raise Interrupted(words, 128 + number)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen no more."""
        self._listen_no_more()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Listen no more."""
        self._listen_no_more()

    def _listen_no_more(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}
