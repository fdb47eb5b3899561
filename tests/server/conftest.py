"""A folder of small photographs, a server of it, and a browser without a screen."""

from __future__ import annotations

from collections.abc import Callable
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
