"""A volume in a real browser: mark, carry on, correct, undo, save and export."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mis_lightning.server.access import Access
from mis_lightning.server.app import create_app
from mis_lightning.server.library import Library
from tests.annotation.test_volume import GreySegmenter
from tests.server.test_volume_routes import both_formats, exported, make_volume, scan  # noqa: F401

pytest.importorskip("playwright.sync_api")
pytest.importorskip("nibabel", reason="needs the medical extra")


@pytest.fixture
def make_app(tmp_path, scan):  # noqa: F811
    make_volume(tmp_path / "scans", scan)

    def make(**options):
        app = create_app(Library(tmp_path / "scans"), tmp_path / "masks", GreySegmenter(), access=Access())
        return app

    return make


class VolumeTab:
    """What a user does with a volume."""

    def __init__(self, tab) -> None:
        self.tab, self.page = tab, tab.page
        self.at(4)  # it opens in the middle

    def at(self, k: int) -> None:
        """Wait until slice ``k`` is shown, and what is known of the volume."""
        self.page.wait_for_function(
            """k => {
                const [canvas, panel] = ['canvas', 'volume'].map((id) => document.getElementById(id));
                return document.getElementById('slice-text').textContent.startsWith(`${k} of`)
                    && canvas.dataset.revision && panel.dataset.revision === canvas.dataset.revision;
            }""",
            arg=k,
        )

    def carry_on(self, button: str = "#carry-on") -> None:
        self.page.click(button)
        self.page.wait_for_function("() => document.getElementById('carrying').hidden")

    def on(self, count: int) -> None:
        """Wait until the object is on so many slices."""
        self.page.wait_for_function(
            "count => document.getElementById('strip-text').textContent.startsWith(`On ${count} of`)",
            arg=count,
        )


@both_formats
def test_mark_carry_correct_undo_export(serve, open_tab, tmp_path, scan):  # noqa: F811
    tab = open_tab(serve())
    user, page = VolumeTab(tab), tab.page
    assert page.locator("#image-list li").count() == 1  # one volume, not nine images
    tab.changes(lambda: page.mouse.click(*tab.place(34, 49)))
    user.on(1)
    user.carry_on()
    user.on(7)
    assert "7/9 slices" in page.inner_text("#image-list")

    page.keyboard.press("PageDown")
    user.at(5)
    assert "carried" in page.inner_text("#strip-text")
    assert len(tab.areas()) == 1
    zoom = page.inner_text("#zoom")
    page.mouse.move(*tab.place(20, 20))
    page.mouse.wheel(0, 120)
    user.at(6)
    assert page.inner_text("#zoom") == zoom  # the wheel leafs
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function("zoom => document.getElementById('zoom').textContent !== zoom", arg=zoom)
    user.at(6)

    tab.changes(lambda: page.mouse.click(*tab.place(20, 20)))  # a correction, of the same object
    page.wait_for_function("() => document.getElementById('strip-text').textContent.includes('was clicked')")
    tab.changes(lambda: page.keyboard.press("Control+z"))  # the correction alone
    user.on(7)
    tab.changes(lambda: page.click("#not-here"))
    user.on(5)  # neither here nor beyond
    box = page.locator("#strip").bounding_box()
    page.mouse.click(box["x"] + 4.5 * box["width"] / 9, box["y"] + 20)  # the strip leads back
    user.at(4)
    page.keyboard.press("v")
    page.wait_for_function("() => document.getElementById('carrying').hidden")
    user.on(5)  # what ends stays so
    page.click("#save-volume")
    page.wait_for_function("() => document.getElementById('save-state').textContent === 'Saved'")
    assert len(list((tmp_path / "masks").glob("*.json"))) >= 5
    page.click("#export")
    with page.expect_download() as download:
        page.click("[data-format=volumes]")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        archive.extractall(tmp_path / "out")
        assert json.loads(archive.read("labels.json")) == {scan: {"1": "object 1"}}
    labels = exported(tmp_path / "out" / scan)
    assert sorted(np.flatnonzero(labels.any((1, 2)))) == [1, 2, 3, 4, 5]
    assert set(np.unique(labels)) == {0, 1}


def test_a_run_is_undone_with_one_key_and_survives_a_reload(serve, open_tab):
    tab = open_tab(serve())
    user, page = VolumeTab(tab), tab.page
    tab.changes(lambda: page.mouse.click(*tab.place(34, 49)))
    user.on(1)
    user.carry_on()
    user.on(7)
    page.reload()
    tab.ready()
    user.at(4)
    user.on(7)
    page.keyboard.press("Control+z")
    user.on(1)
    page.keyboard.press("Control+y")
    user.on(7)


def test_the_window_is_changed_in_the_page(serve, open_tab):
    tab = open_tab(serve())
    user, page = VolumeTab(tab), tab.page
    before = tab.colour(34, 49)
    shown = page.inner_text("#window-text")
    page.locator("#window-level").fill(page.get_attribute("#window-level", "max"))
    page.wait_for_function("shown => document.getElementById('window-text').textContent !== shown", arg=shown)
    page.wait_for_function("() => document.getElementById('status').textContent.includes('window')")
    assert np.mean(tab.colour(34, 49)) < np.mean(before)
    page.click("#window-reset")
    page.wait_for_function("shown => document.getElementById('window-text').textContent === shown", arg=shown)
    user.at(4)


def test_a_refusal_is_shown(serve, open_tab):
    tab = open_tab(serve())
    user, page = VolumeTab(tab), tab.page
    tab.changes(lambda: page.mouse.click(*tab.place(34, 49)))
    user.on(1)
    page.route(
        "**/volume/carry", lambda route: route.fulfill(status=507, json={"detail": "The disk is full."})
    )
    user.carry_on()
    page.wait_for_selector("#notice:not([hidden])")
    tab.expect("#notice").to_contain_text("disk is full")
    tab.expect("#carry-on").to_be_enabled()
    tab.problems.clear()  # the browser tells of the refusal, too
