"""A folder of small photographs, a server of it, and a browser without a screen."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from mis_lightning.server.access import Access
from mis_lightning.server.app import create_app
from mis_lightning.server.library import Library

HOST = "127.0.0.1:8765"


def picture(height: int = 60, width: int = 80) -> np.ndarray:
    """A red and a blue box on grey, with a little noise."""
    image = np.full((height, width, 3), 120, np.uint8)
    image[height // 6 : height // 2, width // 8 : width // 2] = (200, 40, 40)
    image[height // 2 : -height // 8, width // 2 : -width // 8] = (40, 60, 200)
    noise = np.random.default_rng(0).integers(-6, 7, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def apart(work: Coroutine[Any, Any, Any]) -> Any:
    """``asyncio.run`` in a thread of its own: that of the tests may have the browser's loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


class Page:
    """What a page does: it has a cookie, a tab, the revision it saw and the masks it has."""

    def __init__(
        self, app: Any, token: str | None = None, tab: str | None = None, cookies: Any = None
    ) -> None:
        self.client = TestClient(
            app,
            base_url=f"http://{HOST}",
            headers={"origin": f"http://{HOST}"},
            cookies=cookies,
            raise_server_exceptions=False,
        )
        answer = self.client.post("/api/tabs", json={"tab": tab, "token": token})
        assert answer.status_code == 200, answer.text
        self.tab = answer.json()["tab"]
        self.images = {line["name"]: line for line in self.list()}
        self.image = next(iter(self.images))
        self.masks: dict[str, str] = {}
        self.state: dict[str, Any] = {}

    def list(self) -> list[dict[str, Any]]:
        return self.client.get(f"/api/tabs/{self.tab}/images").json()

    def url(self, path: str = "") -> str:
        return f"/api/tabs/{self.tab}/images/{self.images[self.image]['key']}{path and '/' + path}"

    def open(self, name: str | None = None) -> dict[str, Any]:
        self.image = name or self.image
        self.masks = {}
        return self.take(self.client.get(self.url()))

    def take(self, answer: Any) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        self.state = answer.json()
        for one in self.state["objects"]:
            self.masks[str(one["id"])] = one["mask"]["version"]
        return self.state

    def ask(self, path: str, method: str = "POST", **body: Any) -> Any:
        """A change; the answer whatever it is."""
        body.setdefault("revision", self.state["revision"])
        return self.client.request(method, self.url(path), json=body)

    def do(self, path: str, method: str = "POST", **body: Any) -> dict[str, Any]:
        """A change that succeeds; its new state."""
        return self.take(self.ask(path, method, **body))


@pytest.fixture
def open_page() -> type[Page]:
    """Opens the page of a server, as another browser would."""
    return Page


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(picture()).save(folder / "a.png")
    Image.fromarray(picture(48, 64)).save(folder / "sub" / "b.png")
    return folder


@pytest.fixture
def make_app(photos: Path, tmp_path: Path) -> Callable[..., Any]:
    """Makes servers of the photographs that save into the same folder."""

    def make(**options: Any) -> Any:
        results = options.pop("results", tmp_path / "masks")
        return create_app(Library(photos, results), results, **options)

    return make


@pytest.fixture
def app(make_app: Callable[..., Any]) -> Any:
    return make_app(access=Access())


@pytest.fixture
def page(app: Any) -> Page:
    opened = Page(app)
    opened.open()
    return opened


CHROMIUM = Path(os.environ.get("MIS_CHROMIUM", "/usr/bin/chromium"))
PATIENCE = 60_000  # milliseconds; a busy machine is slow


class Server:
    """The application behind a real socket, in a thread."""

    def __init__(self, app) -> None:
        import uvicorn

        self.server = uvicorn.Server(
            uvicorn.Config(app, port=0, log_level="error", ws="none", timeout_graceful_shutdown=1)
        )
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}/"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(scope="package")
def chromium() -> Iterator:
    """One browser for the tests of this folder; without Chromium they are skipped.

    Beside it the main thread can run no other event loop (:func:`apart`).
    """
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.is_file():
        pytest.skip(f"no Chromium at {CHROMIUM}; MIS_CHROMIUM says where")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def serve(make_app) -> Iterator:
    running = []

    def start(**options) -> str:
        running.append(Server(make_app(**options)))
        return running[-1].url

    yield start
    for server in running:
        server.stop()


class Tab:
    """A tab, and what a user does in it."""

    def __init__(self, context, url: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda m: m.type == "error" and self.problems.append(m.text))
        self.page.goto(url)
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_selector("#canvas[data-revision]")

    def expect(self, selector: str):
        """Playwright's assertions, which wait: what a page shows follows what was done a little later."""
        from playwright.sync_api import expect

        expect.set_options(timeout=PATIENCE)
        return expect(self.page.locator(selector))

    @property
    def revision(self) -> str:
        return self.page.get_attribute("#canvas", "data-revision")

    def changes(self, do) -> None:
        """Do something, and wait until the page shows what it led to."""
        before = self.revision
        do()
        self.page.wait_for_function(
            """before => {
                const now = document.getElementById('canvas').dataset.revision;
                return now && now !== before;
            }""",
            arg=before,
        )

    def place(self, row: float, col: float) -> tuple[float, float]:
        """Where a pixel of the image is in the window, by what the page says of itself."""
        return tuple(
            self.page.evaluate(
                """async ([row, col]) => {
                    const { view } = await import('/page/main.js');
                    const box = view.canvas.getBoundingClientRect();
                    const [x, y] = view.place({ row, col });
                    return [box.x + x, box.y + y];
                }""",
                [row, col],
            )
        )

    def click(self, row: float, col: float, **options) -> None:
        self.changes(lambda: self.page.mouse.click(*self.place(row, col), **options))

    def drag(self, start: tuple[float, float], end: tuple[float, float], **options) -> None:
        """Press at one pixel of the image, and let go at another."""
        (x, y), to = self.place(*start), self.place(*end)
        self.page.mouse.move(x, y)
        self.page.mouse.down(**options)
        self.page.mouse.move(*to, steps=4)
        self.page.mouse.up(**options)

    def clicks(self) -> list[list]:
        """The clicks of the active object, as (row, col, whether it adds)."""
        return self.page.evaluate(
            """async () => {
                const { page } = await import('/page/page.js');
                return page.active().clicks.map(({ row, col, positive }) => [row, col, positive]);
            }"""
        )

    def press(self, key: str) -> None:
        self.changes(lambda: self.page.keyboard.press(key))

    def areas(self) -> list[int]:
        texts = self.page.locator("#object-list .text small").all_inner_texts()
        return [int(text.split(" ")[0].replace(",", "")) if " px" in text else 0 for text in texts]

    def names(self) -> list[str]:
        return self.page.locator("#object-list .name").all_inner_texts()

    def colour(self, row: float, col: float) -> np.ndarray:
        """What is painted there, RGB."""
        x, y = self.place(row, col)
        shot = self.page.screenshot(clip={"x": int(x), "y": int(y), "width": 1, "height": 1})
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.int64)[0, 0]

    def status(self) -> str:
        return self.page.inner_text("#status")


@pytest.fixture
def open_tab(chromium) -> Iterator:
    contexts, tabs = [], []

    def start(url: str, context=None, **options) -> Tab:
        if context is None:
            context = chromium.new_context(viewport={"width": 1280, "height": 800}, **options)
            contexts.append(context)
        tabs.append(Tab(context, url))
        return tabs[-1]

    yield start
    problems = [problem for tab in tabs for problem in tab.problems]
    for context in contexts:
        context.close()
    assert problems == []  # no script failed, and the policy of the page let everything through
