"""COCO files as pycocotools reads them, and back."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mis_lightning.errors import InputError, Note
from mis_lightning.formats.coco import read_coco, write_coco
from mis_lightning.formats.named_masks import NamedMasks


@pytest.fixture
def images() -> list[NamedMasks]:
    random = np.random.default_rng(0)
    images = []
    for name, shape in (("a/1.jpg", (40, 31)), ("b.png", (17, 60)), ("größe.tif", (5, 5))):
        masks = [(kind, random.random(shape) < 0.4) for kind in ("dog", "cat", "dog")]  # they overlap
        images.append(NamedMasks.of(name, masks, shape))
    return [*images, NamedMasks.of("nothing.jpg", [], (8, 9))]


def test_pycocotools_reads_the_same_masks(tmp_path, images, capsys) -> None:
    path = tmp_path / "coco.json"
    assert write_coco(path, images) == 9
    coco = COCO(path)
    assert [coco.imgs[i]["file_name"] for i in coco.getImgIds()] == [one.image for one in images]
    for number, image in enumerate(images, 1):
        entries = coco.loadAnns(coco.getAnnIds(imgIds=number))
        assert len(entries) == len(image.objects)
        for entry, one, mask in zip(entries, image.objects, image.masks(), strict=True):
            np.testing.assert_array_equal(coco.annToMask(entry), mask)
            assert coco.cats[entry["category_id"]]["name"] == one.name
            rle = coco.annToRLE(entry)
            assert entry["area"] == coco_mask.area(rle) == mask.sum()
            assert entry["bbox"] == coco_mask.toBbox(rle).tolist()
    capsys.readouterr()


def test_files_come_back(tmp_path, images) -> None:
    path = tmp_path / "coco.json"
    write_coco(path, iter(images))
    assert read_coco(path) == images
    write_coco(path, [])
    assert read_coco(path) == []


def test_objects_without_a_pixel_are_left_out(tmp_path) -> None:
    masks = [("cat", np.zeros((4, 5), bool)), ("cat", np.ones((4, 5), bool))]
    assert write_coco(tmp_path / "coco.json", [NamedMasks.of("a.jpg", masks, (4, 5))]) == 1
    (image,) = read_coco(tmp_path / "coco.json")
    assert [mask.all() for mask in image.masks()] == [True]


def test_uncompressed_runs_are_read(tmp_path, images) -> None:
    path = tmp_path / "coco.json"
    write_coco(path, images)
    content = json.loads(path.read_text(encoding="utf-8"))
    for entry, mask in zip(content["annotations"], (m for one in images for m in one.masks()), strict=True):
        flat = mask.ravel(order="F").astype(int)
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *edges.tolist(), flat.size]).tolist()
        entry["segmentation"]["counts"] = ([0] if flat[0] else []) + runs
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_coco(path) == images


def test_crowds_come_back(tmp_path, images, capsys) -> None:
    one, *others = images[0].objects
    images[0] = replace(images[0], objects=(replace(one, crowd=True), *others))
    path = tmp_path / "coco.json"
    write_coco(path, images)
    assert read_coco(path) == images
    coco = COCO(path)
    assert [entry["iscrowd"] for entry in coco.loadAnns(coco.getAnnIds(imgIds=1))] == [1, 0, 0]
    capsys.readouterr()


POLYGONS = [[[3, 4, 20.5, 6, 11, 33.25]], [[-0.5, -0.5, 31.4, 0, 12, 12], [20, 20, 25, 20, 25, 30, 20, 30]]]


@pytest.mark.parametrize("polygons", POLYGONS)
def test_polygons_are_filled_as_pycocotools_does(tmp_path, images, polygons, capsys) -> None:
    path = tmp_path / "coco.json"
    write_coco(path, images)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["annotations"][0]["segmentation"] = polygons
    path.write_text(json.dumps(content), encoding="utf-8")
    coco = COCO(path)
    mask = coco.annToMask(coco.loadAnns(1)[0])
    assert mask.any()
    np.testing.assert_array_equal(read_coco(path)[0].masks()[0], mask)
    capsys.readouterr()


def test_polygons_need_pycocotools(tmp_path, images, monkeypatch) -> None:
    path = tmp_path / "coco.json"
    write_coco(path, images)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["annotations"][0]["segmentation"] = POLYGONS[0]
    path.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(InputError, match=r'coco\.json.*pip install "mis-lightning\[coco\]"'):
        read_coco(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content.pop("images"), "images"),
        (lambda content: content["annotations"][0].update(image_id=99), "99"),
        (lambda content: content["annotations"][0].update(category_id=99), "99"),
        (
            lambda content: content["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
            "Annotation 1 on image 1: Expected polygons of points",
        ),
        (
            lambda content: content["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5, 1e9]]),
            "inside 31x40",
        ),
        (lambda content: content["annotations"][0].update(segmentation=[["a"] * 6]), "do not fit"),
        (lambda content: content["annotations"][0].update(segmentation=[[None] * 6]), "inside 31x40"),
        (lambda content: content["annotations"][0]["segmentation"].update(size=[31, 40]), "size"),
        (lambda content: content["annotations"][0]["segmentation"].update(counts="00"), "runs"),
        (lambda content: content["annotations"][0]["segmentation"].update(counts=[1, "x"]), "whole numbers"),
        (lambda content: content["annotations"][0]["segmentation"].update(counts=7), "runs"),
        (lambda content: content["annotations"].insert(0, None), "do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, images, damage, message) -> None:
    path = tmp_path / "coco.json"
    write_coco(path, images)
    content = json.loads(path.read_text(encoding="utf-8"))
    damage(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_coco(path)
    assert str(path) in str(error.value)


def test_files_that_are_not_json_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"none\.json"):
        read_coco(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"images": [', encoding="utf-8")
    with pytest.raises(InputError, match=r"half\.json"):
        read_coco(tmp_path / "half.json")


@pytest.mark.parametrize("segmentation", [None, [], [[1, 2, 3, 4]]])
def test_a_box_without_a_mask_is_left_out(tmp_path, images, segmentation) -> None:
    path = tmp_path / "coco.json"
    write_coco(path, images)
    content = json.loads(path.read_text(encoding="utf-8"))
    line, square = [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 9.0, 2.0, 9.0, 9.0, 2.0, 9.0]
    content["annotations"][0].update(segmentation=[line, square])
    box = {key: value for key, value in content["annotations"][1].items() if key != "segmentation"}
    content["annotations"][1] = box if segmentation is None else {**box, "segmentation": segmentation}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.warns(Note, match=r"1 annotation without a mask .*coco\.json, the first has id 2"):
        read = read_coco(path)
    assert sum(len(one.objects) for one in read) == len(content["annotations"]) - 1
    assert read[0].masks()[0].sum() == 49  # the line is no part of it
