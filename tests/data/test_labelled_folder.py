"""Objects of one's own images, from masks in every form that is read."""

from __future__ import annotations

import json
import os
import re
import unicodedata
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from mis_lightning import AnnotationSession, AnnotationStore
from mis_lightning.data.labelled_folder import LabelledFolder
from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError, Note
from mis_lightning.formats.binary_png import write_binary_png
from mis_lightning.formats.coco import write_coco
from mis_lightning.formats.label_png import write_label_png
from mis_lightning.formats.named_masks import NamedMask, NamedMasks
from mis_lightning.formats.volume_files import open_slices, slice_key
from mis_lightning.grey_levels import to_rgb
from mis_lightning.images import Reading

SHAPE = (20, 30)


def boxes(count: int = 3) -> np.ndarray:
    """Labels 1, 2, … of 4 x 5 pixels each, side by side."""
    labels = np.zeros(SHAPE, np.uint16)
    for k in range(count):
        labels[3:7, 6 * k : 6 * k + 5] = k + 1
    return labels


def picture(path: Path, shape: tuple[int, int] = SHAPE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "images" / "deep" / "b.jpg")
    return tmp_path / "images"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    (tmp_path / "masks").mkdir()
    return tmp_path / "masks"


def opened(images: Path, masks: Path, **options: Any) -> LabelledFolder:
    return LabelledFolder(images, masks, **{"min_area": 1, **options})


def both(benchmark: LabelledFolder, names: list[str], labels: np.ndarray) -> None:
    """Both images have these objects, and label 1, 2, … of ``labels`` are their masks."""
    samples = [benchmark[index] for index in range(len(benchmark))]
    assert [one.name for one in samples] == [f"{key}#{n}" for key in ("a.png", "deep/b.jpg") for n in names]
    for sample, number in zip(samples, 2 * [*range(1, len(names) + 1)], strict=True):
        np.testing.assert_array_equal(sample.mask, labels == number)
        assert (sample.mask.dtype, sample.image.shape, sample.ignore) == (np.bool_, (*SHAPE, 3), None)


# --- every form of masks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["", "_mask", "_cp_masks"])
@pytest.mark.parametrize("end", ["8.png", "16.png", "16.tif"])
def test_label_maps(images: Path, masks: Path, tail: str, end: str) -> None:
    depth, suffix = end.split(".")
    labels = boxes().astype(f"uint{depth}")
    (masks / "deep").mkdir()
    for stem in ("a", "deep/b"):
        path = masks / f"{stem}{tail}.{suffix}"
        tifffile.imwrite(path, labels) if suffix == "tif" else Image.fromarray(labels).save(path)
    both(opened(images, masks), ["1", "2", "3"], boxes())


def test_masks_without_the_folders_of_the_images(images: Path, masks: Path) -> None:
    for stem in ("a", "b"):
        write_label_png(masks / f"{stem}.png", boxes())
    both(opened(images, masks), ["1", "2", "3"], boxes())


def test_one_binary_mask(images: Path, masks: Path) -> None:
    write_binary_png(masks / "a.png", boxes() > 0)
    Image.fromarray(boxes() > 0).save(masks / "b.png")  # of one bit
    assert [one.name for one in opened(images, masks)] == ["a.png#255", "deep/b.jpg#1"]
    np.testing.assert_array_equal(opened(images, masks)[1].mask, boxes() > 0)


@pytest.mark.parametrize(
    "form", ["{stem}_{n}.png", "{stem}.{n}.png", "{stem}/{n}.png", "{stem}/masks/{n}.png"]
)
def test_a_file_for_each_object(images: Path, masks: Path, form: str) -> None:
    labels = boxes()
    for stem in ("a", "b"):
        for n in (1, 2, 3):
            write_binary_png(masks / form.format(stem=stem, n=n), labels == n)
    both(opened(images, masks), ["1", "2", "3"], labels)


def test_objects_are_counted_not_spelled(images: Path, masks: Path) -> None:
    for n in (1, 2, 10):
        write_binary_png(masks / f"a_{n}.png", boxes() == min(n, 3))
    assert [one.name for one in opened(images / "a.png", masks)] == ["a.png#1", "a.png#2", "a.png#10"]


