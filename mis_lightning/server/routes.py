"""What can be asked of the server, one function for each question; other parts have routes of their own.

Whatever computes or reads files runs in a thread, so that the server answers others meanwhile; the work of
one tab is done in its order.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, HTTPException, Query, Request, Response

from mis_lightning import __version__
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter
from mis_lightning.server import messages
from mis_lightning.server.context import (
    IMAGE,
    InServer,
    KeyInPath,
    Number,
    OfImage,
    OfImageInTab,
    OfSession,
    OfTab,
    api_router,
)
from mis_lightning.server.download import pack
from mis_lightning.server.mask_upload import read_png
from mis_lightning.server.responses import levels_at

COOKIE_AGE = 365 * 24 * 3600
"""Seconds that a browser is remembered."""
router = api_router()


@router.post("/tabs")
async def open_tab(
    asked: messages.OpenTab, request: Request, response: Response, server: InServer
) -> messages.Tab:
    """Begin: the browser gets its cookie, the page its tab."""
    access, header = server.access, request.headers.get("cookie", "")
    session = access.session(header)
    if session is None:
        if not access.opens(asked.token):
            raise HTTPException(401, "The token is missing or wrong.")
        session = access.session(header, signed=False) or access.new_session()
    path = request.scope["root_path"] or "/"
    response.set_cookie(
        access.cookie, access.sign(session), max_age=COOKIE_AGE, path=path, httponly=True, samesite="strict"
    )
    tab = await server.read(lambda: server.tabs.claim(session, asked.tab, asked.open))
    return messages.Tab(tab=tab)


@router.post("/tabs/{tab}/leave", status_code=204)
async def leave_tab(tab: KeyInPath, server: InServer, session: OfSession) -> None:
    """A page was closed."""
    server.tabs.leave(session, tab)


@router.get("/info")
async def info(server: InServer, session: OfSession) -> messages.Info:
    """Facts about the server."""
    return messages.Info(
        version=__version__,
        model=server.model_name,
        trained=not isinstance(server.shared.segmenter, MergeTreeSegmenter),
        results=str(server.shared.results.folder),
        volumes=bool(server.shared.library.volumes()),
        granularity=server.shared.segmenter.takes_granularity,
    )


@router.get("/images/{image}/thumbnail", response_class=Response)
async def thumbnail(server: InServer, entry: OfImage) -> Response:
    """A small JPEG."""
    data = await server.read(lambda: server.shared.library.thumbnail(entry))
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


@router.get("/images/{image}/picture", response_class=Response)
async def picture(server: InServer, entry: OfImage) -> Response:
    """The image as the page shows it, JPEG."""
    data = await server.read(lambda: server.shared.library.picture(entry))
    return Response(data, media_type="image/jpeg", headers={"cache-control": "no-store"})


@router.get("/tabs/{tab}/images")
async def list_images(server: InServer, workspace: OfTab) -> list[messages.ImageLine]:
    """All images, and how far they are in this tab."""

    def lines() -> list[messages.ImageLine]:
        return [
            messages.ImageLine(
                key=entry.key,
                name=entry.name,
                state=workspace.saved(entry),
                objects=workspace.count(entry),
                volume=entry.volume,
            )
            for entry in server.shared.library.refresh()
        ]

    return await server.compute(workspace, lines)


@router.get("/tabs/{tab}/export", response_class=Response)
async def export(
    server: InServer, workspace: OfTab, format: Annotated[messages.ExportFormat, Query()]
) -> Response:
    """Everything annotated, as this tab shows it, in one file."""
    volumes = server.shared.library.volumes
    name, data = await server.compute(workspace, lambda: pack(workspace.shown(), format, volumes()))
    kind = "application/json" if name.endswith(".json") else "application/zip"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(data, media_type=kind, headers=headers)


@router.get(IMAGE)
async def open_image(here: OfImageInTab) -> messages.State:
    """Everything about an image, all masks included."""
    return await here.answer({}, lambda: here.workspace.open(here.entry))


@router.post(IMAGE + "/levels")
async def levels(asked: messages.Pixel, here: OfImageInTab) -> messages.Levels:
    """The regions that the merge tree proposes about a pixel; nothing changes."""
    return await here.server.compute(
        here.workspace, lambda: levels_at(here.workspace.open(here.entry), asked.row, asked.col)
    )


@router.post(IMAGE + "/click")
async def click(asked: messages.Click, here: OfImageInTab) -> messages.State:
    """Click on what belongs to the active object, or does not."""
    return await here.act(asked, lambda session: session.click(asked.row, asked.col, asked.positive))


@router.post(IMAGE + "/scribble")
async def scribble(asked: messages.Line, here: OfImageInTab) -> messages.State:
    """Click along a line."""
    return await here.act(asked, lambda session: session.scribble(asked.points, asked.positive))


@router.post(IMAGE + "/box")
async def box(asked: messages.Box, here: OfImageInTab) -> messages.State:
    """Start the active object from a box."""
    edges = (asked.top, asked.left, asked.bottom, asked.right)
    return await here.act(asked, lambda session: session.box(*edges))


@router.post(IMAGE + "/level")
async def level(asked: messages.Level, here: OfImageInTab) -> messages.State:
    """Start the active object from a region of the merge tree."""
    return await here.act(asked, lambda session: session.choose_level(asked.row, asked.col, asked.level))


@router.post(IMAGE + "/look")
async def look(asked: messages.Change, here: OfImageInTab) -> messages.State:
    """Take the next of the answers to the first click."""
    return await here.act(asked, lambda session: session.next_look())


@router.post(IMAGE + "/granularity")
async def granularity(asked: messages.Granularity, here: OfImageInTab) -> messages.State:
    """Answer the clicks on the active object again for an object of this size."""
    return await here.change(asked, lambda session: session.set_granularity(asked.granularity), grows=True)


@router.post(IMAGE + "/mask")
async def load_mask(
    data: Annotated[bytes, Body(media_type="image/png")],
    revision: Annotated[messages.Key, Query()],
    here: OfImageInTab,
) -> messages.State:
    """Start the active object from a PNG of two values, as large as the image."""
    asked = messages.Change(revision=revision)
    return await here.act(asked, lambda session: session.load_mask(read_png(data, session.shape)))


@router.post(IMAGE + "/objects")
async def new_object(asked: messages.NewObject, here: OfImageInTab) -> messages.State:
    """A new object, which becomes the active one."""
    return await here.change(asked, lambda session: here.add_object(session, asked.name))


@router.post(IMAGE + "/objects/{number}/select")
async def select_object(number: Number, asked: messages.Change, here: OfImageInTab) -> messages.State:
    """Work on another object."""
    return await here.change(asked, lambda session: session.select(number))


@router.patch(IMAGE + "/objects/{number}")
async def rename_object(number: Number, asked: messages.Rename, here: OfImageInTab) -> messages.State:
    """Rename an object."""
    return await here.change(asked, lambda session: here.rename(session, number, asked.name))


@router.delete(IMAGE + "/objects/{number}")
async def delete_object(number: Number, asked: messages.Change, here: OfImageInTab) -> messages.State:
    """Remove an object."""
    return await here.change(asked, lambda session: session.delete(number))


@router.post(IMAGE + "/undo")
async def undo(asked: messages.Change, here: OfImageInTab) -> messages.State:
    """Take the last step on the image back."""
    return await here.travel(asked, lambda session: session.undo())


@router.post(IMAGE + "/redo")
async def redo(asked: messages.Change, here: OfImageInTab) -> messages.State:
    """Take the last undo back."""
    return await here.travel(asked, lambda session: session.redo())


@router.post(IMAGE + "/reset")
async def reset(asked: messages.Change, here: OfImageInTab) -> messages.State:
    """Empty the active object; that can be undone."""
    return await here.change(asked, lambda session: session.reset())


@router.post(IMAGE + "/save")
async def save(asked: messages.Save, here: OfImageInTab) -> messages.State:
    """Put the masks among the results."""
    return await here.answer(
        asked.known, lambda: here.workspace.save(here.entry, asked.revision, replace=asked.replace)
    )


@router.post(IMAGE + "/discard")
async def discard(asked: messages.Change, here: OfImageInTab) -> messages.State:
    """Drop what this tab has done since the image was saved last."""
    return await here.answer(asked.known, lambda: here.workspace.discard(here.entry, asked.revision))


@router.post(IMAGE + "/adopt")
async def adopt(asked: messages.Adopt, here: OfImageInTab) -> messages.State:
    """Go on with the image that has taken the place of the annotated one on disk."""
    return await here.answer({}, lambda: here.workspace.adopt(here.entry, masks=asked.masks))
