"""What every route has at hand: who asks, about which image, and threads to work in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import anyio
from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, HTTPException, Path, Request

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.server import messages
from mis_lightning.server.access import Access
from mis_lightning.server.library import Entry
from mis_lightning.server.responses import describe
from mis_lightning.server.shared_state import SharedState
from mis_lightning.server.tab_volume import TabVolume
from mis_lightning.server.tabs import Tabs
from mis_lightning.server.workspace import MAX_OBJECTS, TooManyError, Workspace

T = TypeVar("T")
Number = Annotated[int, Path(ge=1, le=65535)]
IMAGE = "/tabs/{tab}/images/{image}"
"""Where a route about one image begins."""
_REFUSALS = (400, 401, 403, 404, 409, 410, 412, 413, 422, 507)


def api_router() -> APIRouter:
    """Routes below ``/api``, with what they may refuse; ``app.py`` lists them."""
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": messages.Problem, "description": "refused"} for status in _REFUSALS
    }
    return APIRouter(prefix="/api", responses=refusals)


@dataclass
class ServerContext:
    """One server.

    Attributes:
        shared: What all tabs share.
        tabs: Which tab belongs to whom.
        access: Who may ask.
        model_name: What answers clicks, in words.
    """

    shared: SharedState
    tabs: Tabs
    access: Access
    model_name: str

    def __post_init__(self) -> None:
        self._computing = CapacityLimiter(max(2, (os.cpu_count() or 2) // 2))
        self._reading = CapacityLimiter(2)  # a list of thumbnails never keeps a click waiting

    async def read(self, work: Callable[[], T]) -> T:
        """Do something that reads files, in a thread."""
        return await anyio.to_thread.run_sync(work, limiter=self._reading)

    async def compute(self, workspace: Workspace, work: Callable[[], T]) -> T:
        """Do something for a tab, in a thread, after what was asked for it before."""
        async with workspace.lock:
            with self.shared.learning.answering() if self.shared.learning is not None else nullcontext():
                return await anyio.to_thread.run_sync(work, limiter=self._computing)


@dataclass
class ImageContext:
    """One image in one tab.

    Attributes:
        server: The server.
        workspace: The tab.
        entry: The image.
    """

    server: ServerContext
    workspace: Workspace
    entry: Entry

    async def answer(self, known: Mapping[str, str], work: Callable[[], AnnotationSession]) -> messages.State:
        """Do something that gives a session, and describe it."""
        began = time.perf_counter()

        def timed() -> messages.State:
            session = work()
            state = describe(session, self.workspace.saved(self.entry), known)
            state.classes = list(self.server.shared.results.classes())
            state.times = messages.Times(
                model=1e3 * session.seconds, server=1e3 * (time.perf_counter() - began)
            )
            return state

        return await self.server.compute(self.workspace, timed)

    async def change(
        self, asked: messages.Change, action: Callable[[AnnotationSession], Any], *, grows: bool = False
    ) -> messages.State:
        """Do something to the objects of the image, as one step of undo."""

        def stepped(session: AnnotationSession) -> None:
            with session.step():
                self._focus(session, asked.object, joins=grows)
                action(session)

        return await self.answer(
            asked.known, lambda: self.workspace.change(self.entry, asked.revision, stepped, grows=grows)
        )

    async def travel(
        self, asked: messages.Change, action: Callable[[AnnotationSession], Any]
    ) -> messages.State:
        """Undo or redo."""
        return await self.answer(
            asked.known, lambda: self.workspace.change(self.entry, asked.revision, action)
        )

    async def act(self, asked: messages.Change, action: Callable[[AnnotationSession], Any]) -> messages.State:
        """Do something to the active object; without any object the first one begins."""

        def begun(session: AnnotationSession) -> None:
            if session.active is None:
                self.add_object(session, None)
            action(session)

        return await self.change(asked, begun, grows=True)

    def add_object(self, session: AnnotationSession, name: str | None) -> None:
        """Add an object; on a slice its id is new to the whole volume.

        Raises:
            TooManyError: There are too many.
            InputError: The name does not fit.
        """
        volume = None if self.entry.slice is None else TabVolume.of(self.workspace, self.entry)
        add_object(session, name, None if volume is None else volume.next_id())

    def rename(self, session: AnnotationSession, number: int, name: str) -> None:
        """Rename an object, of a volume on all slices.

        Raises:
            InputError: There is no such object, or the name does not fit.
        """
        session.rename(number, name)
        if self.entry.slice is not None:
            TabVolume.of(self.workspace, self.entry).rename(number, name, apart_from=self.entry.slice)

    def set_category(self, session: AnnotationSession, number: int, category: str | None) -> None:
        """Choose the class of an object, of a volume on all slices; ``None``: none.

        Raises:
            InputError: There is no such object, or the class is no name.
        """
        session.set_category(number, category)
        if self.entry.slice is not None:
            volume = TabVolume.of(self.workspace, self.entry)
            volume.set_category(number, category, apart_from=self.entry.slice)

    def _focus(self, session: AnnotationSession, object: int | None, joins: bool) -> None:
        """Make the object that a change is about the active one of a slice."""
        if object is None or self.entry.slice is None or session.active == object:
            return
        if session.has(object):
            session.select(object)
        elif joins:
            volume = TabVolume.of(self.workspace, self.entry)
            names = volume.names()
            if object in names:
                add_object(session, names[object], object, volume.category(object))


def add_object(
    session: AnnotationSession, name: str | None, id: int | None = None, category: str | None = None
) -> None:
    """Add an object, of the class of the one that was active, unless there are too many.

    Args:
        session: Of the image.
        name: ``None``: "object" and its id.
        id: That of another slice, or the next of a volume; ``None``: the next of the image.
        category: Its class, in place of that of the active object.

    Raises:
        TooManyError: There are.
        InputError: The name does not fit.
    """
    if len(session.objects) >= MAX_OBJECTS:
        raise TooManyError(f"There are {MAX_OBJECTS} objects on this image, as many as it can have.")
    if category is None:
        category = next((one.category for one in session.objects if one.id == session.active), None)
    session.add_object(name, id, category)


KeyInPath = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]


def _server(request: Request) -> ServerContext:
    server: ServerContext = request.app.state.server
    return server


InServer = Annotated[ServerContext, Depends(_server)]


def _session(request: Request, server: InServer) -> str:
    session = server.access.session(request.headers.get("cookie", ""))
    if session is None:
        raise HTTPException(401, "This browser is not known here; load the page again.")
    return session


OfSession = Annotated[str, Depends(_session)]


def _workspace(server: InServer, session: OfSession, tab: KeyInPath) -> Workspace:
    return server.tabs.workspace(session, tab)


OfTab = Annotated[Workspace, Depends(_workspace)]


def _entry(server: InServer, session: OfSession, image: KeyInPath) -> Entry:
    try:
        return server.shared.library[image]
    except KeyError:
        raise HTTPException(404, "There is no such image; load the page again.") from None


OfImage = Annotated[Entry, Depends(_entry)]


def _image_in_tab(server: InServer, workspace: OfTab, entry: OfImage) -> ImageContext:
    return ImageContext(server, workspace, entry)


OfImageInTab = Annotated[ImageContext, Depends(_image_in_tab)]
