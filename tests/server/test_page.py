"""The page in a real browser, without a screen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings


def test_a_first_session(serve, open_tab, tmp_path):
    url = serve()
    tab = open_tab(url)
    assert tab.page.title().startswith("a.png")
    before = tab.colour(15, 15)
    tab.click(20, 20)  # the red box, rows 10 to 29, columns 10 to 39
    assert tab.areas() == [600]
    assert np.abs(tab.colour(15, 15) - before).max() > 20  # seen at once
    tab.click(15, 15, button="right")
    tab.page.keyboard.press("Control+z")
    tab.page.wait_for_selector("#object-list small:text('600 px')")
    tab.press("Control+y")
    tab.press("Control+z")
    tab.changes(lambda: tab.page.click("#new-object"))
    tab.click(40, 60)  # the blue one
    assert tab.areas()[0] == 600
    assert tab.areas()[1] > 500
    assert tab.status().startswith("Click 1 of object 2: ")
    assert tab.page.text_content("[data-time=total]").endswith("ms")
    tab.page.dblclick("#object-list li:nth-child(2) .choose")
    tab.page.keyboard.type("<b>sea</b>")
    tab.press("Enter")
    assert tab.names() == ["object 1", "<b>sea</b>"]
    tab.page.keyboard.press("Control+s")
    tab.page.wait_for_selector("#save-state.saved")
    record = AnnotationStore(tmp_path / "masks").read("a.png")
    assert [one.name for one in record.log.objects] == ["object 1", "<b>sea</b>"]
    assert record.masks[1][10:30, 10:40].all()
    assert tab.page.inner_text("#progress-text") == "1 of 2 images saved"
    kept = tab.areas()
    tab.page.reload()
    tab.ready()
    assert (tab.names(), tab.areas()) == (["object 1", "<b>sea</b>"], kept)
    assert tab.page.locator("#object-list b").count() == 0  # a name is text


def test_two_tabs_at_once_and_a_reload(serve, open_tab):
    url = serve()
    first = open_tab(url)
    second = open_tab(url, first.page.context)  # of the same browser
    first.click(20, 20)
    second.click(40, 60)
    second.click(5, 70, button="right")
    assert first.areas() == [600]
    assert second.areas()[0] > 500
    kept = [(tab.areas(), tab.revision) for tab in (first, second)]
    for tab in (first, second):
        tab.page.reload()
        tab.ready()
    assert [(tab.areas(), tab.revision) for tab in (first, second)] == kept
    stranger = open_tab(url)
    assert stranger.areas() == []
    copied = open_tab(url, first.page.context)  # the browser copies the storage of a tab that is duplicated
    copied.page.evaluate(
        "id => sessionStorage.setItem('mis-tab', id)",
        first.page.evaluate("sessionStorage.getItem('mis-tab')"),
    )
    copied.page.reload()
    copied.ready()
    assert copied.page.evaluate("sessionStorage.getItem('mis-tab')") != first.page.evaluate(
        "sessionStorage.getItem('mis-tab')"
    )


def test_another_answer_by_its_key(serve, open_tab, tiny_click_vit):
    look = FirstLook({"node": Weight(0.5, 0.2, 1.0)}, least=8)
    segmenter = ClickModelSegmenter(tiny_click_vit(), PredictionSettings(first_look=look))
    tab = open_tab(serve(segmenter=segmenter))
    tab.click(20, 20)
    seen = [tab.areas()]
    for _ in range(3):
        tab.press("a")
        seen.append(tab.areas())
    assert len({tuple(areas) for areas in seen}) > 1
    tab.press("Control+z")
    assert tab.areas() == seen[2]
    tab.click(50, 70, button="right")
    tab.page.keyboard.press("a")  # two clicks: there is nothing to choose, and nothing is asked
    assert "only one answer" not in tab.status()


def test_the_region_tool(serve, open_tab):
    tab = open_tab(serve())
    tab.page.keyboard.press("g")
    tab.page.mouse.click(*tab.place(20, 20))
    slider = tab.page.locator("#level")
    slider.wait_for(state="visible")
    seen = {}
    last = int(slider.get_attribute("max"))
    for level in (0, last // 2, last):
        slider.fill(str(level))
        share = float(tab.page.inner_text("#level-text").split("·")[1].strip(" %"))
        seen[level] = share, tuple(tab.colour(35, 5)), tuple(tab.colour(22, 22))
    assert seen[0][0] < seen[last // 2][0] < seen[last][0] == 100
    assert seen[0][1] != seen[last][1]  # the preview covers the ground only at the end
    assert tab.areas() == []  # nothing was chosen yet
    slider.fill("500")  # an eighth of the image, the red box, 600 of 4800 pixels
    for _ in range(2):
        slider.press("ArrowRight")  # level by level
        slider.press("ArrowLeft")
    runs = "async () => { const { shown } = await import('/page/region.js'); return [...shown().mask.runs]; }"
    preview = tab.page.evaluate(runs)
    tab.press("Enter")
    assert tab.areas()[0] == pytest.approx(600, rel=0.15)  # to the patch
    runs = (
        "async () => { const { page } = await import('/page/page.js'); return [...page.masks.get(1).runs]; }"
    )
    ends = np.reshape(tab.page.evaluate(runs), (-1, 2))
    pixels = [pixel for first, last in ends for pixel in range(first, last)]
    seen = [pixel for first, last in np.reshape(preview, (-1, 2)) for pixel in range(first, last)]
    assert pixels == seen  # what was shown, to the pixel
    tab.expect("#level").to_be_hidden()
    tab.page.keyboard.press("c")
    tab.click(40, 60)
    assert tab.areas()[0] > 1000


def test_box_scribble_and_mask(serve, open_tab, tmp_path):
    tab = open_tab(serve())

    def drag(*places, button="left"):
        tab.page.mouse.move(*tab.place(*places[0]))
        tab.page.mouse.down(button=button)
        for place in places[1:]:
            tab.page.mouse.move(*tab.place(*place), steps=4)
        tab.page.mouse.up(button=button)

    tab.page.click("[data-tool=box]")
    tab.changes(lambda: drag((8, 8), (31, 41)))
    assert 600 <= tab.areas()[0] <= 640  # to the patch
    tab.page.keyboard.press("s")
    tab.changes(lambda: drag((35, 45), (48, 65)))
    assert tab.areas()[0] > 1000
    mask = np.zeros((60, 80), np.uint8)
    mask[3:7, 3:13] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    tab.changes(lambda: tab.page.set_input_files("#load-mask", tmp_path / "mask.png"))
    assert tab.areas() == [40]
    Image.fromarray(mask[1:]).save(tmp_path / "other.png")
    tab.page.set_input_files("#load-mask", tmp_path / "other.png")
    tab.page.wait_for_selector("#notice:not([hidden])")
    tab.expect("#notice").to_contain_text("80 x 60")
    assert tab.areas() == [40]
    tab.problems.clear()  # the browser tells of the refusal, too


def test_zoom_about_the_cursor_and_pan(serve, open_tab):
    tab = open_tab(serve())
    x, y = tab.place(20, 30)
    tab.page.mouse.move(x, y)
    tab.page.mouse.wheel(0, -400)
    tab.page.wait_for_function("document.getElementById('zoom').textContent !== '100 %'")
    assert np.hypot(*np.subtract(tab.place(20, 30), (x, y))) < 1.5
    for button, key in (("middle", None), ("left", "Space")):
        before = tab.place(20, 30)
        if key:
            tab.page.keyboard.down(key)
        tab.page.mouse.move(x, y)
        tab.page.mouse.down(button=button)
        tab.page.mouse.move(x + 40, y + 25)
        tab.page.mouse.up(button=button)
        if key:
            tab.page.keyboard.up(key)
        assert np.subtract(tab.place(20, 30), before) == pytest.approx((40, 25))
    assert tab.areas() == []  # moving is no click
    tab.click(20, 30)
    assert tab.areas() == [600]


def test_everything_by_keyboard(serve, open_tab):
    tab = open_tab(serve())
    tab.page.focus("#canvas")
    for _ in range(12):
        tab.page.keyboard.press("ArrowUp")
    for _ in range(12):
        tab.page.keyboard.press("ArrowLeft")
    assert "Cross at row" in tab.status()
    tab.press("Enter")
    tab.press("n")
    tab.press("1")
    assert tab.page.locator("#object-list li.active .name").inner_text() == "object 1"
    tab.page.keyboard.press("h")
    assert tab.page.get_attribute("#hide", "aria-pressed") == "true"
    tab.page.keyboard.press("x")
    assert tab.page.get_attribute("[data-sign=remove]", "aria-checked") == "true"
    tab.page.keyboard.press("?")
    tab.expect("#help-dialog").to_be_visible()
    tab.page.keyboard.press("n")  # nothing happens behind the help
    tab.page.keyboard.press("Escape")
    assert len(tab.names()) == 2
    tab.page.keyboard.press("2")
    tab.page.wait_for_selector("#object-list li.active:nth-child(2)")
    tab.press("Delete")
    assert tab.names() == ["object 1"]
    tab.press("Delete")
    assert tab.names() == []
    tab.press("Control+z")  # nothing is asked, for it comes back
    assert tab.names() == ["object 1"]
    tab.page.keyboard.press(".")
    tab.page.wait_for_function("document.title.startsWith('sub/b.png')")
    tab.ready()


def test_export_is_a_download(serve, open_tab):
    tab = open_tab(serve())
    tab.click(20, 20)
    tab.page.click("#export")
    with tab.page.expect_download() as download:
        tab.page.click("[data-format=coco]")
    content = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert download.value.suggested_filename == "coco.json"
    assert content["annotations"][0]["area"] == 600


def test_a_conflict_asks(serve, open_tab, tmp_path):
    url = serve()
    mine, theirs = open_tab(url), open_tab(url)
    mine.click(20, 20)
    theirs.click(40, 60)
    theirs.page.click("#save")
    theirs.page.wait_for_selector("#save-state.saved")
    mine.page.click("#save")
    mine.page.wait_for_selector("#question[open]")
    mine.page.click("#question button:has-text('Replace')")
    mine.page.wait_for_selector("#save-state.saved")
    assert AnnotationStore(tmp_path / "masks").read("a.png").masks[1].sum() == 600
    mine.problems.clear()  # the browser tells of the refusal, too


def test_a_token_is_asked_for(serve, open_tab, chromium):
    from mis_lightning.server.access import Access

    token = "a token of sixteen characters or more"
    url = serve(access=Access("127.0.0.1", token))
    tab = open_tab(f"{url}#token={token.replace(' ', '%20')}")
    assert "token" not in tab.page.url  # nor in the history
    tab.click(20, 20)
    tab.page.reload()
    tab.ready()
    assert tab.areas() == [600]
    stranger = chromium.new_context().new_page()
    stranger.goto(url)
    stranger.wait_for_selector("#token-dialog[open]")
    stranger.fill("#token", "wrong")
    stranger.press("#token", "Enter")
    stranger.wait_for_selector("#token-error:text('Wrong token')")
    stranger.fill("#token", token)
    stranger.press("#token", "Enter")
    stranger.wait_for_selector("#canvas[data-revision]", timeout=60_000)
    stranger.context.close()


@pytest.mark.parametrize("size", [(420, 900), (800, 600), (1280, 800), (1920, 1080)])
def test_nothing_is_out_of_sight_on_any_screen(serve, open_tab, size):
    tab = open_tab(serve())
    tab.page.set_viewport_size({"width": size[0], "height": size[1]})
    tab.page.wait_for_timeout(200)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for what in (
        "#canvas",
        "#undo",
        "#save",
        "#new-object",
        "[data-tool=region]",
        "[data-sign=remove]",
        "#export",
        "#opacity",
        "#help",
    ):
        tab.page.locator(what).scroll_into_view_if_needed()
        box = tab.page.locator(what).bounding_box()
        assert box["x"] >= 0, what
        assert box["x"] + box["width"] <= size[0], what
        assert min(box["width"], box["height"]) >= 24, what  # large enough for a finger
    assert tab.page.locator("#canvas").bounding_box()["height"] > 200


def test_everything_has_a_name(serve, open_tab):
    tab = open_tab(serve())
    tab.click(20, 20)
    nameless = tab.page.evaluate(
        """() => [...document.querySelectorAll('button, input, canvas, progress')]
            .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.title
                || one.labels?.length || one.getAttribute('aria-labelledby')))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []


def test_a_tab_that_was_closed_is_found_at_once(serve, open_tab):
    tab = open_tab(serve())
    tab.click(20, 20)
    context = tab.page.context
    context.new_page()  # or the browser would end
    tab.page.close()
    again = open_tab(tab.page.url, context)
    assert again.areas() == [600]


def test_an_image_that_cannot_be_read_counts_as_such(serve, open_tab, photos):
    (photos / "broken.png").write_bytes(b"no image")
    tab = open_tab(serve())
    tab.page.click("text=broken.png")
    tab.page.wait_for_selector("#notice:has-text('broken.png')")
    assert tab.page.inner_text("#progress-text") == "0 of 2 images saved, 1 unreadable"
    assert "cannot be read" in tab.page.inner_text("#image-list .unreadable")
    tab.page.click("text=a.png")
    tab.ready()
    tab.expect("#notice").to_be_hidden()  # it was about the other
    assert all("422" in problem for problem in tab.problems)  # the refusals, nothing else
    tab.problems.clear()


def test_many_objects_leave_the_rest_of_the_page_in_sight(serve, open_tab):
    tab = open_tab(serve())
    add = """async () => {
        const { page } = await import('/page/page.js');
        for (let k = 0; k < 12; k += 1) await page.change('POST', 'objects');
    }"""
    tab.page.evaluate(add)
    tab.page.wait_for_selector("#object-list li:nth-child(12).active")
    last, panel, slider = (
        tab.page.locator(one).bounding_box() for one in ("#object-list li.active", "#object-list", "#opacity")
    )
    assert panel["y"] <= last["y"] <= panel["y"] + panel["height"] - last["height"] + 1
    assert slider["y"] < 800
    tab.press("1")
    first = tab.page.locator("#object-list li.active").bounding_box()
    assert panel["y"] - 1 <= first["y"]