@pytest.mark.parametrize("place", ["coco.json", "masks"])
def test_coco(images: Path, masks: Path, place: str) -> None:
    labels = boxes()
    objects = [("cell", labels == n) for n in (1, 2, 3)]
    write_coco(masks / "coco.json", [NamedMasks.of(key, objects, SHAPE) for key in ("a.png", "deep/b.jpg")])
    both(opened(images, masks / "coco.json" if place == "coco.json" else masks), ["1", "2", "3"], labels)


def test_crowds_of_coco_do_not_count(images: Path, masks: Path) -> None:
    one, crowd = NamedMasks.of("a.png", [("cell", boxes() == 1), ("cell", boxes() == 2)], SHAPE).objects
    named = NamedMasks("a.png", SHAPE, (one, NamedMask("cell", crowd.counts, crowd=True)))
    write_coco(masks / "coco.json", [named])
    (sample,) = opened(images / "a.png", masks)
    np.testing.assert_array_equal(sample.mask, boxes() == 1)
    assert sample.ignore is not None
    np.testing.assert_array_equal(sample.ignore, boxes() == 2)


@pytest.mark.parametrize("overlap", ["keep", "overwrite", "allow"])
def test_what_annotate_saves(images: Path, masks: Path, overlap: Any) -> None:
    session = AnnotationSession(images / "a.png", overlap=overlap)
    for name in ("cell", "cell", "cell"):
        session.add_object(name)
        session.box(top=2, left=2, bottom=12, right=14)
    session.select(2)
    session.reset()
    AnnotationStore(masks).save("a.png", session)
    found = {one.name: one.mask for one in opened(images / "a.png", masks)}
    for number in (1, 2, 3):
        mask = session.mask(number)
        assert (f"a.png#{number}" in found) == bool(mask.any())
        if mask.any():
            np.testing.assert_array_equal(found[f"a.png#{number}"], mask)
    assert len(found) == (2 if overlap == "allow" else 1)


@pytest.mark.parametrize("form", ["png", "labels", "coco"])
def test_what_export_masks_writes(images: Path, masks: Path, tmp_path: Path, form: Any) -> None:
    from mis_lightning.annotation.export import export_masks

    session = AnnotationSession(images / "a.png")
    for left in (2, 18):
        session.add_object()
        session.box(top=2, left=left, bottom=9, right=left + 8)
    store = AnnotationStore(masks)
    store.save("a.png", session)
    export_masks(store, tmp_path / "out", form)
    found = list(opened(images / "a.png", tmp_path / "out"))
    assert [one.name for one in found] == ["a.png#1", "a.png#2"]
    for number, one in enumerate(found, 1):
        np.testing.assert_array_equal(one.mask, session.mask(number))


def nifti(path: Path, values: np.ndarray) -> Path:
    nibabel = pytest.importorskip("nibabel")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 2.0, 1.0])), path)
    return path


@pytest.mark.parametrize("alone", [False, True])
def test_label_volumes(tmp_path: Path, alone: bool) -> None:
    values = np.random.default_rng(0).integers(0, 200, (12, 10, 4)).astype(np.int16)
    labels = np.zeros((12, 10, 4), np.uint8)
    labels[2:5, 3:6, 1], labels[6:9, 3:6, 1:3] = 1, 2
    scan = nifti(tmp_path / "scans" / "ct_0000.nii.gz", values)
    truth = nifti(tmp_path / "labels" / "ct.nii.gz", labels)
    benchmark = opened(scan, truth) if alone else opened(tmp_path / "scans", tmp_path / "labels")
    names = [one.name for one in benchmark]
    assert names == [f"ct_0000.nii.gz#axial-{k}#{n}" for k, n in ((1, 1), (1, 2), (2, 2))]
    from mis_lightning.formats.nifti import NiftiSlices

    slices = NiftiSlices(scan)
    np.testing.assert_array_equal(benchmark[1].mask, slices.read_labels(truth)[1] == 2)
    np.testing.assert_array_equal(benchmark[1].image, slices[1])
    sagittal = opened(scan, truth, axis="sagittal")
    assert sagittal[0].name == "ct_0000.nii.gz#sagittal-2#1"


