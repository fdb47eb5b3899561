"""What can be asked about a volume: its objects through all slices, and to carry one on.

A run is done slice by slice, one request each: whoever asks sees how far it is, and stops by asking no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import Query, Response

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.volume_log import Run
from mis_lightning.errors import InputError
from mis_lightning.server import volume_messages as messages
from mis_lightning.server.context import IMAGE, ImageContext, OfImageInTab, api_router
from mis_lightning.server.messages import Change, State
from mis_lightning.server.tab_volume import TabVolume
from mis_lightning.server.workspace import ConflictError, check_revision, revision

VOLUME = IMAGE + "/volume"
router = api_router()


@router.get(VOLUME)
async def describe_volume(
    here: OfImageInTab, object: Annotated[int | None, Query(ge=1, le=65535)] = None
) -> messages.Volume:
    """The slices of the volume that this one is of, and the objects on them.

    ``object``: the one that undo and redo would be about.
    """

    def described() -> messages.Volume:
        volume, at = _volume(here), _slice(here)
        parts = volume.all_parts()
        objects = [
            messages.VolumeObject(
                id=id,
                name=name,
                parts=[messages.Part(**part._asdict()) for part in parts.get(id, [])],
            )
            for id, name in volume.names().items()
        ]
        slices = [entry.key for entry in here.server.shared.library.slices_of(here.entry)]
        default, values = here.server.shared.library.windows(here.entry)
        return messages.Volume(
            slices=slices,
            at=at,
            objects=objects,
            undo=object is not None and volume.run_to_undo(at, object),
            redo=object is not None and volume.run_to_redo(at, object),
            window=here.workspace.windows.of(here.entry) or default,
            values=values,
        )

    return await here.server.compute(here.workspace, described)


@router.get(IMAGE + "/picture", response_class=Response)
async def picture(here: OfImageInTab) -> Response:
    """The image as this tab shows it, JPEG: a slice with the tab's window."""
    library, workspace, entry = here.server.shared.library, here.workspace, here.entry
    data = await here.server.read(lambda: library.picture(entry, workspace.windows.of(entry)))
    return Response(data, media_type="image/jpeg", headers={"cache-control": "no-store"})


@router.post(VOLUME + "/window")
async def set_window(asked: messages.Window, here: OfImageInTab) -> State:
    """Show the volume with another window; ``None``: the default."""
    if asked.window is not None and not asked.window[0] < asked.window[1]:
        raise InputError(f"Expected a window (low, high) with low < high, but got {asked.window}.")
    window = None if asked.window is None else (asked.window[0], asked.window[1])
    return await _change(here, asked, lambda: here.workspace.set_window(here.entry, window))


@router.post(VOLUME + "/run")
async def begin_run(asked: messages.BeginRun, here: OfImageInTab) -> messages.Run:
    """Begin to carry an object on from this slice; nothing changes yet."""

    def begun() -> messages.Run:
        check_revision(here.workspace.open(here.entry), asked.revision)
        run = _volume(here).begin_run(asked.object, _slice(here))
        return messages.Run(after=run.after, number=run.number)

    return await here.server.compute(here.workspace, begun)


@router.post(VOLUME + "/carry")
async def carry(asked: messages.Carry, here: OfImageInTab) -> messages.Carried:
    """Do the next slice of a run that began on this one."""

    def carried() -> messages.Carried:
        volume = _volume(here, grows=True)
        if not 0 <= asked.done < len(volume):
            raise InputError(f"Expected a slice in 0..{len(volume) - 1}, but got {asked.done}.")
        run = Run(asked.object, _slice(here), asked.after, asked.number)
        done = volume.carry(run, 1 if asked.forward else -1, asked.done)
        return messages.Carried(done=None if done is None else messages.Step(**done._asdict()))

    return await here.server.compute(here.workspace, carried)


@router.post(VOLUME + "/empty")
async def empty(asked: messages.OfObject, here: OfImageInTab) -> State:
    """Say that an object is not on this slice."""
    return await here.act(asked, lambda session: session.load_mask(np.zeros(session.shape, np.bool_)))


@router.post(VOLUME + "/undo")
async def undo(asked: messages.OfObject, here: OfImageInTab) -> State:
    """Take back the last run, or the last step on this slice."""
    return await _change(here, asked, lambda: _volume(here).undo(_slice(here), asked.object))


@router.post(VOLUME + "/redo")
async def redo(asked: messages.OfObject, here: OfImageInTab) -> State:
    """Take the last undo back."""
    return await _change(here, asked, lambda: _volume(here).redo(_slice(here), asked.object))


@router.post(VOLUME + "/delete")
async def delete(asked: messages.OfObject, here: OfImageInTab) -> State:
    """Remove an object from all slices, for good."""
    return await _change(here, asked, lambda: _volume(here).delete(asked.object))


@router.post(VOLUME + "/save")
async def save(asked: Change, here: OfImageInTab) -> State:
    """Put the masks of all slices among the results; those that somebody else has changed are left."""

    def saved() -> None:
        left = []
        for entry in here.server.shared.library.slices_of(here.entry):
            if here.workspace.saved(entry) == "draft":
                try:
                    here.workspace.save(entry, revision(here.workspace.open(entry)), replace=False)
                except ConflictError:
                    left.append(entry.name)
        if left:
            raise ConflictError(
                f"Somebody else has saved masks of {', '.join(left[:5])}{', …' if left[5:] else ''} since "
                "this tab opened them. The other slices are saved; open these and save them one by one."
            )

    return await _change(here, asked, saved)


async def _change(here: ImageContext, asked: Change, work: Callable[[], Any]) -> State:
    """Do something to the volume, and describe this slice as it is then."""

    def changed() -> AnnotationSession:
        check_revision(here.workspace.open(here.entry), asked.revision)
        work()
        return here.workspace.open(here.entry)

    return await here.answer(asked.known, changed)


def _volume(here: ImageContext, grows: bool = False) -> TabVolume:
    return TabVolume.of(here.workspace, here.entry, grows)


def _slice(here: ImageContext) -> int:
    if here.entry.slice is None:
        raise InputError(f"Expected a slice of a volume, but {here.entry.name} is an image.")
    return here.entry.slice
