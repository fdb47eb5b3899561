"""Folders of annotations as other programs read them: pycocotools, Pillow, nibabel."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mis_lightning.annotation.export import export_masks
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError


def drawn(image, masks, overlap) -> AnnotationSession:
    session = AnnotationSession(image, overlap=overlap)
    for name, mask in masks:
        session.add_object(name)
        session.load_mask(mask)
    return session


@pytest.fixture(params=["keep", "overwrite", "allow"])
def sessions(request, image) -> dict[str, AnnotationSession]:
    random = np.random.default_rng(0)

    def masks(*names):
        return [(name, random.random(image.shape[:2]) < 0.5) for name in names]

    sessions = {
        "a.jpg": drawn(image, masks("cat", "dog", "cat"), request.param),
        "a.png": drawn(image, masks("cat"), request.param),
        "b/c.tif": drawn(image, masks("größe/2"), request.param),
        "nothing.jpg": drawn(image, [], request.param),
    }
    sessions["a.jpg"].delete(2)
    return sessions


@pytest.fixture
def store(tmp_path, sessions) -> AnnotationStore:
    store = AnnotationStore(tmp_path / "store")
    for key, session in sessions.items():
        store.save(key, session)
    return store


def test_coco(tmp_path, store, sessions, capsys) -> None:
    written = export_masks(store, tmp_path / "out", "coco")
    assert written.files == [tmp_path / "out" / "coco.json"]
    coco = COCO(written.files[0])
    assert {entry["file_name"] for entry in coco.imgs.values()} == set(sessions)
    for number, entry in coco.imgs.items():
        session = sessions[entry["file_name"]]
        found = coco.loadAnns(coco.getAnnIds(imgIds=number))
        assert len(found) == len(session.objects)
        for one, annotation in zip(session.objects, found, strict=True):
            np.testing.assert_array_equal(coco.annToMask(annotation), session.mask(one.id))
            assert coco.cats[annotation["category_id"]]["name"] == one.name
    capsys.readouterr()


def test_pictures(tmp_path, store, sessions) -> None:
    out = tmp_path / "png"
    names = {"a.jpg.1.png": ("a.jpg", 1), "a.jpg.3.png": ("a.jpg", 3)}
    names |= {"a.png.png": ("a.png", 1), "b/c.png": ("b/c.tif", 1)}
    written = export_masks(store, out, "png")
    assert {path.relative_to(out).as_posix() for path in written.files} == set(names)
    for name, (key, number) in names.items():
        expected = sessions[key].mask(number) * np.uint8(255)
        np.testing.assert_array_equal(np.array(Image.open(out / name)), expected)

    out = tmp_path / "labels"
    names = {"a.jpg.png": "a.jpg", "a.png.png": "a.png", "b/c.png": "b/c.tif", "nothing.png": "nothing.jpg"}
    written = export_masks(store, out, "labels")
    assert {path.relative_to(out).as_posix() for path in written.files} == set(names)
    for name, key in names.items():
        np.testing.assert_array_equal(np.array(Image.open(out / name)), sessions[key].label_map())
    labels = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert labels["a.jpg.png"] == {"1": "cat", "3": "cat"}
    assert labels["b/c.png"] == {"1": "größe/2"}


def test_some_keys(tmp_path, store) -> None:
    written = export_masks(store, tmp_path / "png", "png", ["a.png"])  # now without another a
    assert written.files == [tmp_path / "png" / "a.png"]


def test_damaged_records_and_names_twice_are_said(tmp_path, store, image) -> None:
    (tmp_path / "store" / "a.png.json").write_text("{}", encoding="utf-8")
    store.save("a.1.bmp", drawn(image, [("cat", np.ones(image.shape[:2], bool))], "keep"))
    written = export_masks(store, tmp_path / "png", "png", ["a.1.bmp", "a.jpg", "b/c.tif"])
    assert list(written.failures) == ["a.jpg"]  # a.1.png is that of a.1.bmp
    written = export_masks(store, tmp_path / "coco", "coco")
    assert list(written.failures) == ["a.png"]
    assert "a.png.json" in written.failures["a.png"]
    assert len(json.loads(written.files[0].read_text(encoding="utf-8"))["images"]) == 4


def test_what_does_not_fit_is_refused(tmp_path, store) -> None:
    with pytest.raises(InputError, match="png, labels, coco, volumes"):
        export_masks(store, tmp_path / "out", "gif")
    with pytest.raises(InputError, match="found none"):
        export_masks(AnnotationStore(tmp_path / "empty"), tmp_path / "out", "png")
    with pytest.raises(InputError, match="slices of volumes"):
        export_masks(store, tmp_path / "out", "volumes")
    assert not (tmp_path / "out").exists()


def test_volumes(tmp_path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs the medical extra")
    from mis_lightning.formats.nifti import NiftiSlices

    random, affine = (
        np.random.default_rng(0),
        np.array([[0, 2, 0, 5], [-1, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]]),
    )
    scan = random.integers(0, 400, (9, 11, 13)).astype(np.int16)
    (tmp_path / "scans").mkdir()
    nibabel.save(nibabel.Nifti1Image(scan, affine), tmp_path / "scans" / "ct.nii.gz")
    slices = NiftiSlices(tmp_path / "scans" / "ct.nii.gz", "sagittal")
    store, expected = AnnotationStore(tmp_path / "store"), {}
    for k, names in ((2, ("liver", "spleen")), (5, ("spleen",))):
        session = drawn(slices[k], [(name, random.random(slices.shape) < 0.3) for name in names], "keep")
        store.save(f"ct.nii.gz#sagittal-{k}", session)
        expected[k] = {one.name: session.mask(one.id) for one in session.objects}
    written = export_masks(store, tmp_path / "out", "volumes", volumes=(tmp_path / "scans").joinpath)
    assert written.files == [tmp_path / "out" / "ct.nii.gz"]
    labels = json.loads((tmp_path / "out" / "labels.json").read_text(encoding="utf-8"))["ct.nii.gz"]
    assert labels == {"1": "liver", "2": "spleen"}
    volume = nibabel.load(written.files[0])
    assert volume.shape == scan.shape
    np.testing.assert_array_equal(volume.affine, affine)
    read = NiftiSlices(written.files[0], "sagittal")
    for k in range(len(read)):
        for label, name in labels.items():
            there = expected.get(k, {}).get(name, np.zeros(read.shape, bool))
            np.testing.assert_array_equal(read.values(k) == int(label), there)

    own = export_masks(store, tmp_path / "scans", "volumes", volumes=(tmp_path / "scans").joinpath)
    assert "another folder" in own.failures["ct.nii.gz"]
    np.testing.assert_array_equal(nibabel.load(tmp_path / "scans" / "ct.nii.gz").dataobj, scan)
    (tmp_path / "scans" / "ct.nii.gz").unlink()
    written = export_masks(store, tmp_path / "out", "volumes", volumes=(tmp_path / "scans").joinpath)
    assert "no volume" in written.failures["ct.nii.gz"]
    written = export_masks(store, tmp_path / "png", "png", [store.keys()[1]])  # slices are pictures, too
    assert written.files == [tmp_path / "png" / "ct_sagittal-5.png"]


def test_only_the_keys_of_slices_are_cut(tmp_path, image) -> None:
    store = AnnotationStore(tmp_path / "store")
    keys = [
        "cell #1.png",
        "cell #2.png",
        "a#b#c.tif",
        "x/no #axial-3.png",
        "scan.NII.GZ#axial-3",
        "p#axial-1",
    ]
    for key in keys:
        store.save(key, drawn(image, [("cell", np.ones(image.shape[:2], bool))], "keep"))
    written = export_masks(store, tmp_path / "png", "png")
    names = sorted(path.relative_to(tmp_path / "png").as_posix() for path in written.files)
    assert names == ["a#b#c.png", "cell #1.png", "cell #2.png", "p#axial-1.png", "scan_axial-3.png",
                     "x/no #axial-3.png"]  # fmt: skip
    with pytest.raises(InputError, match="slices of volumes"):
        export_masks(store, tmp_path / "out", "volumes", ["a#b#c.tif"], volumes=tmp_path.joinpath)


def test_an_image_where_a_mask_would_go_stays(tmp_path, image) -> None:
    store = AnnotationStore(tmp_path / "store")
    mask = np.zeros(image.shape[:2], bool)
    mask[2:9, 3:8] = True
    for key in ("colour.png", "grey.png", "deep.png", "other.jpg"):
        store.save(key, drawn(image, [("cat", mask)], "keep"))
    out = tmp_path / "out"
    out.mkdir()
    grey = image[..., 0]
    pictures = {"colour.png": Image.fromarray(image), "grey.png": Image.fromarray(grey)}
    pictures["deep.png"] = Image.fromarray(grey.astype(np.uint16) * 257)
    for name, picture in pictures.items():
        picture.save(out / name)
    before = {name: (out / name).read_bytes() for name in pictures}
    for form in ("png", "labels", "png"):  # labels over masks, and masks over labels
        written = export_masks(store, out, form)
        assert set(written.failures) == set(pictures)
        assert "another folder" in written.failures["grey.png"]
        assert written.files == [out / "other.png"]
        assert {name: (out / name).read_bytes() for name in pictures} == before


def test_masks_of_before_go(tmp_path, image) -> None:
    store, out = AnnotationStore(tmp_path / "store"), tmp_path / "out"
    whole = np.ones(image.shape[:2], bool)
    session = drawn(image, [("cat", whole)], "allow")
    store.save("in[1]/a.jpg", session)
    store.save("in[1]/a.7.jpg", drawn(image, [("cat", whole)], "allow"))

    def names(keys=None):
        export_masks(store, out, "png", keys)
        return sorted(path.name for path in (out / "in[1]").iterdir())

    assert names() == ["a.7.png", "a.png"]
    session.add_object("dog")
    session.load_mask(whole)
    store.save("in[1]/a.jpg", session)
    Image.fromarray(image).save(out / "in[1]" / "a.9.png")  # not a mask
    assert names(["in[1]/a.jpg"]) == ["a.1.png", "a.2.png", "a.7.png", "a.9.png"]
    session.delete(1)
    store.save("in[1]/a.jpg", session)
    assert names() == ["a.7.png", "a.9.png", "a.png"]


def test_label_maps_of_16_bits_are_written_again(tmp_path, image) -> None:
    store = AnnotationStore(tmp_path / "store")
    session = AnnotationSession(image, overlap="allow")
    for number in range(256):
        session.add_object()
        mask = np.zeros(image.shape[:2], bool)
        mask[number // 16, number % 16] = True
        session.load_mask(mask)
    store.save("a.jpg", session)
    for _ in range(2):
        assert not export_masks(store, tmp_path / "out", "labels").failures
    assert np.array(Image.open(tmp_path / "out" / "a.png")).max() == 256
