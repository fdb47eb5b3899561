"""Which images there are, and what is sent of them."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mis_lightning.errors import DatasetNotFoundError, ImageError
from mis_lightning.formats.nifti import NiftiSlices
from mis_lightning.images import Reading, read_image
from mis_lightning.server import library as module
from mis_lightning.server.library import THUMBNAIL, Library


def names(library):
    return [entry.name for entry in library.refresh()]


def test_images_are_listed_in_their_order(photos):
    assert names(Library(photos)) == ["a.png", "sub/b.png"]
    assert names(Library(photos / "a.png")) == ["a.png"]


def test_a_list_names_images_by_what_tells_them_apart(photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (9, 9)).save(other / "a.png")
    (tmp_path / "list.txt").write_text("photos/a.png\nother/a.png\n", encoding="utf-8")
    assert names(Library(tmp_path / "list.txt")) == ["photos/a.png", "other/a.png"]


def test_keys_stay_when_images_come_and_go(photos):
    library = Library(photos)
    before = {entry.name: entry.key for entry in library.refresh()}
    Image.new("RGB", (9, 9)).save(photos / "0.png")
    after = {entry.name: entry.key for entry in library.refresh()}
    assert before.items() < after.items()


def test_masks_among_the_images_are_no_images(photos):
    (photos / "masks").mkdir()
    Image.new("L", (9, 9)).save(photos / "masks" / "a.png.png")
    assert names(Library(photos, photos / "masks")) == ["a.png", "sub/b.png"]


def test_links_out_of_the_folder_are_not_followed(photos, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    Image.new("RGB", (9, 9)).save(secret / "s.png")
    (photos / "file.png").symlink_to(secret / "s.png")
    (photos / "folder").symlink_to(secret)
    (photos / "inside.png").symlink_to(photos / "a.png")
    library = Library(photos)
    assert names(library) == ["a.png", "inside.png", "sub/b.png"]
    assert [path.name for path in library.left_out] == ["file.png", "s.png"]


def test_an_image_that_becomes_a_link_is_refused(photos, tmp_path):
    library = Library(photos)
    entry = library.refresh()[0]
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    (photos / "a.png").unlink()
    (photos / "a.png").symlink_to(tmp_path / "secret.png")
    for read in (library.read, library.picture, library.thumbnail):
        with pytest.raises(ImageError, match="link"):
            read(entry)


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be made there")
@pytest.mark.parametrize(
    "name", ["line\nbreak.png", "back\\slash.png", b"half\xff.png".decode(errors="surrogateescape")]
)
def test_names_that_no_mask_file_can_have_are_left_out(photos, name):
    (photos / name).write_bytes((photos / "a.png").read_bytes())
    library = Library(photos)
    assert names(library) == ["a.png", "sub/b.png"]
    assert len(library.left_out) == 1


def test_no_image_is_an_error(tmp_path):
    with pytest.raises(DatasetNotFoundError):
        Library(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_phone_photographs_stand_upright_everywhere(tmp_path, orientation):
    image = Image.fromarray(
        np.random.default_rng(1).integers(256, size=(6, 9, 3), dtype=np.uint8).repeat(64, 0).repeat(64, 1)
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "p.jpg", exif=exif, quality=95)
    library = Library(tmp_path)
    entry = library.refresh()[0]
    upright = read_image(tmp_path / "p.jpg")
    for data, size in ((library.picture(entry), None), (library.thumbnail(entry), THUMBNAIL)):
        with Image.open(io.BytesIO(data)) as sent:
            assert not sent.getexif()  # neither turned twice, nor any place or name told
            if size:
                assert max(sent.size) == size
            else:
                assert sent.size == (upright.shape[1], upright.shape[0])
            small = np.asarray(sent.resize((9, 9), Image.Resampling.BOX), np.float64)
        expected = np.asarray(Image.fromarray(upright).resize((9, 9), Image.Resampling.BOX), np.float64)
        assert np.abs(small - expected).mean() < 6


def test_deep_and_grey_images_look_as_they_do_to_the_model(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    Image.fromarray((ramp >> 8).astype(np.uint8)).save(tmp_path / "grey.png")
    for reading in (Reading(), Reading(window=(0, 40000))):
        library = Library(tmp_path, reading=reading)
        for entry in library.refresh():
            seen = reading(entry.path)
            np.testing.assert_array_equal(library.read(entry).rgb, seen)
            for data in (library.picture(entry), library.thumbnail(entry)):
                sent = np.asarray(Image.open(io.BytesIO(data)), np.int64)
                assert np.abs(sent - seen).mean() < 3


def test_large_images_are_shown_smaller_and_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_PICTURE", 100)
    Image.new("RGB", (400, 300), (9, 99, 199)).save(tmp_path / "p.png")
    library = Library(tmp_path)
    entry = library.refresh()[0]
    assert Image.open(io.BytesIO(library.picture(entry))).size == (100, 75)
    assert library.read(entry).rgb.shape == (300, 400, 3)


def bomb(path, width, height):
    """A PNG of a few bytes that says it is huge."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.parametrize("size", [(10000, 10000), (200000, 200000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs_are_refused_unopened(tmp_path, size):
    bomb(tmp_path / "b.png", *size)
    library = Library(tmp_path)
    entry = library.refresh()[0]
    for read in (library.read, library.picture, library.thumbnail):
        with pytest.raises(ImageError, match=r"million pixels|cut off|not an image"):
            read(entry)