@pytest.mark.parametrize("alone", [False, True])
def test_label_pages_of_a_tiff_stack(tmp_path: Path, alone: bool) -> None:
    values = np.random.default_rng(0).integers(0, 4000, (4, 10, 12)).astype(np.uint16)
    labels = np.zeros((4, 10, 12), np.uint16)
    labels[1, 3:6, 2:5], labels[1:3, 3:6, 6:9] = 1, 700
    for folder in ("scans", "labels"):
        (tmp_path / folder).mkdir()
    scan, truth = tmp_path / "scans" / "cells.tif", tmp_path / "labels" / "cells_masks.tif"
    tifffile.imwrite(scan, values, photometric="minisblack")
    tifffile.imwrite(truth, labels, compression="zlib", photometric="minisblack")
    benchmark = opened(scan, truth) if alone else opened(tmp_path / "scans", tmp_path / "labels")
    names = [one.name for one in benchmark]
    assert names == [f"cells.tif#slice-{k}#{n}" for k, n in ((1, 1), (1, 700), (2, 700))]
    np.testing.assert_array_equal(benchmark[2].mask, labels[2] == 700)
    shown = to_rgb(values[2], window=tuple(np.percentile(values, (0.5, 99.5))))
    np.testing.assert_array_equal(benchmark[2].image, shown)
    tifffile.imwrite(truth, labels[0])
    with pytest.raises(ImageError, match=r"Expected a label volume for .*cells\.tif"):
        opened(tmp_path / "scans", tmp_path / "labels")


@pytest.mark.parametrize("form", ["png", "labels", "coco", "volumes"])
@pytest.mark.parametrize("volume", ["cells.tif", "ct.nii"])
def test_what_export_masks_writes_of_slices(tmp_path: Path, masks: Path, form: Any, volume: str) -> None:
    from mis_lightning.annotation.export import export_masks

    values = np.arange(4 * 10 * 12, dtype=np.int16).reshape(4, 10, 12)
    if volume == "ct.nii":
        nifti(tmp_path / "scans" / volume, values.T)
    else:
        (tmp_path / "scans").mkdir()
        tifffile.imwrite(tmp_path / "scans" / volume, values, photometric="minisblack")
    store, key = AnnotationStore(masks), slice_key(volume, "axial", 2)
    session = AnnotationSession(open_slices(tmp_path / "scans" / volume, "axial", Reading())[2])
    for left in (1, 7):
        session.add_object()
        session.load_mask(np.pad(np.ones((5, 4), bool), ((2, 3), (left, 8 - left))))
    store.save(key, session)
    export_masks(store, tmp_path / "out", form, volumes=(tmp_path / "scans").joinpath)
    for place in (tmp_path / "out", masks):
        found = list(opened(tmp_path / "scans", place))
        assert [one.name for one in found] == [f"{key}#1", f"{key}#2"], place
        for number, one in enumerate(found, 1):
            np.testing.assert_array_equal(one.mask, session.mask(number))


def test_annotated_slices(tmp_path: Path, masks: Path) -> None:
    from mis_lightning.formats.nifti import NiftiSlices

    scan = nifti(tmp_path / "scans" / "ct.nii", np.arange(12 * 10 * 4, dtype=np.int16).reshape(12, 10, 4))
    session = AnnotationSession(NiftiSlices(scan)[2])
    session.add_object()
    session.box(top=2, left=2, bottom=7, right=9)
    AnnotationStore(masks).save("ct.nii#axial-2", session)
    (sample,) = opened(tmp_path / "scans", masks)
    assert sample.name == "ct.nii#axial-2#1"
    np.testing.assert_array_equal(sample.mask, session.mask(1))


