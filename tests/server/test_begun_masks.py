"""Masks of other tools, opened as objects to be corrected."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.formats.coco import write_coco
from mis_lightning.formats.named_masks import NamedMasks
from mis_lightning.server.begun_masks import BegunMasks


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((60, 80), np.uint8)
    labels[10:30, 10:40], labels[40:50, 50:70] = 3, 7
    return labels


def test_label_maps_open_as_objects(make_app, open_page, photos, tmp_path, labels):
    (tmp_path / "old").mkdir()
    Image.fromarray(labels).save(tmp_path / "old" / "a_labels.png")
    with pytest.warns(UserWarning, match="for lack of masks in"):
        begun = BegunMasks(photos, tmp_path / "old")
    page = open_page(make_app(begun=begun))
    assert [(line["state"], line["objects"]) for line in page.list()] == [("draft", None), ("none", 0)]
    state = page.open()
    assert [(one["name"], one["area"]) for one in state["objects"]] == [("object 3", 600), ("object 7", 200)]
    assert [one["id"] for one in state["objects"]] == [3, 7]  # as in the file
    assert (state["saved"], state["active"], state["next"]) == ("draft", 7, 8)
    names = page.client.get(f"/api/tabs/{page.tab}/export?format=coco").json()["categories"]
    assert [one["name"] for one in names] == ["object 3", "object 7"]  # exported before it is touched
    page.do("objects/3/select")
    state = page.do("click", row=12, col=12, positive=False)  # and corrected
    assert state["objects"][0]["area"] != 600
    page.do("save")
    record = AnnotationStore(tmp_path / "masks").read("a.png")
    assert [action.kind for action in record.log.objects[0].actions] == ["mask", "click"]
    assert page.list()[0]["state"] == "saved"


def test_a_coco_file_brings_its_classes(make_app, open_page, photos, tmp_path, labels):
    path = tmp_path / "other.json"
    write_coco(path, [NamedMasks.of("a.png", [("cell", labels == 3), ("cell", labels == 7)], labels.shape)])
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["info"]  # of another tool
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.warns(UserWarning, match="for lack of masks in"):
        begun = BegunMasks(photos, path)
    state = open_page(make_app(begun=begun)).open()
    assert [(one["name"], one["category"]) for one in state["objects"]] == [
        ("cell 1", "cell"),
        ("cell 2", "cell"),
    ]
    assert state["classes"] == ["cell"]
    assert AnnotationStore(tmp_path / "masks").classes() == ("cell",)


def test_a_coco_file_keeps_its_numbers(make_app, open_page, photos, tmp_path, labels):
    path = tmp_path / "other.json"
    image = NamedMasks.of("a.png", [("nucleus", labels == 3), ("cell", labels == 7)], labels.shape)
    write_coco(path, [image])
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["info"]
    names = {1: "nucleus", 2: "debris", 3: "cell"}  # of which nothing is debris
    content["categories"] = [{"id": number, "name": names[number]} for number in (3, 1, 2)]
    for entry, number in zip(content["annotations"], (1, 3), strict=True):
        entry["category_id"] = number
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.warns(UserWarning, match="for lack of masks in"):
        page = open_page(make_app(begun=BegunMasks(photos, path)))
    assert page.open()["classes"] == ["nucleus", "debris", "cell"]
    page.do("save")
    exported = page.client.get(f"/api/tabs/{page.tab}/export?format=coco").json()
    assert {one["id"]: one["name"] for one in exported["categories"]} == names
    assert sorted(one["category_id"] for one in exported["annotations"]) == [1, 3]


def test_crowds_are_left_out_and_counted(photos, tmp_path, labels):
    one, crowd = NamedMasks.of("a.png", [("cell", labels == 3), ("cell", labels == 7)], labels.shape).objects
    path = tmp_path / "other.json"
    write_coco(path, [NamedMasks("a.png", labels.shape, (one, replace(crowd, crowd=True)))])
    with (
        pytest.warns(UserWarning, match="1 crowd region of .*other.json left out"),
        pytest.warns(UserWarning, match="for lack of"),
    ):
        BegunMasks(photos, path)


def test_masks_that_overlap_stay_whole(make_app, open_page, photos, tmp_path):
    cell, nucleus = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    cell[5:55, 10:60], nucleus[20:40, 20:40] = True, True
    path = tmp_path / "other.json"
    write_coco(path, [NamedMasks.of("a.png", [("cell", cell), ("nucleus", nucleus)], cell.shape)])
    with pytest.warns(UserWarning, match="for lack of masks in"):
        page = open_page(make_app(begun=BegunMasks(photos, path)))
    assert [one["area"] for one in page.open()["objects"]] == [2500, 400]
    page.do("save")
    exported = page.client.get(f"/api/tabs/{page.tab}/export?format=coco").json()["annotations"]
    assert [one["area"] for one in exported] == [2500, 400]


def test_masks_of_another_size_are_refused_when_their_image_is_opened(make_app, open_page, photos, tmp_path):
    (tmp_path / "old").mkdir()
    Image.fromarray(np.ones((5, 5), np.uint8)).save(tmp_path / "old" / "a.png")
    Image.fromarray(np.ones((48, 64), np.uint8)).save(tmp_path / "old" / "b.png")
    page = open_page(make_app(begun=BegunMasks(photos, tmp_path / "old")))
    answer = page.client.get(page.url())
    assert answer.status_code == 422
    assert "5 rows and 5 columns, but the image has 60 and 80" in answer.json()["detail"]
    assert page.open("sub/b.png")["objects"][0]["area"] == 48 * 64
    with pytest.raises(InputError, match="nothing"):
        BegunMasks(photos, tmp_path / "nothing")


def test_classes_by_their_routes(page, open_page, app):
    url = f"/api/tabs/{page.tab}/classes"
    assert page.client.post(url, json={"name": "cell"}).json() == ["cell"]
    assert page.client.post(url, json={"name": "two\nlines"}).status_code == 422
    page.do("click", row=20, col=20)
    state = page.do("objects/1/class", "PUT", category="nucleus")  # a new one
    assert (state["objects"][0]["category"], state["classes"]) == ("nucleus", ["cell", "nucleus"])
    assert page.do("objects")["objects"][1]["category"] == "nucleus"  # as the one before
    assert page.do("objects/2/class", "PUT", category=None)["undo"] == "class of object 2"
    assert open_page(app).open()["classes"] == ["cell", "nucleus"]  # for everybody


def begun_numbers(images, masks) -> dict[int, list[tuple[int, str]]]:
    """The ids and names of the objects that each slice begins with."""
    begun, found = BegunMasks(images, masks), {}
    for k, plane in enumerate(tifffile.imread(next(images.iterdir()))):
        session = AnnotationSession(np.stack([plane] * 3, axis=-1))
        if begun.has(next(images.iterdir()).resolve(), k):
            begun.begin(session, next(images.iterdir()).resolve(), k)
        found[k] = [(one.id, one.name) for one in session.objects]
    return found


def test_objects_of_a_volume_keep_their_numbers_on_all_slices(tmp_path):
    for name in ("scans", "masks"):
        (tmp_path / name).mkdir()
    tifffile.imwrite(tmp_path / "scans" / "ct.tif", np.zeros((6, 20, 30), np.uint16))
    labels = np.zeros((6, 20, 30), np.uint16)
    labels[0:3, 2:9, 3:8], labels[1:4, 10:19, 10:20] = 3, 700
    tifffile.imwrite(tmp_path / "masks" / "ct.tif", labels)
    three, other = (3, "object 3"), (700, "object 700")
    expected = {0: [three], 1: [three, other], 2: [three, other], 3: [other], 4: [], 5: []}
    assert begun_numbers(tmp_path / "scans", tmp_path / "masks") == expected

    objects = [("cell", labels[1] == 3), ("cell", labels[1] == 700)]
    slices = [NamedMasks.of(f"ct.tif#slice-{k}", objects[: 1 + (k == 1)], labels.shape[1:]) for k in range(3)]
    write_coco(tmp_path / "coco.json", slices)  # numbers of its own it has none: no two are one object
    found = begun_numbers(tmp_path / "scans", tmp_path / "coco.json")
    assert [number for k in range(3) for number, _ in found[k]] == [1, 2, 3, 4]


def test_what_was_saved_keeps_its_numbers(tmp_path, photos, labels):
    session = AnnotationSession(photos / "a.png")
    for mask in (labels == 3, labels == 7, labels == 0):
        session.add_object()
        session.load_mask(mask)
    session.delete(2)
    AnnotationStore(tmp_path / "old").save("a.png", session)
    with pytest.warns(UserWarning, match="for lack of masks in"):
        begun = BegunMasks(photos, tmp_path / "old")
    again = AnnotationSession(photos / "a.png")
    begun.begin(again, (photos / "a.png").resolve(), None)
    assert [one.id for one in again.objects] == [1, 3]