def test_a_changed_file_is_read_again(photos):
    library = Library(photos)
    entry = library.refresh()[0]
    before = library.read(entry)
    assert library.read(entry) is before
    Image.new("RGB", (9, 9)).save(photos / "a.png")
    assert library.read(entry).rgb.shape == (9, 9, 3)
    (photos / "a.png").unlink()
    with pytest.raises(ImageError, match="any more"):
        library.read(entry)


def test_the_cache_keeps_what_was_used_last():
    cache = module._Cache(10, len)
    made = []

    def get(key):
        return cache.get(key, lambda: made.append(key) or b"x" * 4)

    for key in "aabcab":
        get(key)
    assert "".join(made) == "abcab"  # two fit: "c" puts "a" out, which puts "b" out
    assert cache.get("large", lambda: b"x" * 11) == b"x" * 11
    assert cache._used <= 10


@pytest.fixture
def scan(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    folder = tmp_path / "scans"
    (folder / "old").mkdir(parents=True)
    values = np.arange(8 * 10 * 6, dtype=np.int16).reshape(8, 10, 6)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1, 1, 3, 1])), folder / "ct.nii.gz")
    return folder


def test_each_slice_of_a_volume_is_an_image(scan):
    library = Library(scan)
    assert names(library) == [f"ct.nii.gz#axial-{k}" for k in range(6)]
    assert names(Library(scan / "ct.nii.gz", axis="sagittal")) == [
        f"ct.nii.gz#sagittal-{k}" for k in range(8)
    ]
    expected = NiftiSlices(scan / "ct.nii.gz")
    for k, entry in enumerate(library.refresh()):
        np.testing.assert_array_equal(library.read(entry).rgb, expected[k])
    with Image.open(io.BytesIO(library.thumbnail(entry))) as small:
        assert small.size == (8, 10)
    assert library.volumes() == {"ct.nii.gz": (scan / "ct.nii.gz").resolve()}


def test_the_window_of_volumes(scan):
    library = Library(scan, reading=Reading((0.0, 100.0)))
    first = library.read(library.refresh()[0]).rgb
    np.testing.assert_array_equal(first, NiftiSlices(scan / "ct.nii.gz", window=(0.0, 100.0))[0])
    assert (first == 255).any()


def test_volumes_beside_images_and_broken_ones(scan):
    Image.new("RGB", (9, 9)).save(scan / "b.png")
    (scan / "a.nii").write_bytes(b"no volume")
    library = Library(scan)
    assert names(library)[0] == "b.png"
    assert len(library) == 7
    assert {path.name: "NIfTI" in why for path, why in library.left_out.items()} == {"a.nii": True}


def test_a_volume_that_changes_is_read_anew(scan):
    nibabel = pytest.importorskip("nibabel")
    library = Library(scan)
    before = library.read(library.refresh()[0])
    nibabel.save(nibabel.Nifti1Image(np.eye(8, dtype=np.int16)[..., None], np.eye(4)), scan / "ct.nii.gz")
    (entry,) = library.refresh()
    assert library.read(entry).rgb.shape != before.rgb.shape


def test_a_name_too_long_for_a_mask_file_is_left_out(tmp_path):
    for name in ("a" * 246 + ".png", "a" * 247 + ".png"):
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
        (tmp_path / "a.png").rename(tmp_path / name)
    library = Library(tmp_path)
    assert [entry.name for entry in library.refresh()] == ["a" * 246 + ".png"]
    assert ["too long" in why for why in library.left_out.values()] == [True]
