"""Clicks on many images answered without a user. What fails is said and does not stop the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mis_lightning.annotation.actions import ClickAction
from mis_lightning.annotation.identity import model_identity
from mis_lightning.annotation.overlap import Overlap
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.data.click_requests import ClickRequest
from mis_lightning.errors import InputError
from mis_lightning.inference.advance import ClickModel


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
        request: The request.
        record: Clicks and masks; ``None`` where it was done before, or failed.
        failure: Why it failed.
    """

    request: ClickRequest
    record: AnnotationRecord | None = None
    failure: str | None = None


class BatchAnswers:
    """Answers requests as a session would.

    Args:
        model: Answers the clicks; ``None``: the merge tree.
        overlap: Who gets a pixel that several objects want; ``"allow"``: each object as if it were alone.
        threshold: A pixel belongs to the mask where its probability is above this.
    """

    def __init__(
        self, model: ClickModel | None = None, overlap: Overlap = "allow", threshold: float = 0.5
    ) -> None:
        self.model = model
        self.overlap, self.threshold = overlap, threshold

    def answer(self, request: ClickRequest) -> Answer:
        """Answer one request. Whatever goes wrong is in the answer, for the others are not to wait for it."""
        if request.done:
            return Answer(request)
        try:
            session = self._session(request.read(), request.key)
            for name, clicks in request.objects:
                session.add_object(name)
                for click in clicks:
                    session.click(*click)
            return Answer(request, session.record())
        except InputError as error:
            return Answer(request, failure=str(error))
        except Exception as error:
            return Answer(request, failure=f"{type(error).__name__}: {error}")

    def is_in(self, store: AnnotationStore, request: ClickRequest) -> bool:
        """Whether a store holds the answer to just these clicks by just this model.

        The image is not looked at: delete the record of one that was changed.
        """
        try:
            log = store.read(request.key).log
        except InputError:  # there is none, or it is damaged
            return False
        empty = self._session(np.zeros((1, 1, 3), np.uint8), "")
        same = (model_identity(self.model), empty.settings, empty.overlap)
        if (log.model, log.settings, log.overlap) != same:
            return False
        asked = [
            (name.strip() if name is not None else f"object {k}", tuple(ClickAction(*c) for c in clicks))
            for k, (name, clicks) in enumerate(request.objects, 1)
        ]
        return asked == [(one.name, one.actions) for one in log.objects]

    def _session(self, image: NDArray[np.uint8], name: str) -> AnnotationSession:
        return AnnotationSession(image, self.model, overlap=self.overlap, threshold=self.threshold, name=name)
