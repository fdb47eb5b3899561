"""A click model that learns from every accepted object, and the segmenter that answers with it.

>>> import numpy as np
>>> from mis_lightning.models.click_hybrid import HybridClickViT
>>> from mis_lightning.segmenters.click_model import ClickModelSegmenter
>>> network = HybridClickViT((32, 32), (4, 4, 8), 8, 1, 2, 1, 2)
>>> small = LearningSettings(size=(32, 32), batch=2, steps=1, photographs=0)
>>> learner = Learner(ClickModelSegmenter(network), small)
>>> image, mask = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), bool)
>>> mask[10:20, 10:30] = True
>>> learner.accept(image, mask, [Click(15, 20, True)])
>>> learner.count
1
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mis_lightning.errors import InputError
from mis_lightning.learning.appearance import Appearance
from mis_lightning.learning.lessons import Lesson, Views
from mis_lightning.learning.look_choice import LookChoice
from mis_lightning.learning.photographs import photograph_lessons
from mis_lightning.learning.practice import Batch, agreement, draw_batch, practise
from mis_lightning.learning.versions import delta_of, with_delta
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.segmenters.asked_model import ClickModel
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Click

_ASKING, _PRACTISING = 0, 1  # what numbers are drawn for
_QUESTIONS = 4  # views of an object on which the learned weights are compared with the start
_PHOTOGRAPHS = 16  # lessons on photographs


@dataclass(frozen=True)
class LearningSettings:
    """How a learner learns.

    Attributes:
        weights: Whether it learns weights.
        looks: Whether it learns which first look to trust, and the usual size of objects.
        appearance: Whether it learns what the pixels of objects look like, for as long as the weights of the
            start answer.
        rate: Learning rate of AdamW.
        steps: Optimisation steps after an object, about a third of a second each. Six saved no clicks, and 48
            no more than 24 (``experiments/campaign``).
        batch: Views in a step; half of them are of the new object.
        rounds: Simulated clicks on a view after the first points; every answer counts.
        size: ``(height, width)`` of a view.
        memory: Lessons kept; the oldest goes first.
        decay: Of the running mean of the weights, which answers; it begins at 0.1 and gets there in as many
            steps as it averages over.
        share: How far from the start towards that mean the weights lie that answer (WiSE-FT): half way keeps
            more of what the start knows, and is steadier.
        photographs: Views of bundled photographs in a step. Their truth is what the model answered before it
            learned anything, so that it does not forget them.
        checked: Most recent objects that decide whether the learned weights are used (:class:`Learner`).
        seed: Decides, with the number of the object, everything random.
    """

    weights: bool = True
    looks: bool = True
    appearance: bool = True
    rate: float = 3e-4
    steps: int = 24
    batch: int = 6
    rounds: int = 1
    decay: float = 0.97
    share: float = 0.5
    size: tuple[int, int] = (128, 128)
    memory: int = 64
    photographs: int = 2
    checked: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.steps, self.memory, self.checked, self.batch - self.photographs)
        sound = min(counts) >= 1 and min(self.rounds, self.photographs) >= 0
        if not (sound and 0 < self.rate < 1 and 0 <= self.decay < 1 and 0 < self.share <= 1):
            raise InputError(
                "Expected `steps`, `memory`, `checked` >= 1, `rounds` and `photographs` >= 0, `batch` above "
                "`photographs`, `rate` in (0, 1), `decay` in [0, 1) and `share` in (0, 1] of a learner, "
                f"but got {self}."
            )


class Learner:
    """Learns from accepted objects: their size, what they look like, which first look to trust, and weights.

    Each object is first a question and then a lesson: before weights are learned from it, those learned so
    far and those of the start answer the same clicks on the same views of it. The learned weights answer
    clicks of the user only while their mean IoU over the last ``checked`` objects is at least that of the
    start.

    Everything is a function of the start, the settings and the sequence of objects.

    Args:
        start: The click model to start from; it stays as it is.
        settings: How to learn.
        pause: Called before every pass through the network, to wait while a user waits for an answer.

    Attributes:
        start: As given.
        settings: As given.
        pause: As given.
        segmenter: What answers clicks now. It is never changed; another one takes its place.
        lessons: Those kept, oldest first.
        gains: Of each object, the IoU of the learned weights less that of the start, before it was learned.
        count: Objects seen.
        taught: Lessons taken, those that are no longer kept among them.

    Raises:
        InputError: The model has no weights to learn.
    """

    def __init__(
        self,
        start: ClickModelSegmenter,
        settings: LearningSettings | None = None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        if not isinstance(start.model, nn.Module):
            raise InputError(
                f"Expected a network to learn with, but {start.identity} has no weights to change."
            )
        self.start = start
        self.settings = settings if settings is not None else LearningSettings()
        self.pause = pause
        self.segmenter = start
        self.lessons: list[Lesson] = []
        self.gains: list[float] = []
        self.count = 0
        self.taught = 0
        self._views = Views()
        self._loss = ClickLoss(smoothness_weight=0.0)
        self._photographs: list[Lesson] | None = None
        first_look = start.prediction.first_look
        self._choice = LookChoice(first_look) if first_look is not None and self.settings.looks else None
        self._appearance: Appearance | None = None
        if self.settings.appearance:
            self._appearance = Appearance(start.prediction.appearance, self.settings.seed)
        self._start_model: nn.Module = start.model
        self._model: nn.Module = copy.deepcopy(start.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean: nn.Module = copy.deepcopy(start.model)
        self._steps = 0
        self._seen: Lesson | None = None

    @cached_property
    def _optimiser(self) -> torch.optim.Optimizer:
        # Made where it is first needed: it imports PyTorch's compiler, 150 MiB that a page does without.
        return torch.optim.AdamW(
            self._model.parameters(), lr=self.settings.rate, weight_decay=0.0, betas=(0.9, 0.99)
        )

    @property
    def taken(self) -> bool:
        """Whether the learned weights did at least as well as the start on the last objects."""
        recent = self.gains[-self.settings.checked :]
        return len(recent) > 1 and float(np.mean(recent)) >= 0

    def accept(self, image: NDArray[np.uint8], mask: NDArray[np.bool_], clicks: Sequence[Click] = ()) -> None:
        """Learn from an accepted object: :meth:`see` it, then :meth:`practise` it."""
        self.see(image, mask, clicks)
        self.practise()

    def see(self, image: NDArray[np.uint8], mask: NDArray[np.bool_], clicks: Sequence[Click] = ()) -> None:
        """Learn all but weights from an accepted object, in a moment: its size and looks, the first look.

        :attr:`segmenter` is another one afterwards, with the weights that it had.

        Args:
            image: RGB, uint8, ``(H, W, 3)``.
            mask: The object, bool, ``(H, W)``.
            clicks: The clicks that led to it, in pixels of the image.

        Raises:
            InputError: The mask is empty or does not fit the image.
        """
        lesson = Lesson.of(image, mask, clicks)
        self.pause()
        self.count += 1
        if self._choice is not None:
            first = clicks[0] if clicks and clicks[0].positive else None
            self._choice.accept(self.segmenter, image, mask, first)
        if self._appearance is not None:
            self._appearance.accept(image, mask)
        self.segmenter = self._with(self.segmenter.model)
        self._seen = lesson

    def practise(self) -> None:
        """Learn weights from the object that was seen last, for seconds; :attr:`segmenter` has them then."""
        lesson, self._seen = self._seen, None
        if lesson is None:
            return
        if self.settings.weights:
            self.gains.append(self._gain(lesson))
        self.lessons = [*self.lessons, lesson][-self.settings.memory :]
        self.taught += 1
        if self.settings.weights:
            self._practise(lesson)
            self.segmenter = self._with(self._best())

    def _gain(self, lesson: Lesson) -> float:
        """How much better the learned weights answer an object than the start, before it is learned from."""
        if self.count == 1:
            return 0.0
        batch = self._batch([lesson] * _QUESTIONS, _ASKING)
        learned, start = (
            agreement(model, batch, 1, torch.Generator().manual_seed(self.count), self.pause)
            for model in (self._learned(), self._start_model)
        )
        return learned - start

    def _practise(self, lesson: Lesson) -> None:
        how = self.settings
        fresh = how.batch - how.photographs
        for step in range(how.steps):
            generator = np.random.default_rng([how.seed, self.count, _PRACTISING, step])
            earlier = [self.lessons[i] for i in generator.integers(len(self.lessons), size=fresh // 2)]
            shown = [lesson] * (fresh - fresh // 2) + earlier
            if how.photographs:
                known = self._known_photographs()
                shown += [known[i] for i in generator.integers(len(known), size=how.photographs)]
            batch = draw_batch(shown, self._views, how.size, generator)
            clicking = torch.Generator().manual_seed(int(generator.integers(2**62)))
            practise(self._model, self._optimiser, batch, how.rounds, self._loss, clicking, self.pause)
            self._average()

    def _average(self) -> None:
        """Move the running mean towards the weights; at the start it follows them closely."""
        self._steps += 1
        share = 1 - min(self.settings.decay, self._steps / (self._steps + 9))
        with torch.no_grad():
            for mean, weight in zip(self._mean.parameters(), self._model.parameters(), strict=True):
                mean.lerp_(weight, share)

    def _batch(self, lessons: Sequence[Lesson], *purpose: int) -> Batch:
        """Views of lessons; the same ones for the same object and purpose."""
        generator = np.random.default_rng([self.settings.seed, self.count, *purpose])
        return draw_batch(lessons, self._views, self.settings.size, generator)

    def _known_photographs(self) -> list[Lesson]:
        if self._photographs is None:
            self._photographs = photograph_lessons(self.start, _PHOTOGRAPHS, self.settings.seed)
        return self._photographs

    def _learned(self) -> nn.Module:
        """What the learned weights are now: the start, and its share of the way to their running mean."""
        delta = delta_of(self._mean, self._start_model)
        return with_delta(self._start_model, {n: self.settings.share * v for n, v in delta.items()})

    def _best(self) -> nn.Module:
        """The learned weights where they are taken, or else those of the start."""
        return self._learned() if self.taken else self._start_model

    def _with(self, model: ClickModel) -> ClickModelSegmenter:
        """A segmenter with some weights, and with all else that is learned now.

        Learned weights have learned of the looks, too: both together saved no more clicks than weights alone.
        """
        start = self.start
        prediction = start.prediction
        if self._choice is not None:
            prediction = replace(prediction, first_look=self._choice.first_look)
        if self._appearance is not None and model is self._start_model:
            prediction = replace(prediction, appearance=self._appearance.prior)
        return ClickModelSegmenter(model, prediction, start.device)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Everything learned, as JSON values and tensors; the lessons aside."""
        content: dict[str, Any] = {
            "start": self.start.identity,
            "count": self.count,
            "taught": self.taught,
            "steps": self._steps,
            "gains": self.gains,
            "choice": self._choice.state() if self._choice is not None else None,
        }
        tensors: dict[str, Tensor] = {}
        if self._appearance is not None and self._appearance.losses:
            content["appearance"], tensors = self._appearance.state()
        if self._steps:
            for kind, model in (("model", self._model), ("mean", self._mean)):
                delta = delta_of(model, self._start_model)
                tensors |= {f"{kind}.{name}": value for name, value in delta.items()}
        return content, tensors

    def restore(
        self, content: Mapping[str, Any], tensors: Mapping[str, Tensor], lessons: Sequence[Lesson]
    ) -> None:
        """Go on from a :meth:`state`; the optimiser begins anew.

        Raises:
            InputError: It is of another model, or damaged.
        """
        if content.get("start") != self.start.identity:
            raise InputError(
                f"Expected what {self.start.identity} has learned, but this is of {content.get('start')}: "
                "start with that model, or reset what was learned."
            )
        try:
            self.count, self._steps = int(content["count"]), int(content["steps"])
            self.taught = int(content.get("taught", self.count))  # older states do not tell them apart
            self.gains = [float(gain) for gain in content["gains"]]
            if self._choice is not None and content["choice"] is not None:
                self._choice.restore(content["choice"])
            if self._appearance is not None and "appearance" in content:  # absent in older states
                self._appearance.restore(content["appearance"], tensors)
            if self._steps:
                for kind, model in (("model", self._model), ("mean", self._mean)):
                    delta = {
                        n.removeprefix(f"{kind}."): v for n, v in tensors.items() if n.startswith(f"{kind}.")
                    }
                    model.load_state_dict(with_delta(self._start_model, delta).state_dict())
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"What was learned is damaged: {error!r}. Reset it to go on.") from error
        self.lessons = list(lessons)
        if self.count:
            self.segmenter = self._with(self._best())
