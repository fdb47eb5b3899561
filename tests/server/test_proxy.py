"""Behind a real nginx with TLS, set up as docs/how_to.md advises: under a name, below a path."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest
import uvicorn

from mis_lightning.errors import InputError
from mis_lightning.server.access import Access

NAME = "lab.example.org"
TOKEN = "a token of some length"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def serve():
    """Serves an app on a port of its own, in a thread."""
    servers = []

    def start(app) -> int:
        port = free_port()
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", proxy_headers=False))
        thread = threading.Thread(target=server.run)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return port

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join()


@pytest.fixture
def nginx(tmp_path):
    """Starts nginx with one location of the page's documentation; gives its port."""
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is not installed (apt install nginx-light openssl)")
    key, certificate = tmp_path / "lab.key", tmp_path / "lab.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
         "-keyout", key, "-out", certificate], check=True, capture_output=True,
    )  # fmt: skip
    processes = []

    def start(location: str) -> int:
        port = free_port()
        (tmp_path / "nginx.conf").write_text(
            f"""
            daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}
            http {{
                access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;
                fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
                server {{
                    listen 127.0.0.1:{port} ssl; server_name {NAME};
                    ssl_certificate {certificate}; ssl_certificate_key {key};
                    client_max_body_size 16m;
                    {location}
                }}
            }}
            """,
            encoding="utf-8",
        )
        processes.append(subprocess.Popen(["nginx", "-p", tmp_path, "-c", tmp_path / "nginx.conf"]))
        for _ in range(100):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            time.sleep(0.05)
        raise RuntimeError((tmp_path / "error.log").read_text(encoding="utf-8"))

    yield start
    for process in processes:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("host", ["", f"proxy_set_header Host {NAME};", "proxy_set_header Host $http_host;"])
@pytest.mark.parametrize("path", ["", "/annotate", "/tools/annotate"])
@pytest.mark.parametrize("stripped", [True, False])
def test_the_page_works_behind_it(make_app, serve, nginx, host, path, stripped):
    app = make_app(access=Access(token=TOKEN, names=(NAME,)), root_path=path)
    target = f"http://127.0.0.1:{serve(app)}{'/' if stripped else ''}"
    port = nginx(f"location {path}/ {{ proxy_pass {target}; {host} }}")
    base = f"https://{NAME}:{port}{path}/"
    headers = {"origin": f"https://{NAME}:{port}", "host": f"{NAME}:{port}"}
    with httpx.Client(base_url=f"https://127.0.0.1:{port}{path}/", headers=headers, verify=False) as client:
        page = client.get("")
        assert page.status_code == 200, page.text
        for place in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
            assert not place.startswith("/")
            assert client.get(place).status_code == 200, place
        assert client.post("api/tabs", json={"token": "wrong"}).status_code == 401
        answer = client.post("api/tabs", json={"token": TOKEN})
        assert answer.status_code == 200, answer.text
        assert f"Path={path or '/'};" in answer.headers["set-cookie"] + ";"
        cookie = answer.headers["set-cookie"].split(";")[0]
        client.headers["cookie"] = cookie
        tab = answer.json()["tab"]
        image = client.get(f"api/tabs/{tab}/images").json()[0]["key"]
        assert client.get(f"api/images/{image}/picture").status_code == 200
        state = client.get(f"api/tabs/{tab}/images/{image}").json()
        click = {"row": 20, "col": 20, "positive": True, "revision": state["revision"]}
        answer = client.post(f"api/tabs/{tab}/images/{image}/click", json=click)
        assert answer.status_code == 200, answer.text
        elsewhere = client.post(
            f"api/tabs/{tab}/images/{image}/save",
            json={"revision": answer.json()["revision"]},
            headers={"origin": "https://evil.example.org"},
        )
        assert elsewhere.status_code == 403
        assert "--allow-host" in elsewhere.json()["detail"]
    assert base.startswith("https://lab.example.org")


def test_no_file_of_the_page_names_an_absolute_path():
    folder = Path(__file__).parents[2] / "mis_lightning" / "server" / "page"
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""["'`(=]/(api|page)/""", text), path.name


def test_names_need_a_token_and_have_no_port():
    with pytest.raises(InputError, match="needs a token"):
        Access(names=(NAME,))
    for wrong in (f"{NAME}:443", "https://lab", "a b", ""):
        with pytest.raises(InputError, match="host name like"):
            Access(token=TOKEN, names=(wrong,))


def test_the_full_name_of_this_machine_is_known(monkeypatch):
    from mis_lightning.server import access

    access.own_names.cache_clear()
    monkeypatch.setattr(access.socket, "gethostname", lambda: "vm")
    monkeypatch.setattr(access.socket, "getfqdn", lambda: "VM.lab.example.org")
    rules = Access("0.0.0.0", TOKEN)
    assert rules.knows_host("vm.lab.example.org:8765")
    assert rules.knows_host("vm")
    assert not rules.knows_host("other.example.org")
    access.own_names.cache_clear()


@pytest.mark.parametrize("path", ["annotate", "/a/", "/a b", "/../x?"])
def test_a_root_path_that_is_none(make_app, path):
    with pytest.raises(InputError, match="root path like"):
        make_app(root_path=path)
