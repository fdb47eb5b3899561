"""What a page can do, against a session of its own; and hostile requests, which change nothing."""

from __future__ import annotations

import base64
import io
import json
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.formats.label_png import read_label_png
from mis_lightning.formats.nifti import NiftiSlices
from mis_lightning.images import Reading, read_image
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.server import workspace as limits
from mis_lightning.server.access import Access
from mis_lightning.server.app import create_app
from mis_lightning.server.library import Library
from tests.segmenters.sized_model import sized
from tests.server.conftest import picture


def mask_of(one, shape):
    runs = np.frombuffer(base64.b64decode(one["mask"]["runs"]), "<u4").reshape(-1, 2)
    mask = np.zeros(shape[0] * shape[1], bool)
    for first, last in runs:
        mask[first:last] = True
    return mask.reshape(shape)


def masks_of(state):
    shape = state["height"], state["width"]
    return {one["id"]: mask_of(one, shape) for one in state["objects"]}


def test_every_action_is_that_of_a_session(page, photos):
    twin = AnnotationSession(photos / "a.png")

    def same(state):
        assert [one["name"] for one in state["objects"]] == [one.name for one in twin.objects]
        for number, mask in masks_of(state).items():
            np.testing.assert_array_equal(mask, twin.mask(number))
        assert state["active"] == twin.active
        assert (state["undo"], state["redo"]) == (twin.undoable, twin.redoable)
        for one, expected in zip(state["objects"], twin.objects, strict=True):
            assert one["area"] == expected.area
            assert one["category"] == expected.category
            assert [(c["row"], c["col"], c["positive"]) for c in one["clicks"]] == [*expected.clicks]

    with twin.step():
        twin.add_object()
        twin.click(20, 20)
    same(page.do("click", row=20, col=20))
    twin.add_object("the blue one")
    same(page.do("objects", name="the blue one"))
    twin.box(30, 40, 52, 70)
    same(page.do("box", top=30, left=40, bottom=52, right=70))
    twin.click(50, 75, False)
    same(page.do("click", row=50, col=75, positive=False))
    twin.scribble([(2, 2), (4, 60)])
    same(page.do("scribble", points=[[2, 2], [4, 60]]))
    for _ in range(2):
        twin.undo()
        same(page.do("undo"))
    twin.redo()
    same(page.do("redo"))
    twin.brush([(30, 30), (50, 60)], 4.0)
    same(page.do("brush", points=[[30, 30], [50, 60]], radius=4.0))
    twin.polygon([(0, 0), (0, 20), (20, 0)], False)
    same(page.do("polygon", points=[[0, 0], [0, 20], [20, 0]], positive=False))
    twin.smooth_border(3.0)
    same(page.do("tidy", what="smooth", radius=3.0))
    twin.move_click(1, 50, 70)
    same(page.do("clicks/1", "PATCH", row=50, col=70))
    twin.delete_click(1)
    same(page.do("clicks/1", "DELETE"))
    twin.select(1)
    same(page.do("objects/1/select"))
    twin.choose_level(20, 20, 5)
    same(page.do("level", row=20, col=20, level=5))
    twin.rename(1, "red")
    same(page.do("objects/1", "PATCH", name="red"))
    twin.reset()
    same(page.do("reset"))
    drawn = np.zeros((60, 80), bool)
    drawn[5:9, 5:30] = True
    twin.load_mask(drawn)
    same(page.take(upload(page, drawn)))
    twin.delete(2)
    same(page.do("objects/2", "DELETE"))


def upload(page, mask, **options):
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255 if mask.dtype == bool else mask).save(
        buffer, format="PNG", **options
    )
    return send_mask(page, buffer.getvalue())


def send_mask(page, data):
    url = f"{page.url('mask')}?revision={page.state['revision']}"
    return page.client.post(url, content=data, headers={"content-type": "image/png"})


def test_masks_that_the_page_has_are_not_sent_again(page):
    page.do("click", row=20, col=20)
    page.do("objects")
    first, second = page.do("click", row=40, col=60, known=page.masks)["objects"]
    assert first["mask"]["runs"] is None
    assert second["mask"]["runs"] is not None


