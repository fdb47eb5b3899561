from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.errors import DatasetNotFoundError, ImageError
from mis_lightning.grey_levels import to_rgb
from mis_lightning.images import Reading, as_rgb, list_images, read_image, read_mask

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def repeat(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def smooth_image(height: int = 64, width: int = 96) -> Image.Image:
    rows, cols = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows * 3, cols * 2, rows + cols], axis=-1).astype(np.uint8))


# --- masks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_read_mask_keeps_values(tmp_path: Path, dtype: str) -> None:
    labels = np.array([[0, 1, 2], [7, 128, 255]], dtype=dtype)
    Image.fromarray(labels).save(tmp_path / "a.tif")
    read = read_mask(tmp_path / "a.tif")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, labels)


def test_read_mask_greys_in_colour_and_one_bit(tmp_path: Path) -> None:
    Image.fromarray(repeat(GREY)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), GREY)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"labels in .*a\.png, .* colours"):
        read_mask(tmp_path / "a.png")
    Image.fromarray(GREY > 9).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "b.png"), GREY > 9)
    assert read_mask(tmp_path / "b.png").dtype == np.uint8


def test_read_mask_float(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, -3]], dtype=np.float32)
    Image.fromarray(labels).save(tmp_path / "a.tif")
    assert read_mask(tmp_path / "a.tif").tolist() == labels.tolist()
    for value in (0.5, np.nan, np.inf, 1e20):
        labels[0, 0] = value
        Image.fromarray(labels).save(tmp_path / "a.tif")
        with pytest.raises(ImageError, match=r"whole numbers in the mask .*a\.tif"):
            read_mask(tmp_path / "a.tif")


# --- lists -------------------------------------------------------------------------------------------------


def test_list_images_is_sorted_and_recursive(tmp_path: Path) -> None:
    names = ["b.JPG", "a/z.png", "a/c.jpeg", "a.tif", "é.bmp", "a-b.webp", "Z.jpg"]
    for name in [
        *names,
        "notes.txt",
        ".hidden.jpg",
        ".cache/x.jpg",
        "__MACOSX/y.jpg",
        "a/._z.png",
        "labels.mat",
    ]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert listed == sorted(names) == ["Z.jpg", "a-b.webp", "a.tif", "a/c.jpeg", "a/z.png", "b.JPG", "é.bmp"]


def test_list_images_follows_links_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    assert list_images(root) == [root / "link" / "a.jpg"]


def test_list_images_from_text(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    files = [tmp_path / "b.png", tmp_path / "sub" / "a file.jpg"]
    for file in files:
        file.touch()
    (tmp_path / "list.txt").write_text(f"\ufeff# training\nb.png\n\n{files[1]}\r\n", encoding="utf-8")
    assert list_images(tmp_path / "list.txt") == files
    assert list_images(str(files[0])) == files[:1]
    (tmp_path / "list.txt").write_text("b.png\nc.png\nd.png\n", encoding="utf-8")
    with pytest.raises(DatasetNotFoundError, match=r"2 of the 3 files listed in .*list\.txt.*c\.png"):
        list_images(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(DatasetNotFoundError, match="lists none"):
        list_images(tmp_path / "list.txt")


def test_list_images_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"\.jpg.*holds nothing"):
        list_images(tmp_path)
    for name in ("a.mat", "b.mat", "c.txt"):
        (tmp_path / name).touch()
    with pytest.raises(DatasetNotFoundError, match=r"2 \.mat, 1 \.txt"):
        list_images(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"missing does not exist.*2 \.mat, 1 \.txt"):
        list_images(tmp_path / "missing")
    (tmp_path / "film.mp4").write_bytes(b"\xff\xfe\x00\x80" * 9)
    with pytest.raises(DatasetNotFoundError, match="is neither"):
        list_images(tmp_path / "film.mp4")


def test_reading_says_what_differs_from_the_defaults(tmp_path):
    assert Reading().settings() == {}
    reading = Reading(window=(0.0, 9.0), channels=(2, 1, 0))
    assert reading.settings() == {"reading": {"window": [0.0, 9.0], "channels": [2, 1, 0]}}
    colours = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    np.testing.assert_array_equal(Reading(channels=(2, 1, 0))(tmp_path / "a.png"), colours[..., ::-1])
    expected = to_rgb(colours, window=(10, 20))
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(colours), colours):
        np.testing.assert_array_equal(as_rgb(image, window=(10, 20)), expected)


def test_rare_suffixes_are_listed_and_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    for suffix in (".jfif", ".jpe", ".JPE", ".pbm", ".tga"):
        smooth_image().convert("L").save(
            tmp_path / f"a{suffix}", format=None if suffix != ".jfif" else "JPEG"
        )
    assert len(list_images(tmp_path)) == 5
    for path in list_images(tmp_path):
        assert np.asarray(Image.open(path)).shape == read_image(path).shape[:2]
    for name in ("b.heic", "c.HEIC", "scan.dcm", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"2 \.heic, 1 \.dcm, which cannot be read"):
        assert len(list_images(tmp_path)) == 5
