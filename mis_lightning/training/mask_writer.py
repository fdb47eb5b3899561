"""Keeps the answers of ``mis predict --config`` and writes them as masks."""

from __future__ import annotations

from typing import Any

import lightning as L

from mis_lightning.annotation.click_request import ClickRequest
from mis_lightning.annotation.export import Format
from mis_lightning.annotation.mask_folder import Kept, MaskFolder
from mis_lightning.training.processes import of_all_processes


class MaskWriter(L.Callback):
    """Keeps each answer at once, and writes the masks when all are there.

    Args:
        folder: Where the masks go (:class:`~mis_lightning.annotation.mask_folder.MaskFolder`).
        format: As which: ``png``, ``labels``, ``coco`` or ``volumes``
            (:func:`~mis_lightning.annotation.export.export_masks`).
    """

    def __init__(self, folder: str = "masks", format: Format = "png") -> None:
        self.folder, self.format = folder, format
        self._masks = MaskFolder(folder, format)

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin a report."""
        self._masks = MaskFolder(self.folder, self.format)

    def on_predict_batch_start(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        batch: ClickRequest,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Tell a request that its answer is known."""
        self._masks.look_up(batch, pl_module.segmenter)  # type: ignore[arg-type]

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep an answer, whole or not at all."""
        self._masks.keep(outputs)

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the masks and the report.

        Raises:
            InputError: Some images failed; the masks of the others are written.
        """
        self._masks.kept = _gather(self._masks.kept)
        if trainer.is_global_zero:
            self._masks.finish()


def _gather(kept: Kept) -> Kept:
    """Bring together what all processes have."""
    parts = of_all_processes(kept)
    paths = {key: path for part in parts for key, path in part.paths.items()}
    failures = {key: reason for part in parts for key, reason in part.failures.items()}
    return Kept(paths, failures, sum(part.known for part in parts))
