"""What can be asked about objects alike: find, accept, reject."""

from __future__ import annotations

from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from mis_lightning.alike.model import MarkedImage
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.console import counted
from mis_lightning.errors import InputError
from mis_lightning.server import alike_messages as messages
from mis_lightning.server.alike_board import AlikeBoard
from mis_lightning.server.context import IMAGE, ImageContext, OfImageInTab, api_router
from mis_lightning.server.library import Entry
from mis_lightning.server.messages import State, to_mask
from mis_lightning.server.pixel_runs import mask_runs
from mis_lightning.server.workspace import Workspace

ALIKE = IMAGE + "/alike"
MAX_IMAGES, MAX_EXAMPLES = 6, 60
"""Images that are learned from, and objects of each."""
router = api_router()
_boards: WeakKeyDictionary[Workspace, AlikeBoard] = WeakKeyDictionary()


@router.get(ALIKE)
async def proposals(here: OfImageInTab) -> messages.Proposals:
    """The proposals of an image, without those that objects cover by more than half."""
    return await here.server.compute(here.workspace, lambda: _shown(here))


@router.post(ALIKE)
async def find(asked: messages.Find, here: OfImageInTab) -> messages.Proposals:
    """Search for what looks like the objects of this tab, of the active object's class if it has one."""

    def begun() -> messages.Proposals:
        board, library = _board(here), here.server.shared.library
        active = here.workspace.open(here.entry)
        kind = next((one.category for one in active.objects if one.id == active.active), None)
        entries = [here.entry, *(entry for entry in library.refresh() if entry.key != here.entry.key)]
        marked: list[MarkedImage] = []
        for entry in entries:
            if len(marked) < MAX_IMAGES:
                one = _marked(here, entry, kind)
                marked += [one] if one is not None else []
        if not any(one.examples for one in marked):
            raise InputError("Mark an object or two by clicks first; then others like them can be found.")
        targets = entries if asked.folder else entries[:1]
        now = active.record()  # the thread does not touch the session, which clicks change meanwhile
        board.begin(marked, {entry.key: partial(_target, here, entry, now) for entry in targets})
        return _shown(here)

    return await here.server.compute(here.workspace, begun)


@router.post(ALIKE + "/cancel")
async def cancel(here: OfImageInTab) -> messages.Proposals:
    """Stop the search."""
    _board(here).cancel()
    return await here.server.compute(here.workspace, lambda: _shown(here))


@router.post(ALIKE + "/accept")
async def accept(asked: messages.Accept, here: OfImageInTab) -> State:
    """Make objects of proposals."""

    def action(session: AnnotationSession) -> None:
        found = _board(here).found(here.entry.key)
        if not set(asked.proposals) <= set(found):
            raise InputError("These proposals are no longer there; find them again.")
        with session.step(counted(len(asked.proposals), "accepted proposal")):
            for number in asked.proposals:
                here.add_object(session, None)
                session.load_mask(found[number].whole(session.shape))

    return await here.change(asked, action, grows=True)


@router.post(ALIKE + "/reject")
async def reject(asked: messages.Chosen, here: OfImageInTab) -> messages.Proposals:
    """Take proposals off the list; they teach the next search."""
    _board(here).reject(here.entry.key, asked.proposals)
    return await here.server.compute(here.workspace, lambda: _shown(here))


@router.post(ALIKE + "/restore")
async def restore(asked: messages.Chosen, here: OfImageInTab) -> messages.Proposals:
    """Put rejected proposals back."""
    _board(here).restore(here.entry.key, asked.proposals)
    return await here.server.compute(here.workspace, lambda: _shown(here))


def _board(here: ImageContext) -> AlikeBoard:
    return _boards.setdefault(here.workspace, AlikeBoard())


def _shown(here: ImageContext) -> messages.Proposals:
    board = _board(here)
    search = board.search
    session = here.workspace.open(here.entry)
    objects = session.label_map() > 0
    shown: list[messages.OneProposal] = []
    for number, one in board.found(here.entry.key).items():
        covered = np.count_nonzero(objects[one.box] & one.mask)
        if covered <= np.count_nonzero(one.mask) / 2 and len(shown) < messages.MAX_PROPOSALS:
            mask = to_mask(mask_runs(one.whole(session.shape)), None)
            shown.append(messages.OneProposal(id=number, score=one.score, mask=mask))
    return messages.Proposals(
        state=search.state, done=search.done, total=search.total, message=search.message, proposals=shown
    )


def _record(here: ImageContext, entry: Entry) -> AnnotationRecord | None:
    if entry.key == here.entry.key:
        return here.workspace.open(entry).record()
    return here.workspace.record(entry)


def _marked(here: ImageContext, entry: Entry, kind: str | None) -> MarkedImage | None:
    """What is marked on an image: objects of the class sought, and those of others and rejections as none."""
    record = _record(here, entry)
    rejected = [one.whole(record.log.shape) for one in _board(here).rejected(entry.key)] if record else []
    if record is None or not (record.counts or rejected):
        return None
    examples: list[NDArray[np.bool_]] = []
    for one in record.log.objects:
        mask = record.own_mask(one.id)
        if mask.any():
            (examples if kind is None or one.category == kind else rejected).append(mask)
    if not (examples or rejected):
        return None
    image = here.server.shared.library.read(entry).rgb
    return MarkedImage(image, examples[-MAX_EXAMPLES:], rejected[-MAX_EXAMPLES:])


def _target(
    here: ImageContext, entry: Entry, now: AnnotationRecord
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """An image, and what is marked or was rejected on it; ``now`` is the record of the open one."""
    image = here.server.shared.library.read(entry).rgb
    shape = (image.shape[0], image.shape[1])
    taken = np.zeros(shape, np.bool_)
    record = now if entry.key == here.entry.key else here.workspace.record(entry)
    if record is not None and record.log.shape == shape:
        for number in record.counts:
            taken |= record.own_mask(number)
    for one in _board(here).rejected(entry.key):
        taken[one.box] |= one.mask
    return image, taken
