"""Click on an image and get a mask: the object behind your own scripts.

>>> import torch
>>> from mis_lightning.segmenters.click_model import ClickModelSegmenter
>>> from mis_lightning.segmenters.prediction_settings import PredictionSettings
>>> def model(image, prompt):  # any click model; this one answers "everything"
...     return torch.ones_like(prompt.previous_mask)
>>> predictor = ClickPredictor(ClickModelSegmenter(model, PredictionSettings(size=(32, 32))))
>>> predictor.set_image(np.zeros((40, 60, 3), dtype=np.uint8))
>>> predictor.click(20, 30).shape, predictor.mask.all()
((40, 60), np.True_)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from mis_lightning.errors import InputError
from mis_lightning.images import Reading
from mis_lightning.models.shipped import DEFAULT
from mis_lightning.segmenters.base import Box, Segmenter, check_box, check_click
from mis_lightning.segmenters.history import History
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click


class Alternatives(NamedTuple):
    """Several answers, best first.

    Attributes:
        masks: Bool, ``(N, H, W)``.
        scores: What IoU with the object is expected, float32, ``(N,)``, in ``[0, 1]``. They order the answers
            and are not calibrated.
        probabilities: Float32, ``(N, H, W)``.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]


class ClickPredictor:
    """One image, one object: clicks in, probabilities out, with undo and redo.

    Args:
        segmenter: Answers the clicks.

    Attributes:
        segmenter: As given.
    """

    def __init__(self, segmenter: Segmenter[Any]) -> None:
        self.segmenter = segmenter
        self._history: History[Any] | None = None

    @classmethod
    def from_pretrained(cls, name: str | Path = DEFAULT, **options: Any) -> ClickPredictor:
        """Open a segmenter by its name.

        Args:
            name: As of :func:`~mis_lightning.segmenters.registry.open_segmenter`, like the options.
            **options: ``device``, and settings that replace the model's own.

        Raises:
            InputError: There is no such segmenter.
        """
        return cls(open_segmenter(name, **options))

    def set_image(
        self, image: NDArray[Any] | Image.Image | str | Path, reading: Reading | None = None
    ) -> None:
        """Start on a new image; all clicks are forgotten.

        Args:
            image: A path, a PIL image or an array (:func:`~mis_lightning.images.as_rgb`).
            reading: How pixels deeper than 8 bits become bytes, and which channels count.

        Raises:
            InputError: It cannot be read or has an unexpected shape; the previous image stays.
        """
        first = self.segmenter.begin((reading if reading is not None else Reading())(image))
        self._history = History(first, self.segmenter.pack, self.segmenter.unpack)

    def click(self, row: float, col: float, positive: bool = True) -> NDArray[np.float32]:
        """Add a click and answer it. Clicks that were undone before can no longer be redone.

        Args:
            row: In pixels of the image, ``0 <= row < H``.
            col: In pixels of the image, ``0 <= col < W``.
            positive: "This belongs" or "this does not".

        Returns:
            Probability, float32, ``(H, W)``, in ``[0, 1]``.

        Raises:
            InputError: No image is set, or the click is not on it; nothing changes.
        """
        state = self.state
        asked = check_click(row, col, positive, state.shape)
        self._steps.push(self.segmenter.click([state], [[asked]])[0])
        return self.probability

    def undo(self) -> None:
        """Go back to before the last click, exactly: its probability, crop and clicks return.

        Raises:
            InputError: There is no click to undo.
        """
        self._steps.undo()

    def redo(self) -> None:
        """Take the last undo back.

        Raises:
            InputError: Nothing was undone since the last click.
        """
        self._steps.redo()

    def reset(self) -> None:
        """Forget all clicks, keep the image."""
        self._steps.reset()

    @property
    def state(self) -> Any:
        """The state of the segmenter after the clicks in effect.

        Raises:
            InputError: No image is set.
        """
        return self._steps.state

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks in effect."""
        clicks: tuple[Click, ...] = self.state.clicks
        return clicks

    @property
    def probability(self) -> NDArray[np.float32]:
        """The last answer, float32, ``(H, W)``; zeros before the first click."""
        return self.segmenter.probability(self.state)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The object after the clicks in effect, bool, ``(H, W)``."""
        return self.segmenter.mask(self.state)

    @overload
    def predict(
        self,
        point_coords: ArrayLike | None = ...,
        point_labels: ArrayLike | None = ...,
        box: ArrayLike | None = ...,
        mask_input: ArrayLike | None = ...,
        multimask_output: Literal[False] = ...,
        granularity: float | None = ...,
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]: ...

    @overload
    def predict(
        self,
        point_coords: ArrayLike | None = ...,
        point_labels: ArrayLike | None = ...,
        box: ArrayLike | None = ...,
        mask_input: ArrayLike | None = ...,
        *,
        multimask_output: Literal[True],
        granularity: float | None = ...,
    ) -> Alternatives: ...

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = False,
        granularity: float | None = None,
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]] | Alternatives:
        """Answer several clicks in one step, as Segment Anything does; the click history is untouched.

        Args:
            point_coords: Points as **(x, y)** = (col, row) in pixels, ``(N, 2)``; may be left out with a box.
            point_labels: 1 belongs, 0 does not, ``(N,)``.
            box: ``(x0, y0, x1, y1)`` around the object.
            mask_input: A previous probability map or mask of the object, ``(H, W)``, in ``[0, 1]``; what lies
                outside a box is left out. The crop is chosen from it and the box, as after a first answer;
                without both the whole image is looked at.
            multimask_output: Also return the other answers to a single positive click; there are up to three
                where the segmenter looks at several scales, and else one.
            granularity: How large the object is, in ``[0, 1]``, the same in every image: it covers
                ``10 ** (4 * (granularity - 1))`` of the image, so that 0 is a ten-thousandth, 0.5 a hundredth
                and 1 all of it. ``None``: the clicks alone decide. Only where the segmenter
                ``takes_granularity``.

        Returns:
            Mask, bool, ``(H, W)``, and probability, float32, ``(H, W)``. With ``multimask_output``
            :class:`Alternatives`.

        Raises:
            InputError: No image is set, an argument has another shape or range, or the model takes no
                ``granularity``.
        """
        segmenter, first = self.segmenter, self._steps.first
        first = segmenter.with_granularity(first, granularity)
        clicks = _clicks(point_coords, point_labels, box is None, first.shape)
        around = _box(box, first.shape) if box is not None else None
        if around is not None and mask_input is None and not clicks:
            state = segmenter.box(first, around)
        else:
            state = segmenter.click(
                [self._placed(first, around, mask_input)], [_with_centre(clicks, around)]
            )[0]
        if not multimask_output:
            return segmenter.mask(state), segmenter.probability(state)
        found = segmenter.alternatives(state)
        return Alternatives(
            np.stack([segmenter.mask(one) for one, _ in found]),
            np.array([score for _, score in found], np.float32),
            np.stack([segmenter.probability(one) for one, _ in found]),
        )

    def _placed(self, state: Any, around: Box | None, mask_input: ArrayLike | None) -> Any:
        """The state that clicks inside a box and on a previous mask begin from."""
        previous: NDArray[Any] | None = None
        if mask_input is not None:
            previous = _probabilities(mask_input, state.shape)
        if around is not None:
            inside = around.mask(state.shape)
            previous = inside if previous is None else np.where(inside, previous, np.float32(0))
        return state if previous is None else self.segmenter.place(state, previous)

    @property
    def _steps(self) -> History[Any]:
        if self._history is None:
            raise InputError("Expected an image before the first click: call set_image(image) first.")
        return self._history


