"""Tabs never mix, drafts outlive the server, results are not overwritten unasked."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.server import open_sessions
from mis_lightning.server import tabs as tabs_module
from mis_lightning.server import workspace as module
from tests.server.conftest import apart


def same(one, other):
    """Two states but for the time they took."""
    return {**one, "times": None} == {**other, "times": None}


def test_two_browsers_and_two_tabs_of_one_never_mix(app, page, open_page):
    other = open_page(app)
    second = open_page(app, cookies=page.client.cookies)
    assert len({page.tab, other.tab, second.tab}) == 3
    mine = page.do("click", row=20, col=20)
    for stranger in (other, second):
        assert stranger.open()["objects"] == []
    theirs = other.do("click", row=45, col=60)
    assert page.open()["revision"] == mine["revision"] != theirs["revision"]


def test_a_tab_of_another_browser_is_another_tab(app, page, open_page):
    mine = page.do("click", row=20, col=20)
    thief = open_page(app, tab=page.tab)  # knows its name, not the cookie
    assert thief.open()["objects"] == []
    thief.do("click", row=45, col=60)
    assert page.open()["revision"] == mine["revision"]


def test_a_server_that_starts_again_has_everything(page, make_app, open_page):
    page.do("click", row=20, col=20)
    page.do("objects", name="blue")
    page.do("click", row=45, col=60)
    page.do("click", row=2, col=2, positive=False)
    before = page.do("undo")
    before["redo"] = None  # what was undone is not kept
    again = open_page(make_app(), tab=page.tab, cookies=page.client.cookies)
    after = again.open()
    assert same(after, before)
    assert again.list() == page.list()
    assert again.do("undo")["objects"][1]["area"] == 0


def test_what_is_done_by_hand_and_classes_outlive_the_server(page, make_app, open_page):
    page.do("click", row=20, col=20)
    page.do("brush", points=[[40, 60], [50, 60]], radius=3.0)
    page.do("objects/1/class", "PUT", category="cell")
    page.do("objects")
    page.do("polygon", points=[[2, 2], [2, 9], [9, 9]])
    page.do("objects/1/select")
    before = page.do("tidy", what="smooth")
    again = open_page(make_app(), tab=page.tab, cookies=page.client.cookies)
    after = again.open()
    assert same(after, before)
    assert after["objects"][0]["category"] == "cell"
    assert after["undo"] == before["undo"] == "smooth on object 1"
    again.do("undo")
    state = again.do("undo")  # the polygon was before that
    assert (state["active"], state["objects"][1]["area"], state["undo"]) == (2, 0, "brush on object 1")


def test_a_page_goes_on_after_a_restart_as_if_nothing_had_happened(page, make_app, open_page):
    page.do("click", row=20, col=20)
    again = open_page(make_app(), tab=page.tab, cookies=page.client.cookies)
    again.state = page.state  # the page was not loaded again
    assert again.do("click", row=45, col=60)["objects"][0]["actions"] == 2


def test_a_new_tab_goes_on_where_a_closed_one_stopped(page, make_app, open_page):
    before = page.do("click", row=20, col=20)
    later = make_app()  # the tab was handed out long ago
    assert open_page(later, cookies=page.client.cookies).open()["revision"] == before["revision"]
    second = open_page(later, cookies=page.client.cookies)  # and is not handed out twice in a row
    assert second.tab != page.tab


def test_a_new_tab_leaves_open_ones_alone(page, make_app):
    page.do("click", row=20, col=20)
    shared = make_app().state.server.tabs
    session = page.client.cookies["mis"]
    assert shared.claim(session, None, [page.tab]) != page.tab
    assert shared.claim(session, None, []) == page.tab


def test_the_folder_does_not_hold_the_cookie(page, tmp_path):
    page.do("click", row=20, col=20)
    session = page.client.cookies["mis"]
    drafts = [path for path in (tmp_path / "masks" / ".drafts").rglob("*")]
    assert drafts
    assert not any(session in str(path) for path in drafts)
    assert not any(
        session in path.read_text(errors="ignore", encoding="utf-8") for path in drafts if path.is_file()
    )


def test_looking_writes_nothing(page, tmp_path):
    page.open("sub/b.png")
    page.client.post(page.url("levels"), json={"row": 5, "col": 5})
    assert page.ask("click", row=999, col=5).status_code == 422
    assert not (tmp_path / "masks").exists()


def test_a_change_of_something_else_is_refused(page):
    before = page.do("click", row=20, col=20)
    page.do("click", row=45, col=60)
    late = page.ask("click", row=5, col=5, revision=before["revision"])
    assert late.status_code == 409
    assert page.open()["objects"][0]["actions"] == 2


def test_saving_over_somebody_else_asks_first(app, page, open_page, tmp_path):
    other = open_page(app)
    other.open()
    page.do("click", row=20, col=20)
    other.do("click", row=45, col=60)
    page.do("save")
    store = AnnotationStore(tmp_path / "masks")
    saved = store.read("a.png")
    answer = other.ask("save")
    assert answer.status_code == 412
    assert store.read("a.png") == saved
    assert other.open()["saved"] == "draft"
    other.do("save", replace=True)
    assert store.read("a.png") != saved
    assert open_page(app).open()["objects"][0]["clicks"] == other.state["objects"][0]["clicks"]


def test_a_tab_saves_its_own_work_again_and_again(app, page, open_page):
    for row in (20, 22, 24):
        page.do("click", row=row, col=20)
        page.do("save")
    other = open_page(app)
    assert other.open()["saved"] == "saved"
    other.do("click", row=45, col=60)
    other.do("save")  # it began from what was saved
    page.open()
    assert page.do("click", row=26, col=20)


def test_a_tab_that_saved_sees_what_somebody_else_saved_then(app, page, open_page):
    page.do("click", row=20, col=20)
    page.do("save")
    other = open_page(app)
    other.open()
    other.do("click", row=45, col=60)
    theirs = other.do("save")
    assert page.open()["revision"] == theirs["revision"]
    page.do("click", row=5, col=70)
    page.do("save")


def test_a_kill_between_the_result_and_the_draft_is_no_conflict(page, make_app, open_page, monkeypatch):
    page.do("click", row=20, col=20)
    monkeypatch.setattr(module.Workspace, "_drop_draft", lambda *_: None)
    page.do("save")
    monkeypatch.undo()
    again = open_page(make_app(), tab=page.tab, cookies=page.client.cookies)
    assert again.open()["saved"] == "saved"
    again.do("click", row=45, col=60)
    assert again.do("save")["saved"] == "saved"


def test_a_draft_can_be_dropped_for_the_result(page):
    page.do("click", row=20, col=20)
    saved = page.do("save")
    page.do("click", row=45, col=60)
    back = page.do("discard")
    assert back["saved"] == "saved"
    assert back["revision"] == saved["revision"]


def test_sessions_that_are_put_out_of_memory_come_back(page, monkeypatch):
    monkeypatch.setattr(open_sessions, "OPEN_PIXELS", 60 * 80)  # one at a time
    first = page.do("click", row=20, col=20)
    page.open("sub/b.png")
    page.do("click", row=15, col=20)
    sessions = page.client.app.state.server.shared.sessions._sessions
    assert len(sessions) == 1
    assert same(page.open("a.png"), first)
    assert page.do("click", row=45, col=60)["objects"][0]["actions"] == 2


def test_what_the_disk_does_not_take_is_not_shown(page, monkeypatch):
    before = page.do("click", row=20, col=20)

    def full(*_):
        raise InputError("No space left on device")

    monkeypatch.setattr(AnnotationStore, "save", full)
    answer = page.ask("click", row=45, col=60)
    assert answer.status_code == 507
    assert "No space left" in answer.json()["detail"]
    assert page.open()["revision"] == before["revision"]
    monkeypatch.undo()
    page.do("click", row=45, col=60)


def test_a_damaged_draft_is_named_and_leaves_others_alone(page, tmp_path):
    page.do("click", row=20, col=20)
    path = next((tmp_path / "masks" / ".drafts").rglob("a.png.json"))
    path.write_text("{", encoding="utf-8")
    page.client.app.state.server.shared.sessions._sessions.clear()
    answer = page.client.get(page.url())
    assert answer.status_code == 422
    assert path.relative_to(tmp_path / "masks").as_posix() in answer.json()["detail"]
    assert [line["name"] for line in page.list()] == ["a.png", "sub/b.png"]
    assert page.open("sub/b.png")["objects"] == []


def test_overlaps_are_settled_as_asked(make_app, open_page):
    areas = {}
    for overlap in ("keep", "overwrite", "allow"):
        page = open_page(make_app(overlap=overlap))
        page.open()
        page.do("box", top=10, left=10, bottom=29, right=39)
        page.do("objects")
        page.do("box", top=10, left=10, bottom=29, right=39)
        areas[overlap] = [one["area"] for one in page.state["objects"]]
        page.do("objects/1", "DELETE")
        page.do("objects/2", "DELETE")
    whole = areas["allow"][0]
    assert areas == {"keep": [whole, 0], "overwrite": [0, whole], "allow": [whole, whole]}


def test_only_so_many_tabs_are_kept_in_memory(page, monkeypatch):
    monkeypatch.setattr(tabs_module, "MAX_TABS", 3)
    tabs = page.client.app.state.server.tabs
    for number in range(10):
        tabs.workspace("x", f"{number:016x}")
    assert len(tabs._workspaces) == 3


@pytest.mark.parametrize("name", ["x", "0" * 15, "0" * 17, ".."])
def test_other_folders_among_the_drafts_are_no_tabs(page, name, tmp_path):
    tabs = page.client.app.state.server.tabs
    stray = tabs._home("s") / name
    stray.mkdir(parents=True, exist_ok=True)
    (stray / "a.png.json").write_text("{}", encoding="utf-8")
    assert tabs.claim("s", None, []) != name


def test_two_clicks_at_once_on_one_state(app, page, monkeypatch):
    """Both saw the same revision; one of them comes first, and the other is told."""
    click = AnnotationSession.click

    def slow(session, *place):
        time.sleep(0.3)  # time enough for the other to see the state of before, unless it waits
        click(session, *place)

    monkeypatch.setattr(AnnotationSession, "click", slow)
    page.do("objects")
    body = {"revision": page.state["revision"], "positive": True}

    async def both():
        transport = httpx.ASGITransport(app=app)
        headers = dict(page.client.headers)
        cookies = dict(page.client.cookies)
        async with httpx.AsyncClient(
            transport=transport, base_url=str(page.client.base_url), headers=headers, cookies=cookies
        ) as client:
            url, places = page.url("click"), (20, 25, 30, 40)
            asked = [client.post(url, json={**body, "row": at, "col": at}) for at in places]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert sorted(apart(both())) == [200, 409, 409, 409]
    assert page.open()["objects"][0]["actions"] == 1
