"""Objects alike in a tab: found off the event loop, accepted as one step, rejected, undone, cancelled."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from mis_lightning.alike.model import AlikeModel
from mis_lightning.alike.settings import AlikeSettings
from mis_lightning.server import alike_board
from mis_lightning.server.access import Access
from mis_lightning.server.app import create_app
from mis_lightning.server.library import Library


@pytest.fixture
def disks(scene, tmp_path, monkeypatch):
    """Two images of disks; a quick search."""
    monkeypatch.setattr(alike_board, "AlikeModel", lambda marked: AlikeModel(marked, AlikeSettings(trees=8)))
    (tmp_path / "disks").mkdir()
    drawn = []
    for name, seed in (("a.png", 0), ("b.png", 4)):
        image, masks, _ = scene(seed=seed, size=(90, 120), disks=6, squares=0)
        Image.fromarray(image).save(tmp_path / "disks" / name)
        drawn.append(masks)
    return drawn


@pytest.fixture
def make_app(disks, tmp_path):
    return lambda **more: create_app(Library(tmp_path / "disks"), tmp_path / "masks", access=Access(), **more)


@pytest.fixture
def page(open_page, make_app, disks):
    """A page on which a disk is marked."""
    page = open_page(make_app())
    page.open()
    mark(page, disks[0][0])
    return page


def mark(page, disk):
    rows, cols = np.nonzero(disk)
    page.do("click", row=int(rows.mean()), col=int(cols.mean()))
    sizes = page.client.post(
        page.url("levels"), json={"row": int(rows.mean()), "col": int(cols.mean())}
    ).json()
    share = disk.mean()
    best = min(range(len(sizes["levels"])), key=lambda k: abs(sizes["shares"][k] - share))
    page.do("level", row=int(rows.mean()), col=int(cols.mean()), level=sizes["levels"][best])


def search(page, folder=False):
    answer = page.client.post(page.url("alike"), json={"folder": folder})
    assert answer.status_code == 200, answer.text
    return wait(page)


def wait(page):
    for _ in range(600):
        answer = page.client.get(page.url("alike")).json()
        if answer["state"] != "running":
            return answer
        time.sleep(0.05)
    raise AssertionError("the search does not end")


def test_found_accepted_and_undone(page):
    found = search(page)
    assert found["state"] == "done"
    likely = [one["id"] for one in found["proposals"] if one["score"] >= 0.5]
    assert 4 <= len(likely) <= 6
    page.do("alike/accept", proposals=likely)
    assert len(page.state["objects"]) == 1 + len(likely)
    assert page.state["undo"] == f"{len(likely)} accepted proposals"
    assert not [o for o in page.client.get(page.url("alike")).json()["proposals"] if o["id"] in likely]
    page.do("undo")
    assert len(page.state["objects"]) == 1
    again = [one["id"] for one in page.client.get(page.url("alike")).json()["proposals"]]
    assert set(likely) <= set(again)  # undone, they are there again
    page.do("alike/accept", proposals=likely[:1])
    page.do("save")
    assert len(page.open()["objects"]) == 2


def test_rejected_restored_and_learned_from(page):
    found = search(page)
    first = found["proposals"][0]
    left = page.client.post(page.url("alike/reject"), json={"proposals": [first["id"]]}).json()
    assert first["id"] not in [one["id"] for one in left["proposals"]]
    back = page.client.post(page.url("alike/restore"), json={"proposals": [first["id"]]}).json()
    assert [one["id"] for one in back["proposals"]] == [one["id"] for one in found["proposals"]]
    page.client.post(page.url("alike/reject"), json={"proposals": [first["id"]]})
    masks = [one["mask"]["runs"] for one in search(page)["proposals"]]
    assert first["mask"]["runs"] not in masks
    gone = page.client.post(page.url("alike/reject"), json={"proposals": [999]})
    assert (gone.status_code, "find them again" in gone.json()["detail"]) == (422, True)


def test_the_whole_folder(page):
    assert search(page, folder=True)["total"] == 2
    page.open("b.png")
    answer = page.client.get(page.url("alike")).json()
    assert (answer["done"], answer["state"]) == (2, "done")
    assert len([one for one in answer["proposals"] if one["score"] >= 0.5]) >= 4


def test_nothing_marked_and_another_tab(page, open_page, make_app):
    other = open_page(make_app())
    other.open()
    answer = other.client.post(other.url("alike"), json={})
    assert (answer.status_code, "Mark an object" in answer.json()["detail"]) == (422, True)
    search(page)
    assert other.client.get(other.url("alike")).json()["proposals"] == []


def test_clicks_are_answered_during_a_search_that_is_cancelled(page, monkeypatch):
    def slow(image, model, taken):
        time.sleep(1)
        return []

    monkeypatch.setattr(alike_board, "propose_on", slow)
    assert page.client.post(page.url("alike"), json={"folder": True}).json()["state"] == "running"
    began = time.perf_counter()
    page.do("click", row=5, col=5, positive=False)
    assert time.perf_counter() - began < 0.9
    assert page.client.post(page.url("alike/cancel")).json()["state"] == "cancelled"
    assert wait(page)["state"] == "cancelled"


def test_what_fails_is_told(page, monkeypatch):
    def broken(image, model, taken):
        raise alike_board.InputError("The lamp is out.")

    monkeypatch.setattr(alike_board, "propose_on", broken)
    answer = search(page)
    assert (answer["state"], answer["message"]) == ("failed", "The lamp is out.")


def test_in_a_browser(serve, open_tab, disks):
    tab = open_tab(serve())
    rows, cols = np.nonzero(disks[0][0])
    tab.page.keyboard.press("g")
    tab.page.mouse.click(*tab.place(int(rows.mean()), int(cols.mean())))
    tab.page.wait_for_selector("#levels:not([hidden])")
    size = 1000 * np.cbrt(disks[0][0].mean())
    tab.page.evaluate(f"document.getElementById('level').value = {size}")
    tab.page.dispatch_event("#level", "input")
    tab.changes(lambda: tab.page.click("#use-level"))
    assert abs(tab.areas()[0] - disks[0][0].sum()) < 60
    tab.page.click("#find-alike")
    tab.page.wait_for_function("() => Number(document.getElementById('canvas').dataset.proposals) >= 4")
    count = int(tab.page.get_attribute("#canvas", "data-proposals"))
    assert "Click on one to accept" in tab.status()
    tab.page.keyboard.press("j")  # rejects the best one
    tab.page.wait_for_selector(f"#canvas[data-proposals='{count - 1}']")
    tab.page.wait_for_function("() => document.getElementById('status').textContent.startsWith('Rejected')")
    tab.page.keyboard.press("Control+z")
    tab.page.wait_for_selector(f"#canvas[data-proposals='{count}']")
    tab.press("y")
    assert len(tab.areas()) == 2
    tab.page.wait_for_selector(f"#canvas[data-proposals='{count - 1}']")
    tab.changes(lambda: tab.page.click("#accept-alike"))
    assert len(tab.areas()) == count + 1
    tab.press("Control+z")
    assert len(tab.areas()) == 2
    tab.page.wait_for_selector(f"#canvas[data-proposals='{count - 1}']")
