"""The server as one ASGI application: routes, the files of the page, and what goes wrong in words."""

from __future__ import annotations

import logging
import os
import re
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from torch import nn

from mis_lightning import __version__
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.formats.overlap import Overlap
from mis_lightning.learning.workbench import Workbench
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter
from mis_lightning.server import alike_routes, edit_routes, learning_routes, routes, volume_routes
from mis_lightning.server.access import Access, Guard
from mis_lightning.server.begun_masks import BegunMasks
from mis_lightning.server.context import ServerContext
from mis_lightning.server.library import Library
from mis_lightning.server.open_sessions import OpenSessions
from mis_lightning.server.shared_state import SharedState
from mis_lightning.server.tabs import Tabs
from mis_lightning.server.workspace import (
    ConflictError,
    NotKeptError,
    ReplacedError,
    StaleError,
    TooManyError,
)

ROUTERS = (
    routes.router,
    edit_routes.router,
    volume_routes.router,
    learning_routes.router,
    alike_routes.router,
)
"""All routes, one router for each part of the page."""
LEARNED = ".learned"
"""Folder of what was learned, inside the folder of results."""
DRAFTS = ".drafts"
"""Folder of unsaved work, inside the folder of results."""
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_STATUS: dict[type[InputError], int] = {
    StaleError: 409,
    ConflictError: 412,
    TooManyError: 409,
    NotKeptError: 507,
    ReplacedError: 410,
}
log = logging.getLogger(__name__)


def create_app(
    library: Library,
    results: Path,
    segmenter: Segmenter[Any] | None = None,
    *,
    segmenter_name: str = "merge-tree",
    overlap: Overlap = "keep",
    access: Access | None = None,
    root_path: str = "",
    begun: BegunMasks | None = None,
    learn: bool = False,
) -> FastAPI:
    """Make the server of one folder of images.

    Args:
        library: The images.
        results: Where masks go; unsaved work lies in a hidden folder in it.
        segmenter: Answers the clicks; ``None``: the merge tree of each image.
        segmenter_name: What the page calls it.
        overlap: How overlaps between objects are resolved.
        access: Who may ask; by default whoever is on this machine.
        root_path: Path below which a proxy shows the page, such as ``/annotate``; requests may come with it
            or without.
        begun: Masks that were there before, to be corrected.
        learn: Whether a model learns from what is accepted, until the page says otherwise.

    Raises:
        InputError: ``results`` is a file, or the path is none.
    """
    if root_path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", root_path):
        raise InputError(f"Expected a root path like /annotate, but got {root_path!r}.")
    access = access if access is not None else Access()
    segmenter = segmenter if segmenter is not None else MergeTreeSegmenter()
    learning = None
    if isinstance(segmenter, ClickModelSegmenter) and isinstance(segmenter.model, nn.Module):
        segmenter.model.eval()  # once: switching it back and forth in several threads would mix them
        learning = Workbench(segmenter, results / LEARNED, on=learn)
        segmenter = learning.segmenter
    store = AnnotationStore(results)
    shared = SharedState(library, store, segmenter, overlap, OpenSessions(), begun, learning)
    if begun is not None and begun.classes:
        shared.results.add_classes(begun.classes)
    app = FastAPI(
        title="mis annotate",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.server = ServerContext(shared, Tabs(results / DRAFTS, shared), access, segmenter_name)
    for router in ROUTERS:  # as they are: `include_router` works each route out again, at the first request
        app.router.routes.extend(router.routes)
    app.add_middleware(Guard, access=access, root_path=root_path)
    app.add_exception_handler(InputError, _refuse)
    app.add_exception_handler(OSError, _refuse_of_system)
    app.add_exception_handler(RequestValidationError, _refuse_message)
    page = {path.name: path.read_bytes() for path in files(__package__).joinpath("page").iterdir()}

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return _file("index.html", page["index.html"])

    @app.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name not in page:
            return JSONResponse({"detail": "There is no such file."}, 404)
        return _file(name, page[name])

    return app


def cookie_name(results: Path) -> str:
    """Name of the cookie of a server: its own, for browsers do not tell the ports of a host apart."""
    return f"mis_{zlib.crc32(str(results.resolve()).encode('utf-8', 'surrogateescape')):08x}"


def _file(name: str, data: bytes) -> Response:
    return Response(data, media_type=_KINDS[Path(name).suffix], headers={"cache-control": "no-cache"})


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
    shared = request.app.state.server.shared
    words = inside(str(error), shared.library.source, shared.results.folder)
    return JSONResponse({"detail": _plain(words)}, status)


async def _refuse_of_system(request: Request, error: Exception) -> JSONResponse:
    """Say what the system refuses, such as to write on a full disk; no path of this machine."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    log.error("%s: %s", request.url.path, error)
    return JSONResponse({"detail": _plain(f"The server could not do this: {reason}. Nothing was lost.")}, 507)


async def _refuse_message(request: Request, error: Exception) -> JSONResponse:
    """Say what is wrong without repeating what was sent, which may be anything, NaN among it."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    told = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems[:3])
    return JSONResponse({"detail": _plain("; ".join(told))}, 422)


def inside(text: str, *places: Path) -> str:
    """A text with the paths of files as they are inside a folder: whoever reads it may not know the machine.

    >>> inside("There is no image file /data/my images/a/b.png.", Path("/data/my images"))
    'There is no image file a/b.png.'
    """
    folders = {form for place in places for form in (place.absolute(), place.resolve())}
    folders |= {folder.parent for folder in folders if folder.is_file()}
    for folder in sorted(map(str, folders), key=len, reverse=True):
        text = text.replace(f"{folder}{os.sep}", "")
    return text


def _plain(text: str) -> str:
    """Text that can be sent whatever is in it."""
    return text.encode("utf-8", "backslashreplace").decode()[:1000]
