"""A folder of annotations: what was saved is there again, also after a kill, and nothing else is."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings


def asking(model, **settings) -> ClickModelSegmenter | None:
    """The model as a segmenter; ``None``, the merge tree, stays."""
    return None if model is None else ClickModelSegmenter(model, PredictionSettings(**settings))


def clicked(image, model, **options) -> AnnotationSession:
    session = AnnotationSession(image, asking(model), **options)
    session.add_object("red")
    session.click(20, 30)
    session.click(70, 20, False)
    session.add_object("green")
    session.choose_level(50, 90, 12)
    session.click(20, 90)
    return session


def same(one: AnnotationSession, other: AnnotationSession) -> bool:
    return (one.log() | {"image": 0}) == (other.log() | {"image": 0}) and all(
        np.array_equal(one.probability(o.id), other.probability(o.id)) for o in one.objects
    )


@pytest.mark.parametrize("policy", ["keep", "allow"])
def test_what_is_saved_is_loaded(tmp_path, image, net, policy) -> None:
    store = AnnotationStore(tmp_path / "masks")
    assert store.keys() == []
    session = clicked(image, net, overlap=policy)
    store.save("a/größe 1\u202fPM.jpg", session)
    store.save("b.png", clicked(image, None))
    assert store.keys() == ["a/größe 1\u202fPM.jpg", "b.png"]
    assert "b.png" in store
    assert "c.png" not in store

    loaded = store.load("a/größe 1\u202fPM.jpg", image, asking(net))
    np.testing.assert_array_equal(loaded.label_map(), session.label_map())
    assert loaded.overlap == policy
    assert same(loaded, session)
    session.click(1, 1, False)
    loaded.click(1, 1, False)
    assert same(loaded, session)
    assert same(store.load("b.png", image), clicked(image, None))


def test_files_are_what_other_programs_read(tmp_path, image, net) -> None:
    session = clicked(image, net, overlap="allow")
    AnnotationStore(tmp_path).save("b.jpg", session)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.jpg.json", "b.jpg.png"]
    with Image.open(tmp_path / "b.jpg.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.array(picture), session.label_map())
    content = json.loads((tmp_path / "b.jpg.json").read_text(encoding="utf-8"))
    for entry in content["objects"]:  # overlapping objects are whole
        np.testing.assert_array_equal(coco.decode(entry["mask"]), session.own_mask(entry["id"]))


def test_another_model_keeps_the_masks_and_goes_on_from_them(tmp_path, image, net, other_net) -> None:
    store = AnnotationStore(tmp_path)
    session = clicked(image, net)
    store.save("b.jpg", session)
    for model in (other_net, None):
        loaded = store.load("b.jpg", image, asking(model))
        np.testing.assert_array_equal(loaded.label_map(), session.label_map())
        assert [one.name for one in loaded.objects] == ["red", "green"]
        assert [one.n_actions for one in loaded.objects] == [1, 1]
        mask = loaded.mask(2)
        loaded.click(5, 5)
        loaded.undo()
        np.testing.assert_array_equal(loaded.mask(2), mask)
    store.save("b.jpg", loaded)  # a log of its own, which replays
    again = AnnotationSession.replay(store.read("b.jpg").log.to_json(), image)
    np.testing.assert_array_equal(again.label_map(), session.label_map())


def test_the_same_model_goes_on_as_it_was_asked(tmp_path, image, net) -> None:
    store = AnnotationStore(tmp_path)
    session = clicked(image, net)
    store.save("b.jpg", session)
    loaded = store.load("b.jpg", image, asking(net, flip=False, threshold=0.3))
    assert loaded.settings == session.settings
    assert same(loaded, session)


def test_a_mask_is_refused_on_another_image(tmp_path, image, net) -> None:
    store = AnnotationStore(tmp_path)
    store.save("b.jpg", clicked(image, net))
    with pytest.raises(InputError, match="another"):
        store.load("b.jpg", image[::-1], asking(net))


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "../a", "a/../../b", ".hidden", "a//b", "a\\b", "a\0b", "a\nb", "./a", "\ud800"],
)
def test_keys_never_lead_out_of_the_folder(tmp_path, image, key) -> None:
    store = AnnotationStore(tmp_path / "masks")
    for use in (lambda: store.save(key, AnnotationSession(image)), lambda: store.read(key)):
        with pytest.raises(InputError, match="inside its folder"):
            use()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "Expected the annotation"),
        (lambda text: "[" * 100_000, "Expected the annotation"),
        (lambda text: "[]", "mis-click-log"),
        (lambda text: text.replace('"version":1', '"version":2'), "version"),
        (lambda text: text.replace('"counts":"', '"counts":"7'), "runs"),
        (lambda text: text.replace('"counts":', '"points":'), "counts"),
        (lambda text: text.replace('"kind":"click"', '"kind":"exec"'), "kind"),
        (lambda text: text.replace('"positive":true', '"positive":"yes"'), "positive"),
        (lambda text: text.replace('"row":20.0', '"row":NaN'), "click on the image"),
        (lambda text: text.replace('"row":20.0', '"row":"20"'), "position"),
        (lambda text: text.replace('"row":20.0', '"row":20.0,"x":1'), "unknown"),
        (lambda text: text.replace('"id":2', '"id":1'), "ids"),
        (lambda text: text.replace('"next_id":3', '"next_id":1'), "ids"),
        (lambda text: text.replace('"next_id":3', '"next_id":99999999'), "next_id"),
        (lambda text: text.replace('"active":2', '"active":7'), "active"),
        (lambda text: text.replace('"overlap":"keep"', '"overlap":"mix"'), "overlap"),
        (lambda text: text.replace('"name":"red"', '"name":""'), "name"),
        (lambda text: text.replace('"height":90', '"height":"90"'), "height"),
        (lambda text: text.replace('"height":90', '"height":91'), "runs"),
        (lambda text: text.replace('"expansion"', '"__class__"'), "zoom-in"),
        (lambda text: text.replace('"expansion":1.4', '"expansion":0'), "expansion"),
    ],
)
def test_damaged_records_are_refused(tmp_path, image, net, damage, message) -> None:
    store = AnnotationStore(tmp_path)
    store.save("b.jpg", clicked(image, net))
    path = tmp_path / "b.jpg.json"
    text = damage(path.read_text(encoding="utf-8"))
    assert text != path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        store.load("b.jpg", image, asking(net))


def test_what_is_missing_or_cannot_be_written_is_named(tmp_path, image) -> None:
    store = AnnotationStore(tmp_path / "masks")
    with pytest.raises(InputError, match=r"no annotation of b\.jpg"):
        store.read("b.jpg")
    session = AnnotationSession(image)
    with pytest.raises(InputError, match="54 bytes too long for a mask file"):
        store.save("x" * 300 + ".jpg", session)
    store.save("ä" * 123 + ".jpg", session)  # 250 bytes: just fits
    assert store.keys() == ["ä" * 123 + ".jpg"]
    store.remove("ä" * 123 + ".jpg")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is a file"):
        AnnotationStore(tmp_path / "file")
    store.save("b.jpg", session)  # an image without objects
    assert store.load("b.jpg", image).objects == ()


def test_other_json_files_are_no_records(tmp_path, image) -> None:
    store = AnnotationStore(tmp_path)
    store.save("b.jpg", AnnotationSession(image))
    (tmp_path / "coco.json").write_text("{}", encoding="utf-8")
    (tmp_path / ".x").mkdir()
    (tmp_path / ".x" / "c.json").write_text("{}", encoding="utf-8")
    (tmp_path / ".x" / "c.png").write_text("{}", encoding="utf-8")
    assert store.keys() == ["b.jpg"]


def test_a_label_map_of_an_interrupted_save_is_made_again(tmp_path, image, net) -> None:
    store = AnnotationStore(tmp_path)
    session = clicked(image, net)
    store.save("b.jpg", session)
    text = (tmp_path / "b.jpg.json").read_bytes()
    session.reset()
    store.save("b.jpg", session)
    (tmp_path / "b.jpg.json").write_bytes(text)  # as if killed between the two files
    loaded = store.load("b.jpg", image, asking(net))
    with Image.open(tmp_path / "b.jpg.png") as picture:
        np.testing.assert_array_equal(np.array(picture), loaded.label_map())
    assert loaded.mask(2).any()


def save_for_ever(folder, told: int, seed: int) -> None:
    """Save masks whose first pixels count the saves, and tell the number of each once it is kept."""
    store, random = AnnotationStore(folder), np.random.default_rng(seed)
    session = AnnotationSession(np.zeros((300, 400, 3), np.uint8))
    session.add_object()
    for k in itertools.count():
        mask = random.random((300, 400)) < 0.5
        mask[0, :16] = (k >> np.arange(16)) & 1
        session.load_mask(mask)
        store.save("b.jpg", session)
        os.write(told, k.to_bytes(4, "big"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_killed_while_saving_the_last_save_is_there_and_nothing_half_written(tmp_path) -> None:
    folder, random = tmp_path / "masks", np.random.default_rng(0)
    for attempt in range(8):
        heard, told = os.pipe()
        child = os.fork()  # a new interpreter would take seconds to import torch
        if child == 0:
            try:
                save_for_ever(folder, told, attempt)
            finally:
                os._exit(1)
        os.close(told)
        with os.fdopen(heard, "rb") as pipe:
            first = pipe.read(4)
            time.sleep(float(random.uniform(0, 0.2)))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            saved = int.from_bytes((first + pipe.read())[-4:], "big")
        store = AnnotationStore(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["b.jpg.json", "b.jpg.png"]
        session = store.load("b.jpg", np.zeros((300, 400, 3), np.uint8))
        found = int((session.mask()[0, :16].astype(int) << np.arange(16)).sum())
        assert found in (saved, saved + 1)  # it may be killed before it tells
