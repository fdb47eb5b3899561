"""``mis annotate``: what it opens, where it listens, what it says; the server itself is in tests/server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

from mis_lightning.commands import annotate
from mis_lightning.errors import InputError


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(image).save(folder / "a.png")
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command up to where it would wait for browsers."""

    def start(*args):
        seen = {}

        def serve(server, sockets):
            (listening,) = sockets
            seen["address"] = listening.getsockname()[:2]
            port = seen["address"][1]
            socket.create_connection(("127.0.0.1", port), timeout=5).close()  # it does listen already
            seen["app"] = server.config.app
            listening.close()

        monkeypatch.setattr(uvicorn.Server, "run", serve)
        assert annotate.main([str(arg) for arg in args]) == 0
        seen["text"] = capsys.readouterr().out
        return seen

    return start


def enter(seen, **body):
    host = f"127.0.0.1:{seen['address'][1]}"
    headers = {"origin": f"http://{host}"}
    return TestClient(seen["app"], base_url=f"http://{host}", headers=headers).post("/api/tabs", json=body)


def test_masks_among_the_images_are_no_images(run, photos):
    Image.fromarray(np.ones((40, 50), np.uint8)).save(photos / "a_mask.png")
    (photos / "sub").mkdir()
    (photos / "a.png").rename(photos / "sub" / "a.png")
    (photos / "a_mask.png").rename(photos / "sub" / "a_mask.png")
    for masks in (photos, photos / "sub"):  # the images' folder itself, and one below it that holds an image
        seen = run(photos, "--masks", masks, "--port", 0)
        assert "1 image with masks" in seen["text"]
        assert "1 image from" in seen["text"]


def test_it_stays_on_this_machine_and_asks_for_nothing(run, photos):
    seen = run(photos, "--port", 0, "--model", "merge-tree")
    assert seen["address"][0] == "127.0.0.1"
    assert f"http://127.0.0.1:{seen['address'][1]}/\n" in seen["text"]
    assert f"masks go to {photos}_masks; clicks are answered by merge-tree." in seen["text"]
    assert "token" not in seen["text"]
    assert enter(seen).status_code == 200


def test_beyond_this_machine_a_token_is_made(run, photos):
    seen = run(photos, "--port", 0, "--host", "0.0.0.0", "--model", "merge-tree")
    assert "The connection is not encrypted." in seen["text"]
    token = seen["text"].split("#token=")[1].split()[0]
    assert len(token) >= 32
    assert enter(seen).status_code == 401
    assert enter(seen, token="no").status_code == 401
    assert enter(seen, token=token).status_code == 200


def test_a_token_of_ones_own(run, photos):
    token = "sixteen characters, and some more"
    seen = run(photos, "--port", 0, "--token", token, "--model", "merge-tree")
    assert enter(seen).status_code == 401
    assert enter(seen, token=token).status_code == 200
    with pytest.raises(InputError, match="token"):
        annotate.main([str(photos), "--port", "0", "--model", "merge-tree", "--token", "short"])


def test_the_shipped_model_unless_another_is_named(run, photos, tmp_path):
    assert "clicks are answered by mis-small." in run(photos, "--port", 0)["text"]
    with pytest.raises(InputError, match=r"nothing\.ckpt"):
        annotate.main([str(photos), "--model", str(tmp_path / "nothing.ckpt")])


def test_a_port_that_is_taken(photos):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}.*--port"):
            annotate.main([str(photos), "--model", "merge-tree", "--port", str(port)])


def test_a_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("no image\n", encoding="utf-8")
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(InputError, match="empty"):
        annotate.main([str(folder), "--model", "merge-tree"])


@pytest.mark.parametrize(
    ("host", "token", "url"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:80/"),
        ("::1", None, "http://[::1]:80/"),
        ("0.0.0.0", "t", f"http://{socket.gethostname()}:80/#token=t"),
    ],
)
def test_what_to_type_into_a_browser(host, token, url):
    assert annotate.address(host, 80, token) == url


def test_masks_go_beside_the_images(tmp_path):
    assert annotate.default_out(tmp_path / "photos") == tmp_path / "photos_masks"
    (tmp_path / "one.jpg").touch()
    assert annotate.default_out(tmp_path / "one.jpg") == tmp_path / "one_masks"


@pytest.mark.parametrize(("model", "wait"), [("merge-tree", 1.5), ("mis-small", 0.0)])
def test_ctrl_c_ends_it_without_a_word(photos, model, wait):
    """While the model warms up, and later."""
    command = [sys.executable, "-m", "mis_lightning", "annotate", photos, "--port", "0", "--model", model]
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a suite in the background ignores it
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", preexec_fn=heeded
    )
    for line in process.stdout:
        if line.startswith("Ctrl+C"):
            break
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert err == ""
    assert process.returncode == 0


def test_classes_and_masks_to_correct(run, photos, tmp_path):
    Image.fromarray(np.ones((40, 50), np.uint8)).save(tmp_path / "a_mask.png")
    (tmp_path / "names.txt").write_text("cell\nnucleus\n", encoding="utf-8")
    (tmp_path / "old").mkdir()
    (tmp_path / "a_mask.png").rename(tmp_path / "old" / "a_mask.png")
    options = ["--masks", tmp_path / "old", "--classes", tmp_path / "names.txt", "--model", "merge-tree"]
    seen = run(photos, "--port", 0, "--out", tmp_path / "out", *options)
    assert f"1 image with masks from {tmp_path / 'old'}, to be corrected." in seen["text"]
    assert (tmp_path / "out" / "classes.txt").read_text(encoding="utf-8") == "cell\nnucleus\n"


def test_an_output_that_cannot_be_written_is_said_at_the_start(run, photos, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="Choose another"):
        run(photos, "--out", tmp_path / "file" / "masks", "--model", "merge-tree")


def test_the_server_does_not_import_what_only_training_needs(tmp_path, photos):
    """Each of these takes 10 to 150 MiB for as long as the page is open."""
    heavy = (
        "lightning torchmetrics timm torchvision wandb sklearn scipy.stats scipy.optimize pandas matplotlib "
        "torch._dynamo torch._inductor torch.onnx sympy triton huggingface_hub.hf_api"
    )
    code = f"""
import sys
from pathlib import Path
from mis_lightning.commands.annotate import warm_up
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.server.app import create_app
from mis_lightning.server.library import Library
app = create_app(Library(Path({str(photos)!r})), Path({str(tmp_path / "out")!r}), open_segmenter())
warm_up(app.state.server.shared.segmenter)
assert "torch" in sys.modules and "numba" in sys.modules
print(*[name for name in {heavy.split()!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.split() == []
