"""Classes in a real browser: typed, chosen by key, undone, exported."""

from __future__ import annotations

import json
from pathlib import Path


def test_classes_are_typed_and_chosen_by_their_keys(serve, open_tab):
    tab = open_tab(serve())
    for name in ("cell", "<i>nucleus</i>"):
        tab.page.fill("#classes input", name)
        tab.page.press("#classes input", "Enter")
        tab.page.wait_for_selector(f"#classes button:has-text('{name}')")
    tab.click(20, 20)
    tab.page.focus("#canvas")
    tab.press("2")
    assert tab.page.inner_text("#object-list small") == "600 px · <i>nucleus</i>"
    assert tab.page.locator("#classes [aria-pressed=true]").inner_text().split("\n")[-1] == "<i>nucleus</i>"
    item, panel = (tab.page.locator(one).bounding_box() for one in ("#object-list li", "#objects"))
    assert item["x"] + item["width"] <= panel["x"] + panel["width"]  # however long a name is
    tab.press("n")  # a new object has the class of the one before
    tab.click(40, 60)
    tab.press("1")
    texts = tab.page.locator("#object-list small").all_inner_texts()
    assert [text.split("· ")[1] for text in texts] == ["<i>nucleus</i>", "cell"]
    tab.press("Control+z")
    assert tab.status() == "Undone: class of object 2."
    tab.press("Control+y")
    other = open_tab(tab.page.url, tab.page.context)
    assert other.page.locator("#classes button").count() == 2
    tab.page.click("#export")
    with tab.page.expect_download() as download:
        tab.page.click("[data-format=coco]")
    content = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert [one["name"] for one in content["categories"]] == ["cell", "<i>nucleus</i>"]
    assert [one["category_id"] for one in content["annotations"]] == [2, 1]
