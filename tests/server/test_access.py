"""Who may ask: hosts, origins, tokens, cookies, sizes."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from mis_lightning.errors import InputError
from mis_lightning.server.access import MAX_BODY, MAX_UPLOAD, Access

HOST = "127.0.0.1:8765"
TOKEN = "a token of sixteen characters or more"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.0.0.1:9", "LOCALHOST:8765"])
def test_the_loopback_address_is_answered(app, host):
    assert TestClient(app, base_url=f"http://{HOST}").get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "10.0.0.1", "",
             "127.0.0.1:x", "localhost@evil.example", "::1", "[::1", "127.0.0.1/"]
)  # fmt: skip
def test_other_names_are_turned_away(app, host):
    client = TestClient(app, base_url=f"http://{HOST}")
    assert client.get("/", headers={"host": host}).status_code == 403
    assert client.get("/api/info", headers={"host": host}).status_code == 403


def test_names_that_cannot_be_rebound_are_known_beyond_loopback():
    access = Access("0.0.0.0", TOKEN)
    assert access.knows_host("192.168.1.7:8765")
    assert access.knows_host("[fe80::1]:8765")
    assert not access.knows_host("evil.example")
    assert Access("work.example", TOKEN).knows_host("work.example:1")


@pytest.mark.parametrize(
    "origin", [None, "http://evil.example", "null", "http://127.0.0.1:9999", "https://localhost"]
)
def test_changes_need_the_origin_of_the_page(app, page, origin):
    headers = {} if origin is None else {"origin": origin}
    stranger = TestClient(app, base_url=f"http://{HOST}", cookies=page.client.cookies)
    body = {"revision": page.state["revision"], "row": 5, "col": 5}
    answer = stranger.post(page.url("click"), json=body, headers=headers)
    assert answer.status_code == 403
    assert page.open()["objects"] == []


def test_a_body_of_another_kind_is_no_message(page):
    # what a form of another site can send without asking first
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        body = f'{{"revision":"{page.state["revision"]}","row":5,"col":5}}'
        answer = page.client.post(page.url("click"), content=body, headers={"content-type": kind})
        assert answer.status_code == 422, kind
    assert page.open()["objects"] == []


def test_every_answer_has_the_headers(app, page):
    for path in ("/", "/page/main.js", "/api/info", "/nowhere", page.url()):
        headers = page.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
    refused = TestClient(app).get("/", headers={"host": "evil.example"})
    assert "content-security-policy" in refused.headers


def test_large_bodies_are_refused_before_they_are_parsed(page):
    answer = page.client.post(page.url("click"), content=b"[" * (MAX_BODY + 1))
    assert answer.status_code == 413
    chunks = (b"x" * 65536 for _ in range(MAX_BODY // 65536 + 2))  # without a content-length
    assert page.client.post(page.url("click"), content=chunks).status_code == 413
    answer = page.client.post(
        page.url("mask") + "?revision=" + page.state["revision"], content=b"x" * (MAX_UPLOAD + 1)
    )
    assert answer.status_code == 413
    assert page.client.post(page.url("click"), headers={"content-length": "-5"}).status_code in (400, 422)
    assert page.open()["objects"] == []


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(app):
    client = TestClient(app, base_url=f"http://{HOST}", headers={"origin": f"http://{HOST}"})
    cookie = client.post("/api/tabs", json={}).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "domain" not in cookie


def test_without_a_cookie_nothing_is_told(app, page):
    stranger = TestClient(app, base_url=f"http://{HOST}", headers={"origin": f"http://{HOST}"})
    key = page.images[page.image]["key"]
    for path in ("/api/info", page.url(), f"/api/images/{key}/picture", f"/api/images/{key}/thumbnail"):
        assert stranger.get(path).status_code == 401, path


def test_beyond_loopback_a_token_is_needed():
    with pytest.raises(InputError, match="token"):
        Access("0.0.0.0")
    with pytest.raises(InputError, match="16"):
        Access("0.0.0.0", "short")


@pytest.fixture
def guarded(make_app):
    return make_app(access=Access("0.0.0.0", TOKEN))


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", "é" * 16])
def test_a_wrong_token_opens_nothing(guarded, token):
    client = TestClient(guarded, base_url=f"http://{HOST}", headers={"origin": f"http://{HOST}"})
    answer = client.post("/api/tabs", json={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert client.get("/").status_code == 200  # the empty page, which asks for the token


def test_the_token_is_asked_for_once(guarded, make_app, open_page):
    page = open_page(guarded, TOKEN)
    again = open_page(guarded, None, cookies=page.client.cookies)
    assert again.list()
    restarted = make_app(access=Access("0.0.0.0", TOKEN))
    assert open_page(restarted, None, cookies=page.client.cookies).list()


def test_a_new_token_shuts_old_cookies_out_and_keeps_their_work(guarded, make_app, open_page):
    page = open_page(guarded, TOKEN)
    page.open()
    page.do("click", row=20, col=20)
    other = make_app(access=Access("0.0.0.0", "quite another token"))
    client = TestClient(
        other, base_url=f"http://{HOST}", headers={"origin": f"http://{HOST}"}, cookies=page.client.cookies
    )
    assert client.get("/api/info").status_code == 401
    assert client.post("/api/tabs", json={}).status_code == 401
    back = open_page(other, "quite another token", tab=page.tab, cookies=page.client.cookies)
    assert len(back.open()["objects"]) == 1


@pytest.mark.parametrize("cookie", ["", "x", "a" * 43, "a" * 43 + ".", "a" * 43 + ".é", "=;=;", '"' * 50])
def test_made_up_cookies_have_no_session(cookie):
    access = Access("0.0.0.0", TOKEN, "mis")
    assert access.session(f"mis={cookie}") is None
    assert access.session(cookie) is None