def test_pixels_that_do_not_count(images: Path, masks: Path) -> None:
    labels = boxes(2)
    labels[10] = 255
    palette = Image.fromarray(labels.astype(np.uint8), mode="P")
    write_label_png(masks / "voc.png", boxes(2))
    palette.putpalette(Image.open(masks / "voc.png").getpalette())
    palette.save(masks / "a.png")
    (masks / "voc.png").unlink()
    first, _ = opened(images / "a.png", masks)
    assert first.ignore is not None
    np.testing.assert_array_equal(first.ignore, labels == 255)
    Image.fromarray(labels.astype(np.uint8)).save(masks / "a.png")  # grey: 255 is one more object
    assert [one.ignore for one in opened(images / "a.png", masks)] == [None, None, None]
    first, _ = opened(images / "a.png", masks, ignore_label=255)
    np.testing.assert_array_equal(first.ignore, labels == 255)


def test_masks_beside_the_images(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write_label_png(tmp_path / "a_mask.png", boxes(1))
    picture(tmp_path / "b.jpg")
    write_label_png(tmp_path / "b.png", boxes(1))
    assert [one.name for one in opened(tmp_path, tmp_path)] == ["a.png#1", "b.jpg#1"]


def test_masks_inside_the_images_folder(images: Path) -> None:
    write_label_png(images / "masks" / "a.png", boxes(1))
    with pytest.warns(Note, match=r"1 of 2 images .* the first is b\.jpg"):
        assert [one.name for one in opened(images, images / "masks")] == ["a.png#1"]


def test_a_list_of_images(images: Path, masks: Path, tmp_path: Path) -> None:
    write_label_png(masks / "a.png", boxes(1))
    (tmp_path / "list.txt").write_text("images/a.png\n", encoding="utf-8")
    assert [one.name for one in opened(tmp_path / "list.txt", masks)] == ["a.png#1"]


# --- which objects -----------------------------------------------------------------------------------------


def test_objects_are_drawn_by_seed(tmp_path: Path, images: Path, masks: Path) -> None:
    labels = boxes(5)
    for stem in ("a", "b"):
        write_label_png(masks / f"{stem}.png", labels)
    drawn = {
        seed: [one.name for one in opened(images, masks, objects_per_image=2, seed=seed)] for seed in range(5)
    }
    assert drawn[3] == [one.name for one in opened(images, masks, objects_per_image=2, seed=3)]
    assert len({tuple(names) for names in drawn.values()}) > 1
    assert all(
        [name.split("#")[0] for name in names] == 2 * ["a.png"] + 2 * ["deep/b.jpg"]
        for names in drawn.values()
    )
    alone = [one.name for one in opened(images / "a.png", masks, objects_per_image=2, seed=3)]
    assert alone == drawn[3][:2]  # whichever other images there are
    assert len(opened(images, masks, objects_per_image=None)) == 10
    assert len(opened(images, masks, objects_per_image=2, limit=3)) == 3


def test_small_objects_are_left_out(images: Path, masks: Path) -> None:
    labels = boxes(2)
    labels[0, 0] = 7
    for stem in ("a", "b"):
        write_label_png(masks / f"{stem}.png", labels)
    assert len(LabelledFolder(images, masks, min_area=20)) == 4
    with pytest.raises(InputError, match=r"at least 21 pixels .* all 6 are smaller.*--min-area"):
        LabelledFolder(images, masks, min_area=21)


def test_the_digest_tells_objects_apart(images: Path, masks: Path) -> None:
    for stem in ("a", "b"):
        write_label_png(masks / f"{stem}.png", boxes(5))
    digest = opened(images, masks).digest
    assert opened(images, masks).digest == digest
    assert opened(images, masks, seed=1).digest != digest
    changed = boxes(5)
    changed[19, 29] = 1
    write_label_png(masks / "b.png", changed)
    assert opened(images, masks, objects_per_image=None).digest != digest
    write_label_png(masks / "b.png", boxes(5))
    whole = opened(images, masks, objects_per_image=None).digest
    pixels = np.asarray(Image.open(images / "a.png")).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(images / "a.png")
    assert opened(images, masks, objects_per_image=None).digest != whole
    json.dumps(opened(images, masks).provenance())


def test_its_name(tmp_path: Path, images: Path, masks: Path) -> None:
    write_label_png(masks / "a.png", boxes(1))
    write_label_png(masks / "b.png", boxes(1))
    assert opened(images, masks).name == re.sub(r"[^\w.-]+", "_", tmp_path.name)
    assert opened(images, masks, name="mine").name == "mine"
    assert not opened(images, masks).comparable


# --- what does not fit -------------------------------------------------------------------------------------


def test_no_pair_at_all(images: Path, masks: Path) -> None:
    write_label_png(masks / "other.png", boxes())
    with pytest.raises(
        DatasetNotFoundError, match=r"a\.png, a_mask\.png.*a_1\.png.*a\.png\.json.*other\.png"
    ):
        opened(images, masks)
    write_coco(masks / "coco.json", [NamedMasks.of("c.png", [("cell", boxes() > 0)], SHAPE)])
    with pytest.raises(DatasetNotFoundError, match=r"has masks of 1 image, such as c\.png"):
        opened(images, masks / "coco.json")
    with pytest.raises(DatasetNotFoundError, match=r"none at .*nowhere"):
        opened(images, masks / "nowhere")
    (masks / "empty").mkdir()
    with pytest.raises(DatasetNotFoundError, match="Expected masks"):
        opened(images, masks / "empty")


def test_images_without_masks_are_said_once(images: Path, masks: Path) -> None:
    write_label_png(masks / "b.png", boxes())
    with pytest.warns(Note, match=r"1 of 2 images .* the first is a\.png") as notes:
        assert len(opened(images, masks)) == 3
    assert len(notes) == 1


def test_another_size_names_both_files(images: Path, masks: Path) -> None:
    write_label_png(masks / "a.png", boxes())
    write_label_png(masks / "b.png", boxes()[:-1])
    with pytest.raises(ImageError, match=r"masks.b\.png have 19 rows and 30 columns.*b\.jpg has 20 rows"):
        opened(images, masks)


@pytest.mark.parametrize("kind", ["colours", "soft edges", "fractions"])
def test_what_is_no_label_map(images: Path, masks: Path, kind: str) -> None:
    path = masks / ("a.tif" if kind == "fractions" else "a.png")
    if kind == "colours":
        picture(path)
    elif kind == "fractions":
        tifffile.imwrite(path, boxes().astype(np.float32) / 2)
    else:
        grey = np.zeros(SHAPE, np.uint8)
        grey[5:15, 5:25], grey[5, 5:25] = 255, np.arange(20) * 10 + 5
        Image.fromarray(grey).save(path)
    with pytest.raises(ImageError, match=kind):
        opened(images / "a.png", masks)


def test_as_many_objects_as_a_byte_holds(images: Path, masks: Path) -> None:
    labels = np.zeros((400, 400), np.uint8)
    for number in range(1, 256):
        row, col = divmod(number, 16)
        labels[24 * row + 2 : 24 * row + 7, 24 * col + 2 : 24 * col + 7] = number
    Image.fromarray(np.repeat(labels[..., None], 3, axis=2)).save(images / "a.png")
    Image.fromarray(labels).save(masks / "a.png")
    assert len(LabelledFolder(images / "a.png", masks, objects_per_image=None, min_area=1)) == 255


def test_a_list_with_absolute_and_relative_paths(images: Path, masks: Path, monkeypatch) -> None:
    for stem in ("a", "b"):
        write_label_png(masks / f"{stem}.png", boxes())
    monkeypatch.chdir(images.parent)
    first, *others = sorted(path for path in images.rglob("*") if path.is_file())
    listed = [str(first.absolute()), *(path.relative_to(images.parent).as_posix() for path in others)]
    (images.parent / "list.txt").write_text("\n".join(listed), encoding="utf-8")
    assert len(opened(Path("list.txt"), masks)) == len(opened(images, masks)) == 6


def test_names_are_compared_by_characters_in_coco_too(tmp_path: Path) -> None:
    composed, apart = "zell\u00fc.PNG", "zellu\u0308.png"
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(tmp_path / "images" / apart)
    write_coco(tmp_path / "coco.json", [NamedMasks.of(composed, [("cell", boxes() == 1)], SHAPE)])
    assert len(opened(tmp_path / "images", tmp_path / "coco.json")) == 1


def test_greys_in_three_channels_are_labels(images: Path, masks: Path) -> None:
    Image.fromarray(np.repeat(boxes()[..., None].astype(np.uint8), 3, axis=2)).save(masks / "a.png")
    assert len(opened(images / "a.png", masks)) == 3


def test_empty_masks(images: Path, masks: Path) -> None:
    for stem in ("a", "b"):
        write_label_png(masks / f"{stem}.png", np.zeros(SHAPE, np.uint16))
    with pytest.raises(InputError, match="all masks are empty"):
        opened(images, masks)


def test_two_files_that_could_be_the_masks(images: Path, masks: Path) -> None:
    for name in ("a.png", "a_mask.png"):
        write_label_png(masks / name, boxes())
    with pytest.raises(DatasetNotFoundError, match=r"a\.png and .*a_mask\.png"):
        opened(images, masks)


def test_one_mask_for_many_images(images: Path, masks: Path) -> None:
    write_label_png(masks / "a.png", boxes())
    with pytest.raises(InputError, match=r"2 images in .* the mask of one"):
        opened(images, masks / "a.png")
    assert len(opened(images / "a.png", masks / "a.png")) == 3


def test_damaged_masks(images: Path, masks: Path) -> None:
    (masks / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"masks.a\.png is empty"):
        opened(images / "a.png", masks)
    (masks / "a.png").unlink()
    (masks / "a.png.json").write_text('{"format": "mis-click-log"}', encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.png\.json.*KeyError"):
        opened(images / "a.png", masks)


@pytest.mark.parametrize("options", [{"objects_per_image": 0}, {"limit": 0}, {"min_area": 0}, {"seed": -1}])
def test_numbers_out_of_range(images: Path, masks: Path, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        opened(images, masks, **options)


# --- what else lies in folders -----------------------------------------------------------------------------


def test_names_of_other_file_systems(tmp_path: Path, masks: Path) -> None:
    """A suffix in capitals; whole characters on one side, letters and accents on the other (macOS)."""
    picture(tmp_path / "images" / unicodedata.normalize("NFC", "Zürich.JPG"))
    write_label_png(masks / unicodedata.normalize("NFD", "Zürich_mask.PNG"), boxes(1))
    (sample,) = opened(tmp_path / "images", masks)
    np.testing.assert_array_equal(sample.mask, boxes(1) == 1)


@pytest.mark.parametrize(
    "name", ["a#b.png", "-a.png", "a b.png", "a\nb.png", "100%.png", "[a].png", "a" * 240 + ".png"]
)
def test_odd_names(tmp_path: Path, masks: Path, name: str) -> None:
    picture(tmp_path / "images" / name)
    write_label_png(masks / name, boxes(1))
    assert [one.name for one in opened(tmp_path / "images", masks)] == [f"{name}#1"]


def test_a_name_that_is_no_text(tmp_path: Path, masks: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        picture(tmp_path / "images" / name)
    except OSError:
        pytest.skip("names are text here")
    write_label_png(masks / name, boxes(1))
    benchmark = opened(tmp_path / "images", masks, objects_per_image=1)
    assert len(benchmark) == 1


def test_links_that_go_round_or_nowhere(images: Path, masks: Path) -> None:
    for folder in (images, masks):
        (folder / "loop").symlink_to(folder, target_is_directory=True)
        (folder / "itself.png").symlink_to(folder / "itself.png")
        (folder / "nowhere.png").symlink_to(folder / "gone.png")
    for stem in ("a", "b"):
        write_label_png(masks / f"{stem}.png", boxes(1))
    with pytest.warns(Note, match=r"nowhere \(2, the first is itself\.png\)") as notes:
        assert len(opened(images, masks)) == 2
    assert len(notes) == 2


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (1, 1)])
def test_lines_and_points(tmp_path: Path, masks: Path, shape: tuple[int, int]) -> None:
    picture(tmp_path / "images" / "a.png", shape)
    write_label_png(masks / "a.png", np.ones(shape, np.uint16))
    (sample,) = opened(tmp_path / "images", masks)
    assert sample.mask.shape == shape


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "CMYK", "GIF", "1", "I;16"])
def test_images_and_masks_of_every_mode(tmp_path: Path, masks: Path, kind: str) -> None:
    """Transparency is dropped, palettes are looked up in images and are numbers in masks."""
    grey = Image.fromarray((boxes(1) * 255).astype(np.uint8))
    suffix = {"CMYK": "jpg", "GIF": "gif"}.get(kind, "png")
    image = (
        Image.fromarray(boxes(1) * 60000) if kind == "I;16" else grey.convert(kind if kind != "GIF" else "P")
    )
    (tmp_path / "images").mkdir()
    image.save(tmp_path / "images" / f"a.{suffix}")
    mask = grey if kind == "CMYK" else image
    mask.save(masks / ("a.gif" if kind == "GIF" else "a.png"))
    (sample,) = opened(tmp_path / "images", masks)
    np.testing.assert_array_equal(sample.mask, boxes(1) == 1)


