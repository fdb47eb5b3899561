"""The slider of the size in a real browser: when it is there, what it asks, and auto."""

from __future__ import annotations

import json

from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.granularity import granularity_of_area
from tests.segmenters.sized_model import sized


def value(tab) -> float:
    return float(tab.page.input_value("#granularity"))


def test_the_slider_answers_again(serve, open_tab, tmp_path):
    tab = open_tab(serve(segmenter=sized()))
    page = tab.page
    tab.expect("#size").to_be_hidden()
    tab.click(30, 40)
    page.wait_for_selector("#size", state="visible")
    (free,) = tab.areas()
    assert abs(value(tab) - granularity_of_area(free, (60, 80))) < 0.01
    assert page.inner_text("#granularity-text") == "auto"
    tab.expect("#granularity-auto").to_be_disabled()

    asked = []
    page.on("request", lambda r: r.url.endswith("/granularity") and asked.append(json.loads(r.post_data)))
    tab.changes(lambda: page.evaluate(
        """() => {
            const slider = document.getElementById('granularity');
            for (const value of [0.3, 0.5, 0.95, 0.9]) {
                slider.value = value;
                slider.dispatchEvent(new Event('input'));
            }
        }"""
    ))  # fmt: skip
    assert [one["granularity"] for one in asked] == [0.9]  # the last one only
    (large,) = tab.areas()
    assert abs(large / 4800 - 10**-0.4) < 0.08
    assert value(tab) == 0.9
    assert page.inner_text("#granularity-text") == "40 % of the image"
    tab.press("k")
    assert value(tab) == 0.85
    assert tab.areas()[0] < large
    tab.press("l")
    assert tab.areas() == [large]
    tab.press("Control+z")
    assert value(tab) == 0.85
    assert tab.status() == "Undone: size on object 1."
    tab.press("Control+y")
    tab.click(32, 44)
    assert value(tab) == 0.9  # later clicks keep it
    tab.changes(lambda: page.click("#granularity-auto"))
    assert page.inner_text("#granularity-text") == "auto"
    tab.press("Control+z")
    tab.press("Control+z")
    assert tab.areas() == [large]
    tab.changes(lambda: page.dblclick("#granularity"))
    area = "document.querySelector('#object-list .text small').textContent"
    page.wait_for_function(f"text => {area} === text", arg=f"{free} px")
    assert page.inner_text("#granularity-text") == "auto"

    page.keyboard.press("l")
    tab.changes(lambda: page.keyboard.press("n"))  # what was still waiting is of the first object
    page.wait_for_function("() => document.querySelectorAll('#object-list li').length === 2")
    tab.expect("#size").to_be_hidden()
    page.keyboard.press("Control+s")
    page.wait_for_selector("#save-state.saved")
    record = AnnotationStore(tmp_path / "masks").read("a.png")
    assert [action.kind for action in record.log.objects[0].actions] == ["click", "granularity"]
    page.keyboard.press("?")
    assert "size of the object" in page.inner_text("#key-table")


def test_no_slider_for_other_models(serve, open_tab):
    tab = open_tab(serve())
    tab.click(20, 20)
    tab.expect("#size").to_be_hidden()
    tab.page.keyboard.press("l")
    assert tab.problems == []


def test_a_refusal_is_told_and_the_slider_goes_back(serve, open_tab, monkeypatch):
    def refuse(self, state, granularity):
        raise InputError("Not today.")

    monkeypatch.setattr(ClickModelSegmenter, "with_granularity", refuse)
    tab = open_tab(serve(segmenter=sized()))
    tab.click(30, 40)
    before = value(tab)
    tab.page.keyboard.press("l")
    tab.page.wait_for_selector("#notice:text('Not today.')")
    tab.page.wait_for_function("() => document.getElementById('granularity-text').textContent === 'auto'")
    assert value(tab) == before
    assert tab.problems.pop().startswith("Failed to load resource")
