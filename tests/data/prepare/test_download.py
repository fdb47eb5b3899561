from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mis_lightning.data.prepare.download import fetch, fetch_any, unpack
from mis_lightning.errors import DatasetNotFoundError

CONTENT = np.random.default_rng(5).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    """A server of one file that can break off in the middle, and that remembers the ranges asked for."""
    state = SimpleNamespace(ranges=[], stop_after=None, honours_ranges=True, content=CONTENT)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            if self.path == "/gone":
                self.send_error(404)
                return
            start = (
                int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.honours_ranges else 0
            )
            if start >= len(state.content):
                self.send_error(416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if state.stop_after is None else body[: state.stop_after])

        def log_message(self, *_: object) -> None:
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{service.server_port}/file.zip"
    yield state
    service.shutdown()
    thread.join()
    service.server_close()


@pytest.mark.parametrize("honours_ranges", [True, False])
def test_fetch_resumes(tmp_path: Path, server: SimpleNamespace, honours_ranges: bool) -> None:
    target = tmp_path / "new" / "file.zip"
    server.honours_ranges = honours_ranges
    server.stop_after = 120_000
    with pytest.raises(DatasetNotFoundError, match=r"Could not download http.*120000 of 300000 bytes.*again"):
        fetch(server.url, target, f"sha256:{SHA256}")
    assert not target.exists()
    server.stop_after = None
    assert fetch(server.url, target, f"sha256:{SHA256}") == target
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=120000-"]
    assert not target.with_name("file.zip.part").exists()
    fetch(server.url, target, f"sha256:{SHA256}")
    assert len(server.ranges) == 2  # a file that is there is only verified


def test_fetch_finishes_a_part_that_is_whole(tmp_path: Path, server: SimpleNamespace) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "file.zip", f"sha256:{SHA256}")
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_fetch_refuses_another_digest(tmp_path: Path, server: SimpleNamespace) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest()
    fetch(server.url, tmp_path / "file.zip", f"md5:{md5}")
    (tmp_path / "file.zip").write_bytes(CONTENT[:-1])
    with pytest.raises(
        DatasetNotFoundError, match=rf"file\.zip has the md5 digest .* but {md5} was expected"
    ):
        fetch(server.url, tmp_path / "file.zip", f"md5:{md5}")


def test_fetch_records_an_unknown_digest(
    tmp_path: Path, server: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "file.zip"
    fetch(server.url, target, None)
    assert f"recorded its SHA-256 {SHA256}" in capsys.readouterr().out
    assert (tmp_path / "file.zip.sha256").read_text(encoding="utf-8") == f"{SHA256}  file.zip\n"
    target.unlink()
    server.content = CONTENT[:-1]
    with pytest.raises(DatasetNotFoundError, match=f"{SHA256} was expected"):
        fetch(server.url, target, None)


def test_fetch_says_that_an_address_is_gone(tmp_path: Path, server: SimpleNamespace) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"gone.*404.*put it at"):
        fetch(server.url.replace("file.zip", "gone"), tmp_path / "a.zip", None)
    assert list(tmp_path.iterdir()) == []


def test_the_next_mirror_takes_over(tmp_path: Path, server: SimpleNamespace) -> None:
    gone, target = server.url.replace("file.zip", "gone"), tmp_path / "a.zip"
    assert fetch_any([gone, server.url], target, f"sha256:{SHA256}").read_bytes() == CONTENT
    target.unlink()
    other = tmp_path / "other.zip"  # there, but another file: its digest tells
    other.write_bytes(b"something else")
    assert fetch_any([other.as_uri(), server.url], target, f"sha256:{SHA256}").read_bytes() == CONTENT
    assert fetch_any([gone], target, f"sha256:{SHA256}") == target  # there already: only verified
    target.write_bytes(b"mine")
    with pytest.raises(DatasetNotFoundError, match="damaged"):
        fetch_any([gone, server.url], target, f"sha256:{SHA256}")
    assert target.read_bytes() == b"mine"  # what a user put there is not deleted
    target.unlink()
    with pytest.raises(DatasetNotFoundError, match=r"(?s)gone.*404.*was expected.*other\.zip"):
        fetch_any([gone, other.as_uri()], target, f"sha256:{SHA256}")


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def make_tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("make", [make_zip, make_tgz])
def test_unpack_drops_a_single_top_folder(tmp_path: Path, make: object) -> None:
    archive = tmp_path / ("a.zip" if make is make_zip else "a.tgz")
    make(archive, {"DAVIS345/img/0.jpg": b"x", "DAVIS345/gt/0.png": b"y", "__MACOSX/._x": b"z"})
    unpack(archive, tmp_path / "data" / "DAVIS")
    files = sorted(p.relative_to(tmp_path / "data").as_posix() for p in (tmp_path / "data").rglob("*.*"))
    assert files == ["DAVIS/gt/0.png", "DAVIS/img/0.jpg"]


def test_unpack_without_top_folder_and_with_a_choice(tmp_path: Path) -> None:
    make_zip(tmp_path / "a.zip", {"img/0.jpg": b"x", "gt/0.png": b"y"})
    assert (unpack(tmp_path / "a.zip", tmp_path / "A") / "gt" / "0.png").read_bytes() == b"y"
    members = {"benchmark_RELEASE/dataset/val.txt": b"v", "benchmark_RELEASE/code.m": b"c", "other/x": b"o"}
    make_tgz(tmp_path / "b.tgz", members)
    unpack(tmp_path / "b.tgz", tmp_path / "SBD", ("benchmark_RELEASE/dataset",))
    assert [p.relative_to(tmp_path).as_posix() for p in (tmp_path / "SBD").rglob("*.*")] == [
        "SBD/dataset/val.txt"
    ]


def test_unpack_is_all_or_nothing(tmp_path: Path) -> None:
    archive = make_tgz(tmp_path / "a.tgz", {"A/x": CONTENT, "A/y": CONTENT})
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetNotFoundError, match=r"a\.tgz is damaged.*Delete it"):
        unpack(archive, tmp_path / "A")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]
    archive.write_bytes(data)
    (tmp_path / "A").mkdir()
    with pytest.raises(DatasetNotFoundError, match="exists already"):
        unpack(archive, tmp_path / "A")


def test_unpack_stays_in_its_folder(tmp_path: Path) -> None:
    archive = make_tgz(tmp_path / "a.tgz", {"../evil": b"x"})
    with pytest.raises(DatasetNotFoundError, match="damaged"):
        unpack(archive, tmp_path / "deep" / "A")
    assert not list(tmp_path.rglob("evil"))