def _with_centre(clicks: list[Click], around: Box | None) -> list[Click]:
    """The clicks; in a box without a positive one its middle goes first."""
    if around is None or any(click.positive for click in clicks):
        return clicks
    return [around.centre, *clicks]


def _clicks(coords: Any, labels: Any, needed: bool, shape: tuple[int, int]) -> list[Click]:
    """The clicks of SAM's two arrays."""
    coords = np.zeros((0, 2)) if coords is None else _numbers(coords, "point_coords")
    labels = np.zeros(0) if labels is None else np.asarray(labels)
    if coords.ndim != 2 or coords.shape[1] != 2 or len(coords) < needed or labels.shape != (len(coords),):
        raise InputError(
            "Expected `point_coords` of shape (N, 2) as (x, y) and `point_labels` of shape (N,), N >= 1 "
            f"without a box, but got {coords.shape} and {labels.shape}."
        )
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"Expected `point_labels` of 1 (belongs) and 0, but got {labels.tolist()}.")
    points = zip(coords, labels, strict=True)
    return [check_click(y, x, bool(label), shape) for (x, y), label in points]


def _numbers(given: Any, what: str, kind: type[np.floating] = np.float64) -> NDArray[Any]:
    """An array of one's own."""
    try:
        return np.array(given, dtype=kind)
    except (TypeError, ValueError):
        raise InputError(f"Expected numbers in `{what}`, but got {given!r:.80}.") from None


def _probabilities(given: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float32]:
    mask = _numbers(given, "mask_input", np.float32)
    if mask.shape != shape or not ((mask >= 0) & (mask <= 1)).all():
        raise InputError(
            f"Expected `mask_input` of shape {shape} with probabilities in [0, 1], "
            f"but got {mask.shape} with values from {mask.min(initial=1)} to {mask.max(initial=0)}."
        )
    return mask


def _box(given: ArrayLike, shape: tuple[int, int]) -> Box:
    corners = _numbers(given, "box")
    if corners.size != 4:
        raise InputError(f"Expected one `box` as (x0, y0, x1, y1), but got shape {corners.shape}.")
    x0, y0, x1, y1 = corners.ravel().tolist()
    return check_box(y0, x0, y1, x1, shape)
