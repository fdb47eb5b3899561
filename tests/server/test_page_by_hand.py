"""The last pixels in a real browser: brush, eraser, polygon, tidy masks, clicks by their markers."""

from __future__ import annotations

from mis_lightning.annotation.store import AnnotationStore


def test_brush_eraser_polygon_and_tidying(serve, open_tab, tmp_path):
    tab = open_tab(serve())
    draw = tab.drag
    tab.page.keyboard.press("d")
    tab.page.fill("#brush-size", "0")
    assert tab.page.inner_text("#brush-text") == "1 px"
    for _ in range(4):
        tab.page.keyboard.press("}")
    assert tab.page.inner_text("#brush-text") == "5 px"
    tab.changes(lambda: draw((30, 20), (30, 60)))
    assert tab.areas() == [5 * 41 + 2 * 8]  # a line of 41 pixels, and round ends of 3 + 3 + 1 + 1
    tab.page.keyboard.press("e")
    tab.changes(lambda: draw((30, 20), (30, 20)))
    assert tab.areas()[0] < 221 - 10
    tab.expect("[data-sign=add]").to_be_disabled()  # no eraser that paints
    tab.changes(lambda: draw((30, 20), (30, 20), button="right"))  # the eraser's other side paints
    assert tab.areas() == [221]
    tab.page.keyboard.press("p")
    for place in [(5, 5), (5, 15), (15, 15), (15, 5)]:
        tab.page.mouse.click(*tab.place(*place))
    tab.page.keyboard.press("Control+z")  # of the polygon, not of the image
    tab.page.mouse.click(*tab.place(15, 5))
    tab.press("Enter")
    assert tab.areas() == [221 + 121]
    for place in [(8, 8), (8, 12), (12, 12)]:
        tab.page.mouse.click(*tab.place(*place), button="right")
    tab.changes(lambda: tab.page.mouse.dblclick(*tab.place(12, 8)))  # cut out, closed by a double click
    assert tab.areas() == [221 + 121 - 25]
    tab.changes(lambda: tab.page.click("text=Fill holes"))
    assert tab.areas() == [221 + 121]
    tab.changes(lambda: tab.page.click("text=Smooth border"))
    tab.press("Control+z")
    assert tab.status() == "Undone: smooth on object 1."
    tab.page.click("text=Drop specks")  # both parts are large
    tab.page.wait_for_selector("#notice:text('Nothing changes')")
    tab.page.keyboard.press("o")
    assert tab.page.get_attribute("#outlines", "aria-pressed") == "true"
    tab.page.keyboard.press("Control+s")
    tab.page.wait_for_selector("#save-state.saved")
    record = AnnotationStore(tmp_path / "masks").read("a.png")
    kinds = [action.kind for action in record.log.objects[0].actions]
    assert kinds == ["brush", "brush", "brush", "polygon", "polygon", "fill"]
    assert record.masks[1].sum() == 342
    assert tab.problems.pop().startswith("Failed to load resource")  # the refusal
    assert tab.problems == []


def test_a_click_is_moved_and_deleted_by_its_marker(serve, open_tab):
    tab = open_tab(serve())
    tab.changes(lambda: tab.page.mouse.dblclick(*tab.place(20, 20)))
    tab.click(5, 70, button="right")
    tab.page.mouse.click(*tab.place(20, 20))  # again on the marker
    assert "Drag the marker" in tab.status()
    assert tab.clicks() == [[20, 20, True], [5, 70, False]]
    tab.changes(lambda: tab.drag((20, 20), (44, 60)))
    assert tab.clicks() == [[44, 60, True], [5, 70, False]]
    blue = tab.areas()
    assert blue[0] > 500
    tab.changes(lambda: tab.page.mouse.click(*tab.place(44, 60), button="right"))
    assert tab.clicks() == [[5, 70, False]]
    assert "Deleted" in tab.status()
    tab.press("Control+z")
    tab.press("Control+z")
    assert tab.status() == "Undone: moved click on object 1."
    assert (tab.clicks(), tab.areas()) == ([[20, 20, True], [5, 70, False]], [600])
