"""The list of classes, and what is exported of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mis_lightning.annotation.class_list import read_classes
from mis_lightning.annotation.export import export_masks
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.formats.coco import read_coco
from mis_lightning.formats.label_png import read_label_png


def test_a_list_is_one_name_a_line(tmp_path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("\ufeffcell\n\n  großer Kern \r\n", encoding="utf-8")
    assert read_classes(path) == ("cell", "großer Kern")
    for text, told in [("cell\ncell\n", "line 2: the class 'cell'"), ("a" * 101, "line 1: Expected a class")]:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=told):
            read_classes(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="one a line"):
        read_classes(path)


@pytest.fixture
def store(tmp_path, image) -> AnnotationStore:
    """Two cells, one of them and a speck under a nucleus, and something without a class."""
    store = AnnotationStore(tmp_path / "masks")
    assert store.classes() == ()
    assert store.add_classes(["nucleus", " cell "]) == ("nucleus", "cell")
    session = AnnotationSession(image, name="a.png")
    for k, kind in enumerate(["cell", "nucleus", None, "cell"]):
        session.add_object(f"thing {k}", category=kind)
        mask = np.zeros((90, 120), bool)
        mask[10 * k : 10 * k + 15, :20] = True
        session.load_mask(mask)
    store.save("a.png", session)
    return store


def test_classes_are_the_categories_and_names_stay(store, tmp_path) -> None:
    export_masks(store, tmp_path / "out", "coco")
    content = json.loads((tmp_path / "out" / "coco.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in content["categories"]] == ["nucleus", "cell", "unclassified"]
    assert [(one["category_id"], one["name"]) for one in content["annotations"]] == [
        *[(2, "thing 0"), (1, "thing 1"), (3, "thing 2"), (2, "thing 3")]
    ]
    (read,) = read_coco(tmp_path / "out" / "coco.json")
    assert [(one.name, one.category) for one in read.objects] == [
        *[("thing 0", "cell"), ("thing 1", "nucleus"), ("thing 2", None), ("thing 3", "cell")]
    ]


def test_label_maps_of_classes_lie_beside_those_of_objects(store, tmp_path) -> None:
    written = export_masks(store, tmp_path / "out", "labels")
    assert written.failures == {}
    ids, kinds = (read_label_png(tmp_path / "out" / name) for name in ("a.png", "a.classes.png"))
    np.testing.assert_array_equal(kinds, np.array([0, 2, 1, 0, 2])[ids])
    assert json.loads((tmp_path / "out" / "classes.json").read_text(encoding="utf-8")) == {
        "1": "nucleus",
        "2": "cell",
    }
    (store.folder / "classes.txt").unlink()  # those of the objects are known all the same
    export_masks(store, tmp_path / "again", "labels")
    assert json.loads((tmp_path / "again" / "classes.json").read_text(encoding="utf-8")) == {
        "1": "cell",
        "2": "nucleus",
    }


def test_classes_are_in_the_log(store, image) -> None:
    log = json.loads(json.dumps(store.read("a.png").log.to_json()))
    again = AnnotationSession.replay(log, image)
    assert [one.category for one in again.objects] == ["cell", "nucleus", None, "cell"]
    log["objects"][0]["category"] = 7
    with pytest.raises(InputError, match="class"):
        AnnotationSession.replay(log, image)
    loaded = store.load("a.png", image)
    loaded.set_category(1, None)
    assert loaded.undo() == "class of thing 0"
    assert loaded.objects[0].category == "cell"


def test_what_cannot_be_written_is_said_before_the_work(tmp_path) -> None:
    store = AnnotationStore(tmp_path / "a" / "b")
    store.check_writable()
    assert not (tmp_path / "a").exists()  # nothing is left
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="Choose another"):
        AnnotationStore(tmp_path / "file" / "masks").check_writable()
