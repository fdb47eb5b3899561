"""`mis propose`: COCO with scores from a few examples, resumed and never half written."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.commands import propose
from mis_lightning.errors import InputError
from mis_lightning.formats.coco import read_coco
from mis_lightning.formats.rle import decode_rle
from mis_lightning.metrics.functional import iou


@pytest.fixture
def folder(scene, tmp_path):
    """Two images of disks; two disks of the first are marked as `mis annotate` saves them."""
    drawn = []
    (tmp_path / "images" / "b").mkdir(parents=True)
    for name, seed in (("a.png", 0), ("b/c.png", 4)):
        image, disks, _ = scene(seed=seed, size=(90, 120), disks=6, squares=0)
        Image.fromarray(image).save(tmp_path / "images" / name)
        drawn.append(disks)
    session = AnnotationSession(tmp_path / "images" / "a.png")
    for disk in drawn[0][:2]:
        session.add_object()
        session.load_mask(disk)
    AnnotationStore(tmp_path / "masks").save("a.png", session)
    return tmp_path, drawn


def run(folder, *more):
    words = [str(folder / "images"), "--examples", str(folder / "masks"), "--out", str(folder / "out")]
    return propose.main([*words, *more])


def test_the_others_are_found_with_scores(folder, capsys, monkeypatch):
    folder, drawn = folder
    assert run(folder) == 0
    assert "2 examples on 1 image; 2 images" in capsys.readouterr().out
    content = json.loads((folder / "out" / "coco.json").read_text(encoding="utf-8"))
    assert all(0.5 <= one["score"] <= 1 for one in content["annotations"])
    for image, disks in zip(read_coco(folder / "out" / "coco.json"), (drawn[0][2:], drawn[1]), strict=True):
        masks = [decode_rle(one.counts, image.shape) for one in image.objects]
        assert masks, image.image
        found = [max(iou(mask, disk, None) for mask in masks) > 0.7 for disk in disks]
        assert np.mean(found) >= 0.75, image.image
        assert not any(iou(m, d, None) > 0.3 for m in masks for d in drawn[0][:2] if image.image == "a.png")

    # Again: nothing is computed. With one more example, or a damaged file: it is.
    monkeypatch.setattr(propose, "propose_on", lambda *_: pytest.fail("computed again"))
    assert run(folder, "--score", "0.99") == 0
    kept = folder / "out" / "proposals" / "b" / "c.png.json"
    kept.write_text(kept.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    calls = []
    monkeypatch.setattr(propose, "propose_on", lambda *_: calls.append(1) or [])
    assert run(folder) == 0
    assert len(calls) == 1
    session = AnnotationStore(folder / "masks").load("a.png", folder / "images" / "a.png")
    session.add_object()
    session.load_mask(drawn[0][2])
    AnnotationStore(folder / "masks").save("a.png", session)
    assert run(folder) == 0
    assert len(calls) == 3


def test_refused(folder):
    folder, _ = folder
    with pytest.raises(InputError, match="--score"):
        run(folder, "--score", "2")
    (folder / "none").mkdir()
    with pytest.raises(InputError, match="Expected masks"):
        propose.main([str(folder / "images"), "--examples", str(folder / "none")])
    with pytest.raises(InputError):
        propose.main([str(folder / "nowhere"), "--examples", str(folder / "masks")])


def test_pages_of_a_stack_are_looked_at_one_by_one(scene, tmp_path, capsys):
    shown = [scene(seed=seed, size=(90, 120), disks=6, squares=0) for seed in (0, 4)]
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "s.tif", np.stack([image for image, *_ in shown]))
    session = AnnotationSession(shown[0][0])
    for disk in shown[0][1][:2]:
        session.add_object()
        session.load_mask(disk)
    AnnotationStore(tmp_path / "masks").save("s.tif#slice-0", session)
    assert run(tmp_path) == 0
    assert "2 examples on 1 image; 2 images" in capsys.readouterr().out
    found = {one.image: one for one in read_coco(tmp_path / "out" / "coco.json")}
    masks = [decode_rle(one.counts, (90, 120)) for one in found["s.tif#slice-1"].objects]
    best = [max(iou(mask, disk, None) for mask in masks) > 0.7 for disk in shown[1][1]]
    assert np.mean(best) >= 0.75


@pytest.mark.parametrize("place", ["images", "images/masks"])
def test_masks_among_the_images_are_not_looked_at(folder, monkeypatch, place):
    folder, drawn = folder
    (folder / place).mkdir(exist_ok=True)
    Image.fromarray(drawn[0][0].astype(np.uint8)).save(folder / place / "a_mask.png")
    monkeypatch.setattr(propose, "propose_on", lambda *_: [])
    words = [str(folder / "images"), "--examples", str(folder / place), "--out", str(folder / "out")]
    assert propose.main(words) == 0
    content = json.loads((folder / "out" / "coco.json").read_text(encoding="utf-8"))
    assert [one["file_name"] for one in content["images"]] == ["a.png", "b/c.png"]


def test_an_example_that_covers_its_image_is_left_out(folder, monkeypatch, capsys):
    folder, _ = folder
    monkeypatch.setattr(propose, "propose_on", lambda *_: [])
    session = AnnotationSession(folder / "images" / "b" / "c.png")
    session.add_object()
    session.load_mask(np.ones((90, 120), bool))
    AnnotationStore(folder / "masks").save("b/c.png", session)
    assert run(folder) == 0
    said = capsys.readouterr().out
    assert "left out: object 1 of b/c.png, which covers the whole image" in said
    assert "2 examples on 1 image" in said
