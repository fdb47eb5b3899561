"""Keeps the answers of ``mis predict`` and writes them as masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import torch.distributed

from mis_lightning.annotation.batch import Answer, BatchAnswers
from mis_lightning.annotation.export import Format, export_masks
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.data.click_requests import ClickRequest
from mis_lightning.errors import InputError
from mis_lightning.files import written_whole


class MaskWriter(L.Callback):
    """Keeps each answer at once, and writes the masks when all are there.

    Clicks and masks are kept in ``annotations/`` of the folder (:class:`AnnotationStore`); a run that is
    started again skips what is there, unless clicks, model or settings differ. Which images failed, and why,
    is said at the end and in ``report.json``.

    Args:
        folder: Where the masks go.
        format: As which: ``png``, ``labels``, ``coco`` or ``nifti``
            (:func:`~mis_lightning.annotation.export.export_masks`).
    """

    def __init__(self, folder: str = "masks", format: Format = "png") -> None:
        self.folder, self.format = Path(folder), format
        self._store = AnnotationStore(self.folder / "annotations")
        self._paths: dict[str, Path] = {}
        self._failures: dict[str, str] = {}
        self._known = 0

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin a report."""
        self._store = AnnotationStore(self.folder / "annotations")
        self._paths, self._failures, self._known = {}, {}, 0

    def on_predict_batch_start(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        batch: ClickRequest,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Tell a request that its answer is known."""
        answers: BatchAnswers = pl_module.batch_answers  # type: ignore[assignment]
        batch.done = answers.is_in(self._store, batch)

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
        answer: Answer = outputs
        request, failure = answer.request, answer.failure
        if answer.record is not None:
            try:
                self._store.write(request.key, answer.record)
            except InputError as error:
                failure = str(error)
        if failure is not None:
            self._failures[request.key] = failure
            return
        self._known += answer.record is None
        self._paths[request.key] = request.path

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the masks and the report.

        Raises:
            InputError: Some images failed; the masks of the others are written.
        """
        self._gather()
        if not trainer.is_global_zero:
            return
        total = len(self._paths) + len(self._failures)
        if self._paths:
            volumes = {key.rpartition("#")[0]: path for key, path in self._paths.items() if "#" in key}
            written = export_masks(
                self._store, self.folder, self.format, list(self._paths), volumes.__getitem__
            )
            self._failures |= written.failures
        report = {"images": total, "known_before": self._known, "failed": self._failures}
        with written_whole(self.folder / "report.json") as temporary:
            temporary.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
        known = f" ({self._known} of them known before)" if self._known else ""
        print(f"{total - len(self._failures)} of {total} images answered{known}; masks are in {self.folder}")
        if self._failures:
            raise InputError(_list_failures(self._failures, total, self.folder / "report.json"))

    def _gather(self) -> None:
        """Bring together what all processes have."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        parts: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, (self._paths, self._failures, self._known))
        self._known = sum(known for _, _, known in parts)
        for paths, failures, _ in parts:
            self._paths |= paths
            self._failures |= failures


def _list_failures(failures: dict[str, str], total: int, report: Path) -> str:
    shown = [f"  {key}: {reason}" for key, reason in list(failures.items())[:10]]
    if len(failures) > len(shown):
        shown.append(f"  … and {len(failures) - len(shown)} more, in {report}")
    return "\n".join([f"{len(failures)} of {total} images failed:", *shown])
