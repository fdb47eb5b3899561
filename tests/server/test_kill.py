"""SIGKILL while it saves: what was answered is there, and nothing half written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest
from PIL import Image

from mis_lightning.annotation.store import AnnotationStore

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX")


class Server:
    """``mis annotate`` in a process of its own."""

    def __init__(self, photos, out):
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mis_lightning",
                "annotate",
                str(photos),
                "--out",
                str(out),
                "--model",
                "merge-tree",
                "--port",
                "0",
            ],
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for line in self.process.stdout:
            if "http://" in line:
                self.url = line.strip().rstrip("/")
                return
        raise AssertionError("It did not start.")

    def client(self, cookies=None):
        return httpx.Client(base_url=self.url, headers={"origin": self.url}, cookies=cookies, timeout=60)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def killed_while_clicking(photos, out, rounds):
    cookies, tab, kept = None, None, None
    clicks = 0
    for number in range(rounds):
        server = Server(photos, out)
        try:
            with server.client(cookies) as client:
                tab = client.post("/api/tabs", json={"tab": tab}).json()["tab"]
                cookies = client.cookies
                key = client.get(f"/api/tabs/{tab}/images").json()[0]["key"]
                url = f"/api/tabs/{tab}/images/{key}"
                state = client.get(url).json()
                found = sum(one["actions"] for one in state["objects"])
                assert found in (clicks, clicks + 1), f"round {number}: {found} of {clicks} clicks"
                clicks = found
                if kept is not None and kept["revision"] == state["revision"]:
                    assert [one["mask"] for one in state["objects"]] == [
                        one["mask"] for one in kept["objects"]
                    ]
                timer = threading.Timer(0.01 + 0.037 * number, server.kill)
                try:
                    while True:
                        body = {"revision": state["revision"], "row": clicks % 60, "col": (7 * clicks) % 80}
                        answer = client.post(f"{url}/click", json=body)
                        assert answer.status_code == 200, answer.text
                        state = kept = answer.json()
                        clicks += 1  # it was answered, so it must be there
                        if clicks % 5 == 0:
                            answer = client.post(f"{url}/save", json={"revision": state["revision"]})
                            assert answer.status_code == 200, answer.text
                            state = kept = answer.json()
                            if timer.ident is None:  # however slow the machine, something has been saved
                                timer.start()
                except httpx.TransportError:
                    pass
                timer.join()
        finally:
            server.kill()
        for path in out.rglob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))
        for path in out.rglob("*.png"):
            with Image.open(path) as image:
                image.load()
    store = AnnotationStore(out)  # sweeps
    assert store.keys() == ["a.png"]
    assert store.read("a.png")
    assert not list(out.rglob(".*.tmp"))
    assert clicks > rounds


def test_a_kill_loses_nothing_that_was_answered(photos, tmp_path):
    killed_while_clicking(photos, tmp_path / "out", 2)


@pytest.mark.slow
def test_twenty_kills_lose_nothing_that_was_answered(photos, tmp_path):
    killed_while_clicking(photos, tmp_path / "out", 20)