def test_levels_are_the_regions_of_the_session(page, photos):
    answer = page.client.post(page.url("levels"), json={"row": 20, "col": 20}).json()
    h, w = answer["grid"]
    first = np.frombuffer(base64.b64decode(answer["first"]), "<u2").reshape(h, w)
    rows, cols = np.arange(60) * h // 60, np.arange(80) * w // 80
    twin = AnnotationSession(photos / "a.png")
    assert answer["levels"][0] == 0
    assert answer["levels"][-1] == twin.levels(20, 20) - 1
    assert answer["shares"] == sorted(answer["shares"])
    assert answer["shares"][-1] == 1
    for number in answer["levels"]:
        np.testing.assert_array_equal((first <= number)[rows][:, cols], twin.region(20, 20, number))
    assert page.open()["objects"] == []


def test_saving_puts_the_masks_among_the_results(page, tmp_path):
    assert page.state["saved"] == "none"
    assert page.do("click", row=20, col=20)["saved"] == "draft"
    store = AnnotationStore(tmp_path / "masks")
    assert store.keys() == []
    state = page.do("save")
    assert state["saved"] == "saved"
    assert store.keys() == ["a.png"]
    np.testing.assert_array_equal(store.read("a.png").masks[1], masks_of(state)[1])
    np.testing.assert_array_equal(read_label_png(tmp_path / "masks" / "a.png.png") == 1, masks_of(state)[1])
    assert [line["state"] for line in page.list()] == ["saved", "none"]
    assert page.do("undo")["saved"] == "draft"
    assert list((tmp_path / "masks" / ".drafts").rglob("*.json"))


def test_export_takes_what_the_tab_shows(page, open_page, app, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    page.do("click", row=20, col=20)
    page.do("save")
    expected = {"a.png": masks_of(page.do("click", row=45, col=60))[1]}  # a draft over a result
    page.open("sub/b.png")
    expected["sub/b.png"] = masks_of(page.do("click", row=15, col=20))[1]
    answer = page.client.get(f"/api/tabs/{page.tab}/export?format=coco")
    assert 'filename="coco.json"' in answer.headers["content-disposition"]
    (tmp_path / "coco.json").write_bytes(answer.content)
    read = coco.COCO(str(tmp_path / "coco.json"))
    found = {read.imgs[one["image_id"]]["file_name"]: read.annToMask(one) for one in read.anns.values()}
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask)
    for form, count in (("png", 2), ("labels", 3)):
        answer = page.client.get(f"/api/tabs/{page.tab}/export?format={form}")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == count
            with archive.open("sub/b.png") as file:
                picture = np.asarray(Image.open(file))
        np.testing.assert_array_equal(picture != 0, expected["sub/b.png"])
    stranger = open_page(app)
    answer = stranger.client.get(f"/api/tabs/{stranger.tab}/export?format=png")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["a.png"]  # what is saved, and nobody's drafts


