"""Requests and responses about objects alike."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mis_lightning.server.alike_board import State
from mis_lightning.server.messages import Answer, Change, Mask, Question

MAX_PROPOSALS = 1000
"""Most proposals of one image that a page is shown."""
Numbers = Annotated[
    list[Annotated[int, Field(ge=1, le=2**53)]], Field(min_length=1, max_length=MAX_PROPOSALS)
]


class Find(Question):
    """Search; ``folder``: on all images, not on this one alone."""

    folder: bool = False


class Chosen(Question):
    """Some proposals."""

    proposals: Numbers


class Accept(Change):
    """Proposals that become objects, as one step of undo."""

    proposals: Numbers


class OneProposal(Answer):
    """A proposal: how likely it has an IoU of at least 0.5 with an object, and its pixels."""

    id: int
    score: float
    mask: Mask


class Proposals(Answer):
    """The proposals of one image, best first, and how far the search is, in images."""

    state: State
    done: int
    total: int
    message: str
    proposals: list[OneProposal]
