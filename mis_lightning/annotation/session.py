"""One image, several objects, one user: every kind of action, with undo and redo of all of them.

>>> import torch
>>> from mis_lightning.segmenters.click_model import ClickModelSegmenter
>>> from mis_lightning.segmenters.prediction_settings import PredictionSettings
>>> def model(image, prompt):  # any click model; this one answers "everything"
...     return torch.ones_like(prompt.previous_mask)
>>> segmenter = ClickModelSegmenter(model, PredictionSettings(size=(32, 32)))
>>> session = AnnotationSession(np.zeros((40, 60, 3), dtype=np.uint8), segmenter)
>>> session.add_object("sky")
1
>>> session.click(20, 30)
>>> session.mask().all(), session.objects[0].name
(np.True_, 'sky')
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from mis_lightning.annotation.actions import (
    Action,
    BoxAction,
    ClickAction,
    LevelAction,
    LookAction,
    MaskAction,
    ScribbleAction,
)
from mis_lightning.annotation.hand_edits import HandEdits
from mis_lightning.annotation.log import ClickLog, ObjectLog
from mis_lightning.annotation.object_list import line_of
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.steps import ImageSteps
from mis_lightning.annotation.tracked_object import Moment
from mis_lightning.errors import InputError
from mis_lightning.formats.overlap import Overlap
from mis_lightning.images import ReadImage, Reading, checksum
from mis_lightning.segmenters.base import Segmenter, check_box, check_click
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter


class OtherImageError(InputError):
    """The pixels are not those that an annotation was made on."""


class AnnotationSession(HandEdits):
    """Objects on one image, from clicks, scribbles, boxes, masks, levels of the merge tree, and by hand.

    Every change, of whatever object, is one step of undo and redo (:meth:`step`, :meth:`undo`). Clicks are
    answered by the same steps as those of :class:`~mis_lightning.segmenters.predictor.ClickPredictor` and
    ``mis test``. An action that fails leaves everything as it was.

    Args:
        image: A path, a PIL image or an array (:func:`~mis_lightning.images.as_rgb`), or one that was read
            already; ``reading`` is then that of the reader.
        segmenter: Answers the clicks; ``None``: the merge tree of the image does, no training needed.
        overlap: Who gets a pixel that several objects want: the one made first (``"keep"``), the one made
            last (``"overwrite"``), or all (``"allow"``).
        tree: Makes the merge tree that levels are chosen from.
        reading: How pixels deeper than 8 bits become bytes, and which channels count.
        name: Of the image, for the log; a path brings its own.

    Attributes:
        image: What the segmenter sees, RGB, uint8, ``(H, W, 3)``; not to be written to.
        name: Of the image.
        checksum: Of the pixels in its file (:class:`~mis_lightning.images.ReadImage`).
        segmenter: What answers.

    Raises:
        InputError: The image cannot be read, or a setting is out of range.
    """

    def __init__(
        self,
        image: NDArray[Any] | Image.Image | str | Path | ReadImage,
        segmenter: Segmenter[Any] | None = None,
        *,
        overlap: Overlap = "keep",
        tree: MergeTreeSegmenter | None = None,
        reading: Reading | None = None,
        name: str | None = None,
    ) -> None:
        read = image if isinstance(image, ReadImage) else (reading or Reading()).read(image)
        self.image, self.checksum, self._reading = read
        self.name = name if name is not None else Path(image).name if isinstance(image, (str, Path)) else ""
        self.shape = (self.image.shape[0], self.image.shape[1])
        if tree is None:
            tree = segmenter if isinstance(segmenter, MergeTreeSegmenter) else MergeTreeSegmenter()
        self.segmenter: Segmenter[Any] = segmenter if segmenter is not None else tree
        own = {} if self.segmenter is tree else self.segmenter.settings()
        settings = {"threshold": self.segmenter.threshold, "tree": tree.settings(), **own}
        self._settings: dict[str, Any] = json.loads(json.dumps(settings))  # as it comes back from a log
        self._record: tuple[int, AnnotationRecord] | None = None  # a version and its record, without masks
        super().__init__(ImageSteps(self.image, self.segmenter, tree), overlap)

    def click(self, row: float, col: float, positive: bool = True) -> None:
        """Add a click and answer it.

        Args:
            row: In pixels of the image, ``0 <= row < H``.
            col: In pixels of the image, ``0 <= col < W``.
            positive: "This belongs" or "this does not".

        Raises:
            InputError: There is no object, or the click is not on the image.
        """
        self._do(ClickAction(*check_click(row, col, positive, self.shape)))

    def scribble(self, points: ArrayLike, positive: bool = True) -> None:
        """Add clicks along a line and answer them in one step; all pixels of the line are obeyed.

        A model of clicks is shown at most 24 of them, at equal distances.

        Args:
            points: The corners of the line as (row, col) in pixels, ``(N, 2)``, ``N >= 1``.
            positive: "This belongs" or "this does not".

        Raises:
            InputError: There is no object, or a point is not on the image.
        """
        self._do(ScribbleAction.of(points, positive, self.shape))

    def box(self, top: float, left: float, bottom: float, right: float) -> None:
        """Start the active object again from a box, in pixels, the edges included.

        An approximation, for models that know clicks only: the box is the previous mask, its middle a
        positive click, and the crop is the box, expanded like that of any mask. The merge tree takes the
        parts that lie in the box.

        Raises:
            InputError: There is no object, or the box is not on the image.
        """
        self._do(BoxAction(*check_box(top, left, bottom, right, self.shape)))

    def load_mask(self, mask: NDArray[np.bool_]) -> None:
        """Start the active object again from a mask, bool, ``(H, W)``: later clicks change it.

        Raises:
            InputError: There is no object, or the mask does not fit the image.
        """
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != self.shape:
            raise InputError(f"Expected a mask, bool {self.shape}, but got {mask.dtype} {mask.shape}.")
        self._do(MaskAction.of(mask))

    def levels(self, row: float, col: float) -> int:
        """Regions of the merge tree that hold a pixel: level 0 is its patch, the last the whole image.

        Raises:
            InputError: The pixel is not on the image.
        """
        return self._steps.levels(check_click(row, col, True, self.shape))

    def region(self, row: float, col: float, level: int) -> NDArray[np.bool_]:
        """The region that :meth:`choose_level` would take, bool, ``(H, W)``; nothing changes.

        Raises:
            InputError: The pixel is not on the image, or there is no such level.
        """
        return self._steps.region(LevelAction(row, col, level))

    def level_map(self, row: float, col: float) -> NDArray[np.uint16]:
        """All regions of :meth:`levels` at once: for each patch the lowest level that holds it, ``(h, w)``.

        The pixels of a region are those of its patches (docs/protocol.md#from-patches-to-pixels), as in
        :meth:`region`.

        Raises:
            InputError: The pixel is not on the image.
        """
        return self._steps.level_map(check_click(row, col, True, self.shape))

    def choose_level(self, row: float, col: float, level: int) -> None:
        """Start the active object again from a region of the merge tree around a pixel.

        The pixel counts as a positive click; later clicks change the region, with a model, too.

        Args:
            row: In pixels of the image.
            col: In pixels of the image.
            level: From 0, the patch, to ``levels(row, col) - 1``, the whole image.

        Raises:
            InputError: There is no object, the pixel is not on the image, or there is no such level.
        """
        self._do(LevelAction(float(row), float(col), int(level)))

    def next_look(self) -> None:
        """Take the next of the answers to the first click, after the last one the first.

        Raises:
            InputError: There is no object, it is not at its first click, or there is only one answer.
        """
        moment = self._current.moment
        count = len(self.segmenter.alternatives(moment.state.state))
        if count < 2:
            raise InputError(
                "Expected an object with one click and several answers to it, but there is only one answer."
            )
        last = moment.actions[-1]
        self._do(LookAction((last.index + 1) % count if isinstance(last, LookAction) else 1))

    @property
    def settings(self) -> dict[str, Any]:
        """Everything except the weights that determines the predictions, as JSON values."""
        return dict(self._settings)

    @property
    def seconds(self) -> float:
        """Seconds that the segmenter took for the last action."""
        return self._steps.seconds

    def log(self) -> dict[str, Any]:
        """The click log as JSON values: what is in effect, without what was undone."""
        return self.record(with_masks=False).log.to_json()

    def record(self, with_masks: bool = True) -> AnnotationRecord:
        """The click log and the own masks, before the overlap policy."""
        if self._record is None or self._record[0] != self.version:
            objects = tuple(
                ObjectLog(one.id, one.name, one.moment.actions, one.category)
                for one in self._now.by_id.values()
            )
            log = ClickLog(
                self.name,
                self.shape,
                self.checksum,
                self._reading,
                self.segmenter.identity,
                self._settings,
                self._overlap,
                objects,
                self._now.active,
                self._now.next_id,
                self._now.order,
            )
            self._record = self.version, AnnotationRecord(log, {})
        if not with_masks:
            return self._record[1]
        counts = {one.id: one.moment.counts for one in self._now.by_id.values()}
        return AnnotationRecord(self._record[1].log, counts)

    @classmethod
    def replay(
        cls,
        log: Mapping[str, Any],
        image: NDArray[Any] | Image.Image | str | Path | ReadImage,
        segmenter: Segmenter[Any] | None = None,
        **options: Any,
    ) -> AnnotationSession:
        """Replay a log: the same masks, bit for bit, on the same machine.

        Args:
            log: Of :meth:`log`.
            image: The image.
            segmenter: What answered then; it is asked as the log says.
            **options: ``tree``, ``reading`` and ``name`` of the constructor; the log says the rest, and the
                reading unless it is given.

        Raises:
            InputError: The log is none, or image, reading, segmenter or merge tree are not those of the log.
        """
        read = ClickLog.from_json(log)
        if "reading" not in options and not isinstance(image, ReadImage):
            options["reading"] = Reading.from_settings(read.reading or {})
        asked = segmenter.with_settings(read.settings) if segmenter is not None else None
        session = cls(image, asked, overlap=read.overlap, **options)
        read.check_model(session.segmenter.identity)
        if read.settings != session.settings:
            raise InputError(
                f"Expected the settings of the click log, {dict(read.settings)}, but got {session.settings}."
            )
        session.check_image(read)
        if not session.reads_as(read):
            raise InputError(
                f"The clicks were made on the image read with {dict(read.reading or {}) or 'the defaults'}, "
                f"but it is now read with {session._reading or 'the defaults'}: answers would differ. "
                "Leave out `reading`, and that of the log is used."
            )
        session.take_over(read)
        return session

    def check_image(self, log: ClickLog) -> None:
        """See whether a log is of this image: of these pixels in the file, whatever was shown of them.

        Raises:
            OtherImageError: It is of another.
        """
        # Before the reading was kept, the checksum was of the RGB bytes.
        mine = self.checksum if log.reading is not None else checksum(self.image)
        if log.shape != self.shape or log.checksum != mine:
            raise OtherImageError(
                f"Expected the image that the click log of {log.name!r} was made on, "
                f"{log.shape[0]}x{log.shape[1]} pixels, but got another of {self.shape[0]}x{self.shape[1]}."
            )

    def keep_what_answered(self, actions: Iterable[Action]) -> bool:
        """Keep what the segmenter had learned at some actions; whether it still has all of it."""
        return self._steps.keep_what_answered(actions)

    def reads_as(self, log: ClickLog) -> bool:
        """Whether a log of this image was made with the window and channels that are shown now."""
        return log.reading is None or dict(log.reading) == self._reading

    def take_masks(self, record: AnnotationRecord) -> None:
        """Replace the objects by those of a record of an image of the same size, each begun with its mask.

        Raises:
            InputError: The size differs; nothing changes.
        """
        log = record.log
        if log.shape != self.shape:
            raise InputError(
                f"Expected masks of {self.shape[0]}x{self.shape[1]} pixels, but those of {log.name!r} have "
                f"{log.shape[0]}x{log.shape[1]}."
            )
        begun = tuple(replace(one, actions=(MaskAction(record.counts[one.id]),)) for one in log.objects)
        same = replace(log, objects=begun, checksum=self.checksum, reading=self._reading)
        self.take_over(same, record.counts)

    def take_over(self, log: ClickLog, counts: Mapping[int, str] | None = None) -> None:
        """Replace the objects by those of a log of this image.

        Args:
            log: Whose actions are done.
            counts: The masks that they lead to, run-length encoded, by id of the object, if that is known:
                the actions of these objects are then done when they are first worked on.

        Raises:
            InputError: The log is of another image, or an action does not fit; nothing changes.
        """
        self.check_image(log)
        moments = {}
        for one in log.objects:
            known = (counts or {}).get(one.id)
            moments[one.id] = Moment.of(self._steps, one.actions, known)
            if known is None:
                _ = moments[one.id].state
                moments[one.id].pack()
        self._start_from(line_of(log, moments))