@pytest.mark.parametrize("kind", ["tif", "gif"])
def test_stacks_of_masks_are_refused(images: Path, masks: Path, kind: str) -> None:
    """The first page alone would be one object of several."""
    pages = [Image.fromarray(((boxes() == n) * 255).astype(np.uint8)) for n in (1, 2, 3)]
    pages[0].save(masks / f"a.{kind}", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match=r"a\.(tif|gif), but it holds 3 pages"):
        opened(images / "a.png", masks)


def test_labels_below_zero(images: Path, masks: Path) -> None:
    labels = boxes(2).astype(np.int16)
    labels[10] = -1
    tifffile.imwrite(masks / "a.tif", labels)
    with pytest.raises(ImageError, match=r"--ignore-label=-1"):
        opened(images / "a.png", masks)
    first, _ = opened(images / "a.png", masks, ignore_label=-1)
    np.testing.assert_array_equal(first.ignore, labels == -1)


def test_masks_as_jpeg(images: Path, masks: Path) -> None:
    picture(masks / "a.jpg")
    write_label_png(masks / "other.png", boxes())
    with pytest.raises(DatasetNotFoundError, match=r"a\.jpg does not count: JPEG smears labels"):
        opened(images / "a.png", masks)


def test_a_number_at_the_end_of_an_images_name(images: Path, masks: Path) -> None:
    """``a_1.png`` holds the masks of image ``a_1``, and is no object of image ``a``."""
    picture(images / "a_1.png")
    write_label_png(masks / "a_1.png", boxes(1))
    write_label_png(masks / "b.png", boxes(1))
    with pytest.warns(Note, match=r"1 of 3 images .* first is a\.png"):
        assert [one.name for one in opened(images, masks)] == ["a_1.png#1", "deep/b.jpg#1"]


def test_two_images_of_one_name_in_coco(tmp_path: Path, masks: Path) -> None:
    for folder in "xy":
        picture(tmp_path / "images" / folder / "a.png")
    objects = [("cell", boxes() == 1)]
    write_coco(masks / "coco.json", [NamedMasks.of(f"{k}/a.png", objects, SHAPE) for k in ("z", "v", "x")])
    with pytest.warns(Note, match="1 of 2 images"):
        assert [one.name for one in opened(tmp_path / "images", masks)] == ["x/a.png#1"]


def test_an_image_that_claims_to_be_huge(images: Path, masks: Path) -> None:
    path = images / "a.png"
    data = bytearray(path.read_bytes())
    data[16:24] = (200_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    write_label_png(masks / "a.png", boxes())
    with pytest.raises(ImageError, match=r"larger than|million"):
        opened(path, masks)


@pytest.mark.parametrize("what", ["images", "masks"])
def test_files_that_are_cut_off(images: Path, masks: Path, what: str) -> None:
    write_label_png(masks / "a.png", boxes())
    path = {"images": images, "masks": masks}[what] / "a.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ImageError, match=rf"{what}.a\.png is cut off"):
        opened(images / "a.png", masks)