@pytest.mark.parametrize("channel", [None, 1])
def test_slices_of_a_volume_come_back_as_one(open_page, tmp_path, channel):
    nibabel = pytest.importorskip("nibabel")
    values = np.zeros((20, 32, 4), np.int16)
    values[4:16, 8:20, 1:3] = 400  # whole patches
    affine = np.diag([0.75, 0.75, 5, 1])
    (tmp_path / "scans").mkdir()
    stored = values if channel is None else np.stack([values.T.reshape(values.shape), values], axis=-1)
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "scans" / "ct.nii.gz")
    reading = Reading(channels=None if channel is None else (channel,))
    app = create_app(Library(tmp_path / "scans", reading=reading), tmp_path / "masks", access=Access())
    page = open_page(app)
    assert page.client.get("/api/info").json()["volumes"] is True
    assert list(page.images) == [f"ct.nii.gz#axial-{k}" for k in range(4)]
    wanted = NiftiSlices(tmp_path / "scans" / "ct.nii.gz", channel=channel)
    for number in (1, 2):
        page.open(f"ct.nii.gz#axial-{number}")
        if number == 1:
            page.do("objects", name="organ")
        row, col = np.argwhere(wanted.values(number) == 400).mean(0)
        levels = page.client.post(page.url("levels"), json={"row": row, "col": col}).json()
        level = levels["levels"][int(np.argmin(np.abs(np.subtract(levels["shares"], 144 / 640))))]
        page.do("level", row=row, col=col, level=level, object=1)
    answer = page.client.get(f"/api/tabs/{page.tab}/export?format=volumes")
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path / "out")
    labels = nibabel.load(tmp_path / "out" / "ct.nii.gz")
    np.testing.assert_array_equal(labels.affine, affine)
    np.testing.assert_array_equal(np.asarray(labels.dataobj), values // 400)
    assert json.loads((tmp_path / "out" / "labels.json").read_text(encoding="utf-8")) == {
        "ct.nii.gz": {"1": "organ"}
    }


def test_a_folder_without_volumes_has_no_label_volumes(page):
    page.do("click", row=20, col=20)
    assert page.client.get("/api/info").json()["volumes"] is False
    answer = page.client.get(f"/api/tabs/{page.tab}/export?format=volumes")
    assert answer.status_code == 422
    assert "slices of volumes" in answer.json()["detail"]


def test_nothing_to_export_is_said(page):
    answer = page.client.get(f"/api/tabs/{page.tab}/export?format=coco")
    assert answer.status_code == 422
    assert "found none" in answer.json()["detail"]


def test_pictures_are_sent(page, photos):
    key = page.images["a.png"]["key"]
    sent = np.asarray(Image.open(io.BytesIO(page.client.get(f"/api/images/{key}/picture").content)), np.int64)
    assert np.abs(sent - read_image(photos / "a.png")).mean() < 8  # JPEG, of noise
    assert page.client.get(f"/api/images/{key}/thumbnail").headers["content-type"] == "image/jpeg"
    assert page.client.get(f"/api/images/{'0' * 16}/picture").status_code == 404


def test_an_image_that_cannot_be_read_says_so(page, photos):
    (photos / "a.png").write_bytes(b"no image")
    answer = page.client.get(f"/api/images/{page.images['a.png']['key']}/picture")
    assert answer.status_code == 422
    assert "a.png" in answer.json()["detail"]


HOSTILE = [
    ("click", '{"revision": "R", "row": NaN, "col": 5}'),
    ("click", '{"revision": "R", "row": Infinity, "col": 5}'),
    ("click", '{"revision": "R", "row": -Infinity, "col": 5}'),
    ("click", '{"revision": "R", "row": 1e999, "col": 5}'),
    ("click", '{"revision": "R", "row": 1' + "0" * 400 + ', "col": 5}'),
    ("click", '{"revision": "R", "row": 1' + "0" * 5000 + ', "col": 5}'),
    ("click", '{"revision": "R", "row": -1, "col": 5}'),
    ("click", '{"revision": "R", "row": 60, "col": 5}'),
    ("click", '{"revision": "R", "row": 5, "col": 80.0}'),
    ("click", '{"revision": "R", "row": "5", "col": 5}'),
    ("click", '{"revision": "R", "row": true, "col": 5}'),
    ("click", '{"revision": "R", "row": null, "col": 5}'),
    ("click", '{"revision": "R", "row": [5], "col": 5}'),
    ("click", '{"revision": "R", "row": 5, "col": 5, "positive": 1}'),
    ("click", '{"revision": "R", "row": 5, "col": 5, "more": 1}'),
    ("click", '{"revision": "R", "row": 5, "col": 5, "__class__": {}}'),
    ("click", '{"revision": "R", "row": 5}'),
    ("click", '{"revision": "R", "row": 5, "col": 5'),
    ("click", ""),
    ("click", "null"),
    ("click", "[]"),
    ("click", '"\\ud800"'),
    ("click", '{"revision": "R", "row": 5, "col": 5, "\\ud800": 1}'),
    ("click", '{"revision": "\\u0000", "row": 5, "col": 5}'),
    ("click", '{"revision": "R", "row": 5, "col": 5, "known": {"1": "../../etc/passwd"}}'),
    ("click", '{"revision": "R", "row": 5, "col": 5, "known": {"x": "0000000000000000"}}'),
    ("click", "[" * 200000),
    ("click", '{"a":' * 100000),
    ("click", "\x00\xff"),
    ("scribble", '{"revision": "R", "points": []}'),
    ("scribble", '{"revision": "R", "points": [[1, 2, 3]]}'),
    ("scribble", '{"revision": "R", "points": [[1]]}'),
    ("scribble", '{"revision": "R", "points": [[1, NaN]]}'),
    ("scribble", '{"revision": "R", "points": [[1, 2], [3, 80]]}'),
    ("scribble", '{"revision": "R", "points": ' + json.dumps([[1, 2]] * 5000) + "}"),
    ("box", '{"revision": "R", "top": 9, "left": 9, "bottom": 3, "right": 3}'),
    ("box", '{"revision": "R", "top": 9, "left": 9, "bottom": 300, "right": 300}'),
    ("level", '{"revision": "R", "row": 5, "col": 5, "level": -1}'),
    ("level", '{"revision": "R", "row": 5, "col": 5, "level": 1000}'),
    ("level", '{"revision": "R", "row": 5, "col": 5, "level": 1.5}'),
    ("level", '{"revision": "R", "row": 5, "col": 5, "level": 99999999999999999999}'),
    ("levels", '{"row": 60, "col": 5}'),
    ("objects", '{"revision": "R", "name": ""}'),
    ("objects", '{"revision": "R", "name": "' + "x" * 101 + '"}'),
    ("objects", '{"revision": "R", "name": "\\u0000"}'),
    ("objects", '{"revision": "R", "name": "\\ud800"}'),
    ("objects", '{"revision": "R", "name": "a\\nb"}'),
    ("objects", '{"revision": "R", "name": {"a": 1}}'),
    ("objects/7/select", '{"revision": "R"}'),
    ("objects/0/select", '{"revision": "R"}'),
    ("objects/x/select", '{"revision": "R"}'),
    ("objects/99999999999999999999/select", '{"revision": "R"}'),
    ("redo", '{"revision": "R"}'),
    ("save", '{"revision": "R", "replace": "yes"}'),
    ("brush", '{"revision": "R", "points": [[5, 5]], "radius": 0}'),
    ("brush", '{"revision": "R", "points": [[5, 5]], "radius": NaN}'),
    ("brush", '{"revision": "R", "points": [[60, 5]], "radius": 3}'),
    ("brush", '{"revision": "R", "points": [[5, 5]]}'),
    ("polygon", '{"revision": "R", "points": [[5, 5], [9, 9]]}'),
    ("tidy", '{"revision": "R", "what": "shave"}'),
    ("tidy", '{"revision": "R", "what": "fill"}'),  # there is no hole
    ("tidy", '{"revision": "R", "what": "smooth", "radius": 1000}'),
]


@pytest.mark.parametrize(
    ("path", "body"), HOSTILE, ids=[f"{i}-{path}" for i, (path, _) in enumerate(HOSTILE)]
)
def test_hostile_requests_are_refused_and_change_nothing(page, path, body):
    before = page.do("click", row=20, col=20)
    data = body.replace('"R"', json.dumps(before["revision"])).encode("latin-1")
    answer = page.client.post(page.url(path), content=data, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert isinstance(answer.json()["detail"], str)
    after = page.open()
    assert after["revision"] == before["revision"]
    assert masks_of(after)[1].any()
    assert page.do("undo")["objects"] == []  # and the history is as it was


def test_clicks_and_classes_that_are_none_are_refused(page):
    before = page.do("click", row=20, col=20)
    assert page.ask("clicks/1", "DELETE").status_code == 422
    assert page.ask("clicks/-1", "DELETE").status_code == 422
    assert page.ask("clicks/0", "PATCH", row=60, col=5).status_code == 422
    assert page.ask("objects/1/class", "PUT", category="a\nb").status_code == 422
    assert page.ask("objects/9/class", "PUT", category="cell").status_code == 422
    after = page.open()
    assert (after["revision"], after["classes"]) == (before["revision"], [])


@pytest.mark.parametrize(
    "key", ["..", "%2e%2e%2fetc%2fpasswd", "0" * 15, "0" * 17, "g" * 16, "0" * 16, "a.png", "%00"]
)
def test_made_up_images_and_tabs_are_refused(page, key):
    for url in (
        f"/api/tabs/{page.tab}/images/{key}",
        f"/api/images/{key}/picture",
        f"/api/images/{key}/thumbnail",
        f"/api/tabs/{key}/images/{page.images['a.png']['key']}" if key != "0" * 16 else f"/api/images/{key}",
    ):
        answer = page.client.get(url)
        assert 400 <= answer.status_code < 500, url


@pytest.mark.parametrize("name", ["..%2fapp.py", "%2e%2e/app.py", "..%5capp.py", "app.py", "main.js%00"])
def test_only_the_files_of_the_page_are_served(page, name):
    assert page.client.get(f"/page/{name}").status_code == 404
    assert b"FastAPI" not in page.client.get(f"/page/{name}").content


def test_a_name_is_text_and_nothing_else(page):
    name = '<img src=x onerror="alert(1)">'
    assert page.do("objects", name=name)["objects"][0]["name"] == name  # the page sets it as text


def png_of_size(width, height):
    import struct

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no png",
        png_of_size(100000, 100000),
        png_of_size(80, 61),
        png_of_size(80, 60),
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_masks_that_do_not_fit_are_refused(page, data):
    before = page.do("click", row=20, col=20)
    assert send_mask(page, data).status_code == 422
    assert page.open()["revision"] == before["revision"]


def test_masks_of_many_values_are_refused(page):
    assert upload(page, np.arange(4800, dtype=np.uint8).reshape(60, 80)).status_code == 422


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "I;16"])
def test_masks_of_every_kind_are_read(page, mode):
    mask = np.zeros((60, 80), bool)
    mask[10:20, 30:50] = True
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    if mode == "P":
        image = Image.fromarray(mask.astype(np.uint8), mode="P")
        image.putpalette([0, 0, 0, 255, 255, 255])
    elif mode == "I;16":
        image = Image.fromarray(mask.astype(np.uint16) * 1000)
    else:
        image = grey.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    np.testing.assert_array_equal(masks_of(page.take(send_mask(page, buffer.getvalue())))[1], mask)


