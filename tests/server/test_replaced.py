"""Identity is that of the pixels in the file: another window changes nothing, another file is noticed."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.images import Reading
from mis_lightning.server.access import Access
from mis_lightning.server.app import create_app
from mis_lightning.server.library import Library


def masks_of(state):
    return [one["mask"]["version"] for one in state["objects"]]


def replace_image(path, pixels):
    before = path.stat()
    Image.fromarray(pixels).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


@pytest.fixture
def other(photos):
    """Other pixels of the same size."""
    return np.array(Image.open(photos / "a.png"))[::-1].copy()


@pytest.mark.parametrize("saved", [False, True])
def test_a_window_changes_nothing_for_what_is_saved(tmp_path, open_page, saved):
    nibabel = pytest.importorskip("nibabel")
    folder = tmp_path / "scans"
    folder.mkdir()
    values = np.random.default_rng(0).integers(-1000, 1000, (40, 48, 3)).astype(np.int16)
    values[8:24, 8:30] += 2000
    nibabel.save(nibabel.Nifti1Image(np.stack([values, -values], -1), np.eye(4)), folder / "ct.nii.gz")
    deep = (values[..., 0].astype(np.int32) + 1000).astype(np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")

    def page_of(reading):
        app = create_app(Library(folder, reading=reading), tmp_path / "masks", access=Access())
        return open_page(app)

    first = page_of(Reading((-160, 240), channels=(0,)))
    versions = {}
    for name in ("ct.nii.gz#axial-1", "deep.png"):
        first.open(name)
        first.do("click", row=20, col=15)
        versions[name] = masks_of(first.do("save") if saved else first.state)
    cookies = first.client.cookies
    for reading in (
        Reading((0, 99), channels=(0,)),
        Reading(channels=(0,)),
        Reading((-160, 240), channels=(0,)),
    ):
        later = page_of(reading)
        if not saved:
            app = create_app(Library(folder, reading=reading), tmp_path / "masks", access=Access())
            later = open_page(app, tab=first.tab, cookies=cookies)
        for name, expected in versions.items():
            assert masks_of(later.open(name)) == expected
    later = page_of(Reading(channels=(1,)))  # of the volume the other channel
    if saved:
        assert masks_of(later.open("ct.nii.gz#axial-1")) == versions["ct.nii.gz#axial-1"]
        later.do("click", row=30, col=38)  # and on it goes, from the mask
        assert later.state["objects"][0]["actions"] == 2


@pytest.mark.parametrize("asked", ["open", "click", "save", "levels"])
@pytest.mark.parametrize("begun", ["clicked", "saved", "only opened"])
def test_a_replaced_image_is_noticed(page, photos, other, tmp_path, asked, begun):
    if begun != "only opened":
        page.do("click", row=20, col=20)
    if begun == "saved":
        page.do("save")
    results = AnnotationStore(tmp_path / "masks")
    before = results.read("a.png") if begun == "saved" else None
    replace_image(photos / "a.png", other)
    if asked == "open":
        answer = page.client.get(page.url())
    elif asked == "levels":
        answer = page.client.post(page.url("levels"), json={"row": 3, "col": 4})
    else:
        answer = page.ask(asked, **({"row": 30, "col": 30} if asked == "click" else {}))
    assert answer.status_code == 410, answer.text
    assert "a.png was replaced" in answer.json()["detail"]
    assert (results.read("a.png") if begun == "saved" else None) == before  # nothing was saved on it
    page.take(
        page.client.get(page.url().replace(page.images["a.png"]["key"], page.images["sub/b.png"]["key"]))
    )


def test_the_user_may_keep_the_masks(page, photos, other, tmp_path):
    versions = masks_of(page.do("click", row=20, col=20))
    replace_image(photos / "a.png", other)
    kept = page.take(page.client.post(page.url("adopt"), json={"masks": True}))
    assert masks_of(kept) == versions
    assert kept["saved"] == "draft"
    assert kept["objects"][0]["clicks"] == []
    page.do("click", row=40, col=40)
    page.do("save")
    assert AnnotationStore(tmp_path / "masks").load("a.png", photos / "a.png").objects


def test_the_user_may_begin_anew(page, photos, other, app, open_page):
    page.do("click", row=20, col=20)
    page.do("save")
    replace_image(photos / "a.png", other)
    anew = page.take(page.client.post(page.url("adopt"), json={"masks": False}))
    assert anew["objects"] == []
    page.do("click", row=20, col=20)
    assert page.do("save")["saved"] == "saved"
    assert masks_of(open_page(app).open("a.png")) == masks_of(page.state)


def test_masks_of_another_size_cannot_be_kept(page, photos):
    page.do("click", row=20, col=20)
    replace_image(photos / "a.png", np.zeros((30, 30, 3), np.uint8))
    answer = page.client.post(page.url("adopt"), json={"masks": True})
    assert answer.status_code == 422
    assert "30x30" in answer.json()["detail"]
    assert page.take(page.client.post(page.url("adopt"), json={"masks": False}))["width"] == 30


def test_a_file_that_was_only_touched_is_the_same(page, photos):
    before = page.do("click", row=20, col=20)
    replace_image(photos / "a.png", np.array(Image.open(photos / "a.png")))
    assert page.open()["revision"] == before["revision"]
    page.do("click", row=40, col=40)
