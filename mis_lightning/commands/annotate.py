"""``mis annotate IMAGES``: the annotation page, in the browser."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from fastapi import FastAPI

from mis_lightning.annotation.class_list import read_classes
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.commands import options
from mis_lightning.console import counted
from mis_lightning.errors import InputError
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.registry import label_of, open_segmenter
from mis_lightning.server.access import Access
from mis_lightning.server.app import cookie_name, create_app
from mis_lightning.server.begun_masks import BegunMasks
from mis_lightning.server.library import Library

MAX_CONNECTIONS = 256
"""Most simultaneous connections; further ones are asked to retry."""


def main(args: Sequence[str]) -> int:
    """Run ``mis annotate IMAGES [--model NAME] [--out DIR] …`` until it is interrupted.

    Raises:
        InputError: The options do not fit, there is no image, or the port is taken.
    """
    given = options.annotate().parse_args(list(args))
    source: Path = given.images
    out: Path = given.out if given.out is not None else default_out(source)
    reading = options.reading(given)
    store = AnnotationStore(out)
    store.check_writable()
    if given.classes is not None:
        store.add_classes(read_classes(given.classes))
    begun = None
    if given.masks is not None:
        begun = BegunMasks(source, given.masks, reading, given.axis, given.ignore_label)
    left_out = [out] if begun is None else [out, *begun.without_images()]
    library = Library(source, leave_out=left_out, reading=reading, axis=given.axis)
    for path, reason in library.left_out.items():
        print(f"left out: {path} ({reason})")
    if not len(library):
        raise InputError(f"None of the images in {source} can be shown.")
    segmenter, name = open_segmenter(given.model, device=given.device), label_of(given.model)
    token = given.token
    names = tuple(given.allow_host)
    asked = Access(given.host, "0" * 32 if token is None else token, names=names)  # whether one is needed
    token = secrets.token_urlsafe(24) if token is None and asked.needs_token else token
    access = Access(given.host, token, cookie_name(out), names)
    app = create_app(
        library,
        out,
        segmenter,
        segmenter_name=name,
        overlap=given.overlap,
        access=access,
        root_path=given.root_path,
        learn=given.learn,
        begun=begun,
    )
    listening = _listen(given.host, given.port)
    url = address(given.host, listening.getsockname()[1], token)
    if begun is not None:
        print(f"{counted(len(begun), 'image')} with masks from {given.masks}, to be corrected.")
    print(
        f"{counted(len(library), 'image')} from {source}; masks go to {out}; clicks are answered by {name}."
    )
    if access.needs_token:
        print("Whoever has the token below can see the images. The connection is not encrypted.")
    print(f"\n    {url}\n")
    for one in names:
        behind = address(one, None, token, given.root_path)
        print(f"    {behind}    (through the proxy of that name)\n")
    warm = Event()
    warming = Thread(target=_warm_up_once, args=(segmenter, warm), daemon=True)
    atexit.register(_leave, warm)
    with contextlib.suppress(KeyboardInterrupt):  # as invited
        print("Ctrl+C ends it.", flush=True)
        warming.start()
        if given.open:
            webbrowser.open(url)
        _serve(app, listening)
    return 0


def _serve(app: FastAPI, listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _leave(warm: Event) -> None:
    """End the process while the model may still warm up.

    It computes in C++, which aborts the process ("terminate called …") when Python's interpreter goes away.
    """
    if not warm.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _warm_up_once(segmenter: Segmenter[Any], warm: Event) -> None:
    try:
        warm_up(segmenter)
    finally:
        warm.set()


def warm_up(segmenter: Segmenter[Any]) -> None:
    """Compile and load what the first click needs."""
    session = AnnotationSession(np.zeros((64, 64, 3), np.uint8), segmenter)
    session.add_object()
    session.levels(32, 32)
    session.click(32, 32)


def default_out(source: Path) -> Path:
    """The default output folder: beside the images, named after them."""
    source = source.absolute()
    return source.with_name(f"{source.stem if source.is_file() else source.name}_masks")


def address(host: str, port: int | None, token: str | None, root_path: str = "") -> str:
    """The URL to open; the token is in its fragment, which browsers do not send.

    Args:
        host: Where the server listens, or the name of a proxy.
        port: ``None``: that of HTTPS, at a proxy.
        token: What browsers must enter, if anything.
        root_path: Below which the page lies.
    """
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    name = f"[{name}]" if ":" in name and not name.startswith("[") else name
    place = f"https://{name}" if port is None else f"http://{name}:{port}"
    return f"{place}{root_path}/" + (f"#token={token}" if token is not None else "")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()  # a browser that is faster than the server waits for it
    except (OSError, OverflowError) as error:
        raise InputError(
            f"Cannot listen on {host}, port {port}: {error}. Choose another with `--port`."
        ) from error
    return listening
