"""A folder of results: each is saved at once, the masks are written when all are done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from mis_lightning.annotation.click_request import ClickAnswer, ClickRequest
from mis_lightning.annotation.export import Format, export_masks
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.console import counted
from mis_lightning.errors import InputError
from mis_lightning.files import written_whole
from mis_lightning.segmenters.base import Segmenter


class Kept(NamedTuple):
    """The results that a folder, or one of several processes, holds.

    Attributes:
        paths: The image of each answer, by key.
        failures: Why there is none, by key.
        known: How many were there before.
    """

    paths: dict[str, Path]
    failures: dict[str, str]
    known: int


class MaskFolder:
    """Keeps answers in ``annotations/`` of a folder, and the masks in the folder itself.

    A run that is started again skips what is there, unless clicks, model or settings differ. Which images
    failed, and why, is said at the end and in ``report.json``.

    Args:
        folder: Where the masks go.
        format: As which (:func:`~mis_lightning.annotation.export.export_masks`).
    """

    def __init__(self, folder: str | Path = "masks", format: Format = "png") -> None:
        self.folder, self.format = Path(folder), format
        self._store = AnnotationStore(self.folder / "annotations")
        self.kept = Kept({}, {}, 0)

    def look_up(self, request: ClickRequest, segmenter: Segmenter[Any]) -> None:
        """Look up the result of a request."""
        request.done = request.is_answered(self._store, segmenter)

    def keep(self, answer: ClickAnswer) -> None:
        """Keep an answer, whole or not at all."""
        request, failure = answer.request, answer.failure
        if answer.record is not None:
            try:
                self._store.write(request.key, answer.record)
            except InputError as error:
                failure = str(error)
        if failure is not None:
            self.kept.failures[request.key] = failure
            return
        self.kept = self.kept._replace(known=self.kept.known + (answer.record is None))
        self.kept.paths[request.key] = request.path

    def finish(self) -> None:
        """Write the masks and the report.

        Raises:
            InputError: Some images failed; the masks of the others are written.
        """
        paths, failures, known = self.kept
        total = len(paths) + len(failures)
        if paths:
            volumes = {key.rpartition("#")[0]: path for key, path in paths.items() if "#" in key}
            written = export_masks(self._store, self.folder, self.format, list(paths), volumes.__getitem__)
            failures |= written.failures
        report = {"images": total, "known_before": known, "failed": failures}
        with written_whole(self.folder / "report.json") as temporary:
            temporary.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
        before = f" ({known} of them in an earlier run)" if known else ""
        answered = f"{total - len(failures)} of {counted(total, 'image')} answered{before}"
        print(f"{answered}; masks are in {self.folder}")
        if failures:
            raise InputError(_list_failures(failures, total, self.folder / "report.json"))


def _list_failures(failures: dict[str, str], total: int, report: Path) -> str:
    shown = [f"  {key}: {reason}" for key, reason in list(failures.items())[:10]]
    if len(failures) > len(shown):
        shown.append(f"  … and {len(failures) - len(shown)} more, in {report}")
    return "\n".join([f"{len(failures)} of {counted(total, 'image')} failed:", *shown])
