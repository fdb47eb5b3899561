"""What changes around an open page: its image on disk, and the screen that its window is on."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from PIL import Image

from mis_lightning.annotation.store import AnnotationStore


def replace_image(path) -> None:
    """Other pixels of the same size: the boxes are upside down."""
    before, pixels = path.stat(), np.array(Image.open(path))
    Image.fromarray(pixels[::-1].copy()).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize("choice", ["Keep the masks", "Start anew"])
def test_an_image_replaced_on_disk_is_noticed_and_the_user_asked(serve, open_tab, photos, tmp_path, choice):
    tab = open_tab(serve())
    tab.click(20, 20)  # the red box, above
    replace_image(photos / "a.png")
    tab.page.mouse.click(*tab.place(40, 60))
    tab.page.wait_for_selector("#question[open]")
    assert "a.png" in tab.page.inner_text("#question-text")
    tab.page.click("#question button:has-text('Not now')")
    assert tab.areas() == [600]
    tab.page.keyboard.press("Control+s")  # nothing is saved for the wrong pixels
    tab.page.wait_for_selector("#question[open]")
    assert not (tmp_path / "masks").exists() or AnnotationStore(tmp_path / "masks").keys() == []
    tab.page.click(f"#question button:has-text('{choice}')")
    kept = choice == "Keep the masks"
    deadline = time.monotonic() + 60
    while (red := tab.colour(45, 20))[0] < red[2] + 40 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert red[0] > red[2] + 40  # the new picture
    assert tab.areas() == ([600] if kept else [])
    tab.click(45, 20)  # the red box, below now
    assert tab.areas()[0] >= 600
    tab.page.keyboard.press("Control+s")
    tab.page.wait_for_selector("#save-state.saved")
    assert AnnotationStore(tmp_path / "masks").read("a.png").masks[1][35:45, 15:35].all()
    tab.problems.clear()  # the browser tells of the refusals, too


SCREENS = """
    const real = window.matchMedia;
    window.screens = [];
    window.matchMedia = (query) => {
        const list = real.call(window, query);
        if (query.includes("resolution")) window.screens.push(list);
        return list;
    };
"""
"""Keeps what waits for another pixel ratio: Chromium without a screen changes the ratio, and tells no one."""


def test_a_window_moved_to_a_screen_of_another_pixel_ratio(serve, open_tab, chromium):
    context = chromium.new_context()
    context.add_init_script(SCREENS)
    tab = open_tab(serve(), context)
    screen, size = context.new_cdp_session(tab.page), tab.page.viewport_size
    shown = "() => { const c = document.getElementById('canvas'); return [c.width, c.height]; }"
    red = """([x, y]) => {
        const canvas = document.getElementById("canvas"), box = canvas.getBoundingClientRect();
        const at = [x - box.x, y - box.y].map((side) => Math.round(side * devicePixelRatio));
        const [r, , b] = canvas.getContext("2d").getImageData(...at, 1, 1).data;
        return r > b + 40;
    }"""
    before, place = tab.page.evaluate(shown), tab.place(20, 20)
    for ratio in (2, 1.5, 1):
        metrics = {**size, "deviceScaleFactor": ratio, "mobile": False}
        screen.send("Emulation.setDeviceMetricsOverride", metrics)
        tab.page.evaluate("window.screens.at(-1).dispatchEvent(new Event('change'))")
        assert tab.page.evaluate(shown) == [int(side * ratio + 0.5) for side in before]
        np.testing.assert_allclose(tab.place(20, 20), place)
        assert tab.page.evaluate(red, list(place))  # the picture is where it was,
        assert not tab.page.evaluate(red, list(tab.place(50, 20)))
        tab.click(20, 20)
        assert tab.areas() == [600]  # and clicks land on it
        tab.press("Control+z")
    context.close()
