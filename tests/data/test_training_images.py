"""Sources of training images: which files, in which order, under which keys."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from mis_lightning.data.training_images import TrainingImage, find_training_images
from mis_lightning.errors import DatasetNotFoundError
from mis_lightning.grey_levels import to_rgb
from mis_lightning.images import Reading


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def keys(source):
    return [image.key for image in find_training_images(source)]


def test_a_folder(tmp_path):
    touch(tmp_path, "b.jpg", "a.PNG", "notes.txt", ".hidden.jpg")
    images = find_training_images(tmp_path)
    assert [image.key for image in images] == ["a.PNG", "b.jpg"]
    assert [image.path for image in images] == [tmp_path / "a.PNG", tmp_path / "b.jpg"]
    assert find_training_images(str(tmp_path)) == images


def test_a_nested_folder_keeps_equal_names_apart(tmp_path):
    touch(tmp_path, "x/1.jpg", "y/1.jpg", "y/z/1.jpg", "1.jpg", "1.png")
    assert keys(tmp_path) == ["1.jpg", "1.png", "x/1.jpg", "y/1.jpg", "y/z/1.jpg"]


def test_keys_do_not_depend_on_how_the_folder_is_written(tmp_path, monkeypatch):
    touch(tmp_path, "photos/x/1.jpg")
    monkeypatch.chdir(tmp_path)
    for source in ("photos", "./photos/", "photos/../photos", tmp_path / "photos"):
        assert keys(source) == ["x/1.jpg"]


def test_the_home_folder(tmp_path, monkeypatch):
    touch(tmp_path, "photos/1.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys("~/photos") == ["1.jpg"]


def test_one_image(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg")
    assert find_training_images(tmp_path / "2.jpg") == [TrainingImage("2.jpg", tmp_path / "2.jpg")]


def test_a_list_file(tmp_path):
    touch(tmp_path, "lists/in/1.jpg", "outside/2.jpg", "lists/3.jpg")
    listed = tmp_path / "lists" / "train.lst"
    lines = ["# comment", "in/1.jpg", "", "../outside/2.jpg", str(tmp_path / "lists/3.jpg")]
    listed.write_text("\n".join(lines), encoding="utf-8")
    outside = (tmp_path / "outside/2.jpg").as_posix().lstrip("/")
    images = find_training_images(listed)
    assert [image.key for image in images] == ["in/1.jpg", outside, "3.jpg"]  # none leads out of the store
    assert all(image.path.is_file() for image in images)


def test_a_file_listed_twice_counts_once(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg")
    listed = tmp_path / "list.txt"
    listed.write_text(f"2.jpg\n1.jpg\n./2.jpg\n{tmp_path / '1.jpg'}\n", encoding="utf-8")
    assert keys(listed) == ["2.jpg", "1.jpg"]


def test_links_keep_the_name_they_have_in_the_folder(tmp_path):
    touch(tmp_path, "archive/1.jpg", "archive/deep/2.jpg")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "link.jpg").symlink_to(tmp_path / "archive" / "1.jpg")
    (photos / "folder").symlink_to(tmp_path / "archive" / "deep")
    (photos / "loop").symlink_to(photos)
    assert keys(photos) == ["folder/2.jpg", "link.jpg"]
    (tmp_path / "also").symlink_to(photos)
    assert keys(tmp_path / "also") == ["folder/2.jpg", "link.jpg"]


def test_a_name_that_is_not_utf8(tmp_path):
    name = os.fsdecode(b"latin-\xe9.jpg")
    touch(tmp_path, name)
    assert keys(tmp_path) == [name]


@pytest.fixture
def sbd(tmp_path):
    touch(tmp_path, *(f"img/2008_{i}.jpg" for i in range(4)), "inst/2008_0.mat", "val.txt")
    (tmp_path / "train.txt").write_text("2008_2\n 2008_0 \r\n\n2008_2\n", encoding="utf-8")
    return tmp_path


def test_the_sbd_layout_trains_on_its_training_list_alone(sbd):
    assert find_training_images(sbd) == [
        TrainingImage("img/2008_2.jpg", sbd / "img" / "2008_2.jpg"),
        TrainingImage("img/2008_0.jpg", sbd / "img" / "2008_0.jpg"),
    ]


def test_sbd_with_missing_images(sbd):
    (sbd / "img" / "2008_0.jpg").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"train\.txt lists 2 .* 1 are missing, .*2008_0\.jpg"):
        find_training_images(sbd)


def test_sbd_with_an_empty_list(sbd):
    (sbd / "train.txt").write_text("\n\n", encoding="utf-8")
    with pytest.raises(
        DatasetNotFoundError, match=r"one image name per line .*train\.txt, but it lists none"
    ):
        find_training_images(sbd)


def test_a_folder_of_images_beside_an_unrelated_list(tmp_path):
    touch(tmp_path, "1.jpg", "train.txt")
    assert keys(tmp_path) == ["1.jpg"]


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="photos does not exist"):
        find_training_images(tmp_path / "photos")
    with pytest.raises(DatasetNotFoundError, match="found none"):
        find_training_images(tmp_path)
    (tmp_path / "list.txt").write_text("1.jpg\n", encoding="utf-8")
    with pytest.raises(DatasetNotFoundError, match=r"do not exist, the first is .*1\.jpg"):
        find_training_images(tmp_path / "list.txt")


def test_images_are_read_with_the_window_of_the_data(tmp_path):
    deep = np.random.default_rng(0).integers(0, 4000, (20, 30)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    for reading, options in ((None, {}), (Reading(window=(1000, 2000)), {"window": (1000, 2000)})):
        (image,) = find_training_images(tmp_path, reading)
        np.testing.assert_array_equal(image.read(), to_rgb(deep, **options))
