"""The versions of a segmenter that learns: what answers now, and what answered before."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mis_lightning.errors import InputError
from mis_lightning.segmenters.base import Box
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.click_state import ClickState
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Click

KEPT = 8
"""Versions kept, the present one among them: each object makes two, once seen and once practised."""


class LearningSegmenter(ClickModelSegmenter):
    """Answers with what is learned at the moment.

    Its states are those of the start, so that it may learn between two clicks on the same object.
    :attr:`version` names what is learned now, and :meth:`at` what answered under such a name.

    Args:
        start: The segmenter before it has learned anything.
    """

    def __init__(self, start: ClickModelSegmenter) -> None:
        super().__init__(start.model, start.prediction, start.device)
        self._start = start
        self._kept: OrderedDict[str, ClickModelSegmenter] = OrderedDict()
        self._version = ""
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """A digest of what is learned now; empty where nothing is."""
        return self._version

    @property
    def versions(self) -> dict[str, ClickModelSegmenter]:
        """Those kept, by name, oldest first."""
        with self._lock:
            return dict(self._kept)

    def at(self, version: str) -> ClickModelSegmenter:
        """What answered under a name.

        Raises:
            InputError: It is not kept.
        """
        with self._lock:
            found = self._kept.get(version)
        if found is None:
            super().at(version)  # raises for all but the start
        return found if found is not None else self._start

    def _now(self) -> ClickModelSegmenter:
        with self._lock:
            return self._kept[self._version] if self._version else self._start

    def learn(self, learned: ClickModelSegmenter | None) -> str:
        """Answer by another segmenter from now on; ``None``: by the start. Returns its name."""
        name = version_of(learned) if learned is not None else ""
        with self._lock:
            if learned is not None:
                self._kept[name] = learned
                self._kept.move_to_end(name)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._version = name
        return name

    def forget(self) -> None:
        """Go back to the start, and keep nothing."""
        with self._lock:
            self._kept.clear()
            self._version = ""

    def click(self, states: Sequence[ClickState], clicks: Sequence[Sequence[Click]]) -> list[ClickState]:
        """Add clicks and answer them with what is learned at the moment."""
        return self._now().click(states, clicks)

    def box(self, state: ClickState, box: Box) -> ClickState:
        """Start again from a box and answer it with what is learned at the moment."""
        return self._now().box(state, box)

    def with_granularity(self, state: ClickState, granularity: float | None) -> ClickState:
        """Answer again for an object of another size with what is learned at the moment."""
        return self._now().with_granularity(state, granularity)

    def with_settings(self, settings: Mapping[str, Any]) -> LearningSegmenter:
        """Itself where the settings are its own; otherwise the start asked so, which has learned nothing."""
        if PredictionSettings.from_json(settings) == self.prediction:
            return self
        return LearningSegmenter(self._start.with_settings(settings))


def version_of(segmenter: ClickModelSegmenter) -> str:
    """A digest of weights and settings."""
    text = f"{segmenter.identity} {json.dumps(segmenter.settings(), sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def network_of(segmenter: ClickModelSegmenter) -> nn.Module:
    """The network that answers.

    Raises:
        InputError: Something else does.
    """
    if not isinstance(segmenter.model, nn.Module):
        raise InputError(f"Expected a network, but {segmenter.identity} has no weights.")
    return segmenter.model


def delta_of(model: nn.Module, start: nn.Module) -> dict[str, Tensor]:
    """What was learned: the differences of the parameters, float16; half the size of the weights."""
    before = dict(start.named_parameters())
    return {name: (value.detach() - before[name].detach()).half() for name, value in model.named_parameters()}


def with_delta(start: nn.Module, delta: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the start with :func:`delta_of` added."""
    model = copy.deepcopy(start)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.add_(delta[name].to(value.dtype))
    return model


def learned_settings(prediction: PredictionSettings) -> dict[str, Any]:
    """The part of the settings that is learned, as JSON values."""
    settings = prediction.to_json()
    return {name: settings.get(name) for name in ("first_look", "appearance")}


def with_learned_settings(prediction: PredictionSettings, learned: Mapping[str, Any]) -> PredictionSettings:
    """Settings with what :func:`learned_settings` gave; what is older than appearances has none.

    Raises:
        InputError: It is something else.
    """
    known = {"first_look": learned["first_look"], "appearance": learned.get("appearance")}
    return PredictionSettings.from_json({**prediction.to_json(), **known})
