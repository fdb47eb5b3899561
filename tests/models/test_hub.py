"""Models from the hub: a small server plays it for the real client; and the cache without network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from mis_lightning.errors import InputError
from mis_lightning.models.hub import local_copy
from mis_lightning.models.initialise import load_initial_weights
from mis_lightning.models.pretrained import load_pretrained, save_pretrained

COMMITS = {"main": "1" * 40, "v2": "2" * 40}


class Hub(ThreadingHTTPServer):
    """Answers what the client asks for one repository, alice/cat."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        Thread(target=self.serve_forever, args=[0.01], daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def answer(self, status: int, body: bytes, with_body: bool, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET(with_body=False)

    def do_GET(self, with_body: bool = True) -> None:
        self.server.asked.append(self.path)
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:4] == ["api", "models", "alice", "cat"]:
            revision = parts[5] if len(parts) > 5 else "main"
            if revision not in COMMITS:
                return self.answer(404, b"{}", with_body, X_Error_Code="RevisionNotFound")
            info = {"id": "alice/cat", "sha": COMMITS[revision], "siblings": [], "tags": []}
            return self.answer(200, json.dumps(info).encode(), with_body, Content_Type="application/json")
        if parts[:3] == ["alice", "cat", "resolve"]:
            commit = COMMITS.get(parts[3], parts[3])
            body = self.server.files.get(parts[4])
            if body is None:
                return self.answer(404, b"", with_body, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            tag = f'"{hashlib.sha256(body).hexdigest()}"'
            return self.answer(200, body, with_body, ETag=tag, X_Repo_Commit=commit)
        return self.answer(404, b"{}", with_body, X_Error_Code="RepoNotFound")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(hub: Hub, tiny_click_vit, tmp_path: Path):
    """A model that the hub holds, beside files that nobody should want."""
    model = tiny_click_vit().eval()
    folder = save_pretrained(model, tmp_path / "to_publish")
    hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.files |= {"pytorch_model.bin": b"a pickle", "README.md": b"# cat"}
    return model


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    other = b.state_dict()
    return all(torch.equal(value, other[name]) for name, value in a.state_dict().items())


@pytest.mark.parametrize("name", ["alice/cat", "hf-hub:alice/cat", "hf-hub:alice/cat@v2", "alice/cat@v2"])
def test_a_name_is_fetched(hub: Hub, published, name: str) -> None:
    assert equal(published, load_pretrained(name))
    folder = local_copy(name)
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert folder.name == COMMITS["v2" if "@" in name else "main"]
    assert not any("README" in path or ".bin" in path for path in hub.asked)


def test_initial_weights_too(published, tiny_click_vit) -> None:
    model = tiny_click_vit(seed=1)
    assert not equal(published, model)
    load_initial_weights(model, "alice/cat")
    assert equal(published, model)


def test_without_network_the_cache_answers(hub: Hub, published, monkeypatch) -> None:
    local_copy("alice/cat")
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert equal(published, load_pretrained("alice/cat"))
    assert hub.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert equal(published, load_pretrained("alice/cat"))


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_and_cache_the_remedy_is_named(hub: Hub, monkeypatch, capfd, offline) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError) as caught:
        load_pretrained("alice/cat")
    message = str(caught.value)
    assert "nothing at the path alice/cat" in message
    assert ("OfflineModeIsEnabled" if offline else "ConnectError") in message
    assert "config.json and model.safetensors from http://127.0.0.1:9/alice/cat" in message
    assert "put both into one folder" in message
    assert capfd.readouterr() == ("", "")  # one message, no retries


def test_what_the_hub_does_not_have(hub: Hub, published) -> None:
    with pytest.raises(InputError, match=r"nothing at the path bob/dog.*no such model \(RepositoryNotFound"):
        load_pretrained("bob/dog")
    with pytest.raises(InputError, match=r"RevisionNotFoundError.*Check name and revision"):
        load_pretrained("alice/cat@v3")
    del hub.files["model.safetensors"]
    with pytest.raises(InputError, match=r"does not hold config\.json and model\.safetensors"):
        load_pretrained("alice/cat")
    assert not any(".bin" in path for path in hub.asked)


def test_paths_come_first(hub: Hub, published, tiny_click_vit) -> None:
    other = tiny_click_vit(seed=1)
    save_pretrained(other, Path("alice/cat"))
    assert equal(other, load_pretrained("alice/cat"))
    assert equal(published, load_pretrained("hf-hub:alice/cat"))
    hub.asked.clear()
    for path in ("alice/last.ckpt", "a/b/c", "/alice/dog", "cat", "./cat", "../cat", "alice/cat.onnx"):
        assert local_copy(path) == Path(path)
    assert hub.asked == []


@pytest.mark.parametrize("name", ["hf-hub:cat", "hf-hub:", "hf-hub:a/b/c", "hf-hub:../cat", "hf-hub:a/b c"])
def test_names_the_hub_cannot_have(hub: Hub, name: str) -> None:
    with pytest.raises(InputError, match=r"Expected hf-hub:owner/name"):
        load_pretrained(name)
    assert hub.asked == []
