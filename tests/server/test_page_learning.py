"""Learning in a real browser: the switch, the count, the curve, reset."""

from __future__ import annotations

import pytest

from mis_lightning.learning import workbench
from mis_lightning.learning.learner import Learner
from tests.server.test_learning import discs

TEXT = "document.getElementById('learned').textContent"


def test_the_page_shows_what_is_learned(serve, open_tab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workbench, "_LOWEST", 0)
    monkeypatch.setattr(Learner, "_practise", lambda self, lesson: None)
    monkeypatch.setattr(Learner, "_gain", lambda self, lesson: 0.0)
    tab = open_tab(serve(segmenter=discs()))
    page = tab.page
    page.wait_for_selector("#learning")
    assert not page.is_checked("#learn")
    assert page.inner_text("#learned") == "Nothing learned yet."
    page.check("#learn")
    for number, (row, col) in enumerate(((12, 15), (12, 60), (45, 40))):
        if number:
            tab.changes(lambda: page.click("#new-object"))
        tab.click(row, col)
    page.click("#save")
    page.wait_for_function(f"() => {TEXT}.startsWith('Learned from 3 objects')")
    assert page.locator("#learning circle").count() == 3
    assert page.get_attribute("#learning svg", "aria-label") == "Clicks per object: 1, 1, 1"
    other = open_tab(page.url, page.context)
    other.page.wait_for_function(f"() => {TEXT}.includes('3 objects')")
    assert other.page.is_checked("#learn")
    page.click("#learning button:has-text('Reset')")
    page.click("#question button:has-text('Forget')")
    page.wait_for_function(f"() => {TEXT}.startsWith('Nothing')")
    assert tab.problems == []
