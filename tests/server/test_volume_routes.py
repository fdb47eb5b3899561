"""A volume in a tab: carried on slice by slice, undone as one, saved and exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from mis_lightning.formats.volume_files import slice_key
from mis_lightning.server.access import Access
from mis_lightning.server.app import create_app
from mis_lightning.server.library import Library
from tests.annotation.test_volume import GreySegmenter, pictures, truth

nibabel = pytest.importorskip("nibabel", reason="needs the medical extra")
NAME = "scan.nii.gz"


def make_volume(folder: Path, file: str) -> None:
    """The ellipsoid, so that slice k is shown as the test of sessions has it."""
    planes = np.stack([one[..., 0] for one in pictures(truth())]).astype(np.int16) * 4
    folder.mkdir()
    if file.endswith(".tif"):
        tifffile.imwrite(folder / file, planes.astype(np.uint16), compression="zlib")
    else:
        voxels = planes[:, ::-1, ::-1].transpose(2, 1, 0)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 5.0, 1.0])), folder / file)


def exported(path: Path) -> np.ndarray:
    """A label volume as it is shown, ``(slices, H, W)``."""
    if path.suffix == ".tif":
        return tifffile.imread(path)
    return np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0)[:, ::-1, ::-1]


@pytest.fixture
def scan(request) -> str:
    """Name of the volume."""
    return getattr(request, "param", NAME)


both_formats = pytest.mark.parametrize("scan", [NAME, "cells.tif"], indirect=True)


@pytest.fixture
def make_app(tmp_path, scan):
    make_volume(tmp_path / "scans", scan)

    def make():
        library = Library(tmp_path / "scans")
        return create_app(library, tmp_path / "masks", GreySegmenter(), access=Access())

    return make


@pytest.fixture
def page(open_page, make_app):
    return open_page(make_app())


def name(k: int) -> str:
    return f"{NAME}#axial-{k}"


def volume(page, **query) -> dict:
    answer = page.client.get(page.url("volume"), params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def on(page, id: int = 1) -> list[int]:
    return next(
        ([part["slice"] for part in one["parts"]] for one in volume(page)["objects"] if one["id"] == id), []
    )


def carry_on(page, forward: bool, object: int = 1, most: int = 99) -> list[int]:
    """What the page does: one request for each slice."""
    run = page.client.post(
        page.url("volume/run"), json={"object": object, "revision": page.state["revision"]}
    )
    assert run.status_code == 200, run.text
    done, slices = volume(page)["at"], []
    while len(slices) < most:
        body = {**run.json(), "object": object, "forward": forward, "done": done}
        answer = page.client.post(page.url("volume/carry"), json=body)
        assert answer.status_code == 200, answer.text
        if answer.json()["done"] is None:
            break
        done = answer.json()["done"]["slice"]
        slices.append(done)
    return slices


def test_the_list_says_which_images_are_slices_of_one_volume(page):
    lines = page.list()
    assert [line["volume"] for line in lines] == [NAME] * 9
    page.open(name(4))
    told = volume(page)
    assert told["slices"] == [line["key"] for line in lines]
    assert told["at"] == 4
    assert told["objects"] == []
    assert told["values"][0] < told["window"][0] < told["window"][1] < told["values"][1]


@both_formats
def test_carried_on_corrected_undone_and_exported(page, tmp_path, scan):
    page.open(slice_key(scan, "axial", 4))
    page.do("click", row=34, col=49)
    assert carry_on(page, True) == [5, 6, 7]
    assert carry_on(page, False) == [3, 2, 1]
    assert on(page) == [1, 2, 3, 4, 5, 6, 7]
    parts = volume(page)["objects"][0]["parts"]
    assert [part["carried"] for part in parts] == [True, True, True, False, True, True, True]

    page.do("volume/undo", object=1)  # the run down
    assert on(page) == [4, 5, 6, 7]
    told = volume(page, object=1)
    assert (told["undo"], told["redo"]) == (True, True)  # the run up, the run down
    page.do("volume/redo", object=1)
    assert on(page) == [1, 2, 3, 4, 5, 6, 7]

    page.open(slice_key(scan, "axial", 6))
    assert page.state["active"] == 1
    page.do("volume/empty", object=1)
    assert carry_on(page, True) == [7]
    assert on(page) == [1, 2, 3, 4, 5]
    saved = page.do("volume/save")
    assert saved["saved"] == "saved"
    assert sorted(path.name for path in (tmp_path / "masks").glob("*.json")) == [
        f"{slice_key(scan, 'axial', k)}.json" for k in range(1, 8)
    ]
    export = page.client.get(f"/api/tabs/{page.tab}/export?format=volumes")
    (tmp_path / "out.zip").write_bytes(export.content)
    import zipfile

    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path / "out")
    shown = exported(tmp_path / "out" / scan)
    assert shown.shape == truth().shape
    wanted = truth() & (np.arange(9) < 6)[:, None, None]
    assert set(np.unique(shown)) == {0, 1}
    assert (
        2 * np.count_nonzero((shown == 1) & wanted) / (np.count_nonzero(shown) + np.count_nonzero(wanted))
        > 0.9
    )


def test_objects_keep_their_ids_from_slice_to_slice(page):
    page.open(name(4))
    page.do("click", row=34, col=49)
    page.do("objects", name="other")
    page.do("click", row=3, col=3)
    assert page.state["active"] == 2
    page.open(name(5))
    page.do("click", row=36, col=50, object=1)  # the object of the other slice, though another was last
    assert [one["id"] for one in page.state["objects"]] == [1]
    page.do("objects")
    assert page.state["active"] == 3  # not 2, which is taken in the volume
    page.do("undo")
    assert page.state["active"] == 1
    page.do("objects/1", "PATCH", name="cell")
    page.open(name(4))
    assert {one["id"]: one["name"] for one in page.state["objects"]} == {1: "cell", 2: "other"}
    page.do("volume/delete", object=1)
    assert [one["id"] for one in page.state["objects"]] == [2]
    assert on(page) == []
    assert page.ask("volume/delete", object=1).status_code == 422


def test_a_run_that_a_kill_cut_short_is_taken_up_and_undone(open_page, make_app):
    page = open_page(make_app())
    page.open(name(4))
    page.do("click", row=34, col=49)
    assert carry_on(page, True, most=2) == [5, 6]
    cookies = page.client.cookies
    again = open_page(make_app(), tab=page.tab, cookies=cookies)  # a new process
    again.open(name(4))
    assert on(again) == [4, 5, 6]
    assert carry_on(again, True) == [5, 6, 7]
    again.do("volume/undo", object=1)
    assert on(again) == [4, 5, 6]
    again.do("volume/undo", object=1)
    assert on(again) == [4]


def test_tabs_do_not_see_each_other(open_page, make_app):
    app = make_app()
    one, other = open_page(app), open_page(app)
    for page in (one, other):
        page.open(name(4))
    one.do("click", row=34, col=49)
    carry_on(one, True)
    assert on(other) == []
    other.do("click", row=3, col=3)
    one.do("volume/save")
    refused = other.ask("volume/save")
    assert refused.status_code == 412
    assert name(4) in refused.json()["detail"]


def test_the_window_is_the_tab_s_own_and_masks_stay(open_page, make_app, tmp_path):
    app = make_app()
    page, other = open_page(app), open_page(app)
    page.open(name(4))
    page.do("click", row=34, col=49)
    area, before = page.state["objects"][0]["area"], page.client.get(page.url("picture")).content
    page.do("volume/window", window=[0.0, 4000.0])
    assert volume(page)["window"] == [0.0, 4000.0]
    assert page.state["objects"][0]["area"] == area
    darker = page.client.get(page.url("picture")).content
    assert darker != before
    other.open(name(4))
    assert other.client.get(other.url("picture")).content == before
    page.do("click", row=3, col=3)
    log = json.loads(next((tmp_path / "masks" / ".drafts").rglob(f"{name(4)}.json")).read_bytes())
    assert log["image"]["reading"] == {"window": [0.0, 4000.0]}
    again = open_page(make_app(), tab=page.tab, cookies=page.client.cookies)
    again.open(name(4))
    assert volume(again)["window"] == [0.0, 4000.0]
    again.do("volume/window", window=None)
    assert again.client.get(again.url("picture")).content == before
    assert again.ask("volume/window", window=[5.0, 5.0]).status_code == 422


def test_what_does_not_fit_is_refused(page, tmp_path):
    page.open(name(4))
    run = {"object": 1, "revision": page.state["revision"]}
    nothing = page.client.post(page.url("volume/run"), json=run)
    assert nothing.status_code == 422
    assert "Click on it first" in nothing.json()["detail"]
    page.do("click", row=34, col=49)
    assert page.client.post(page.url("volume/run"), json=run).status_code == 409  # a state of before
    body = {"object": 1, "after": 1, "number": 1, "forward": True}
    assert page.client.post(page.url("volume/carry"), json={**body, "done": 99}).status_code == 422
    assert page.client.post(page.url("volume/carry"), json={**body, "done": -1}).status_code == 422
    assert page.ask("volume/undo", object=9).status_code == 422


def test_an_image_is_no_volume(photos, open_page, tmp_path):
    page = open_page(create_app(Library(photos), tmp_path / "out", GreySegmenter(), access=Access()))
    page.open()
    answer = page.client.get(page.url("volume"))
    assert answer.status_code == 422
    assert "slice of a volume" in answer.json()["detail"]
    assert [line["volume"] for line in page.list()] == [None] * len(page.images)