def test_limits_hold_and_can_be_left_again(page, monkeypatch):
    monkeypatch.setattr(limits, "MAX_ACTIONS", 2)
    page.do("click", row=20, col=20)
    page.do("click", row=21, col=20)
    answer = page.ask("click", row=22, col=20)
    assert answer.status_code == 409
    assert page.do("undo")["objects"][0]["actions"] == 1
    monkeypatch.setattr("mis_lightning.server.context.MAX_OBJECTS", 2)
    page.do("objects")
    assert page.ask("objects").status_code == 409
    assert page.do("objects/2", "DELETE")


def test_what_fails_inside_tells_nothing(page, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("secret")

    page.do("click", row=20, col=20)
    monkeypatch.setattr(AnnotationSession, "click", broken)
    answer = page.ask("click", row=5, col=5)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    monkeypatch.undo()
    assert page.open()["objects"][0]["actions"] == 1


def test_another_answer_to_the_first_click(make_app, open_page, tiny_click_vit):
    look = FirstLook({"node": Weight(0.5, 0.2, 1.0)}, least=8)
    segmenter = ClickModelSegmenter(tiny_click_vit(), PredictionSettings(first_look=look))
    page = open_page(make_app(segmenter=segmenter))
    page.open()
    page.do("click", row=20, col=20)
    seen = [page.state["objects"][0]["mask"]["version"]]
    for _ in range(3):
        page.do("look")
        assert len(page.state["objects"][0]["clicks"]) == 1
        seen.append(page.state["objects"][0]["mask"]["version"])
    assert len(set(seen)) > 1
    page.do("click", row=50, col=70, positive=False)
    answer = page.ask("look")
    assert answer.status_code == 422
    assert "only one answer" in answer.json()["detail"]


def test_the_size_of_an_object(make_app, open_page, tiny_click_vit):
    page = open_page(make_app(segmenter=sized()))
    page.open()
    assert page.client.get("/api/info").json()["granularity"] is True
    twin = AnnotationSession(picture(), sized())
    twin.add_object()
    twin.click(20, 20)
    page.do("click", row=20, col=20)
    assert page.state["objects"][0]["granularity"] is None
    for granularity in (0.9, 0.7, None):
        page.do("granularity", granularity=granularity)
        twin.set_granularity(granularity)
        assert page.state["objects"][0]["granularity"] == granularity
        np.testing.assert_array_equal(masks_of(page.open())[1], twin.mask())
    before = page.state
    for bad in (-0.1, 1.1, "all"):
        assert page.ask("granularity", granularity=bad).status_code == 422
    assert page.ask("granularity").status_code == 422
    assert page.open() == {**before, "times": page.state["times"]}

    other = open_page(make_app(segmenter=ClickModelSegmenter(tiny_click_vit())))
    other.open("sub/b.png")
    assert other.client.get("/api/info").json()["granularity"] is False
    other.do("click", row=20, col=20)
    answer = other.ask("granularity", granularity=0.5)
    assert answer.status_code == 422
    assert "does not take the size" in answer.json()["detail"]


def test_messages_name_files_inside_the_folder(page, photos, tmp_path) -> None:
    """Whoever looks at the page may not know the machine it is served from."""
    (photos / "sub" / "b.png").write_bytes(b"")
    key = page.images["sub/b.png"]["key"]
    answer = page.client.get(f"/api/tabs/{page.tab}/images/{key}")
    assert answer.status_code >= 400
    assert "sub/b.png is empty" in answer.json()["detail"]
    assert str(tmp_path) not in answer.text
