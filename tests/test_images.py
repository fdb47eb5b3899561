from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError
from mis_lightning.images import Reading, as_rgb, list_images, read_mask, to_rgb

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def repeat(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def smooth_image(height: int = 64, width: int = 96) -> Image.Image:
    rows, cols = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows * 3, cols * 2, rows + cols], axis=-1).astype(np.uint8))


# --- to_rgb ------------------------------------------------------------------------------------------------


def test_to_rgb_leaves_uint8_alone() -> None:
    np.testing.assert_array_equal(to_rgb(RGB), RGB)
    np.testing.assert_array_equal(to_rgb(GREY), repeat(GREY))
    np.testing.assert_array_equal(to_rgb(GREY[..., None]), repeat(GREY))
    np.testing.assert_array_equal(to_rgb(np.dstack([GREY, 255 - GREY])), repeat(GREY))
    np.testing.assert_array_equal(to_rgb(np.dstack([RGB, GREY])), RGB)


def test_to_rgb_bool() -> None:
    np.testing.assert_array_equal(to_rgb(GREY > 9), repeat(np.where(GREY > 9, 255, 0)))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float16", "float32", "float64", "uint8"])
def test_to_rgb_window(dtype: str) -> None:
    values = np.array([[0, 50, 100, 150, 200]]).astype(dtype)
    np.testing.assert_array_equal(to_rgb(values, window=(50, 150))[0, :, 1], [0, 0, 128, 255, 255])


def test_to_rgb_ignores_hot_pixels() -> None:
    values = RNG.integers(1000, 2000, (100, 100), dtype=np.uint16)
    hot = values.copy()
    hot[:4, :10] = 65535  # 0.4 %
    assert np.abs(to_rgb(hot)[10:].astype(int) - to_rgb(values)[10:]).max() <= 3
    naive = (hot / hot.max() * 255).astype(np.uint8)
    assert naive[10:].max() < 10 < 250 < to_rgb(hot)[10:].max()


def test_to_rgb_keeps_hues_but_scales_chosen_channels_alone() -> None:
    stack = np.stack(
        [np.linspace(0, peak, 1000).reshape(20, 50) for peak in (100.0, 1000.0, 10.0, 7.0, 3.0)], -1
    )
    together = to_rgb(stack[..., :3])
    assert together[-1, -1].tolist() == [26, 255, 3]  # the 99.5 % of all values is about 985
    alone = to_rgb(stack, channels=(4, 0, 1))
    assert alone[-1, -1].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(to_rgb(stack, channels=[3]), to_rgb(stack[..., 3]))
    assert (
        to_rgb(stack.astype(np.uint8), channels=(2, 1, 0)).tolist()
        == stack[..., [2, 1, 0]].astype(np.uint8).tolist()
    )


def test_to_rgb_not_finite_values() -> None:
    values = np.linspace(0, 1, 1000).reshape(10, 100)
    values[0, :3] = np.nan, np.inf, -np.inf
    rgb = to_rgb(values)
    assert rgb[0, :3, 0].tolist() == [0, 255, 0]
    np.testing.assert_array_equal(rgb[1:], to_rgb(np.where(np.isfinite(values), values, 0.5))[1:])
    with pytest.raises(InputError, match="no finite value"):
        to_rgb(np.full((3, 3), np.nan))


def test_to_rgb_constant_and_almost_constant() -> None:
    assert to_rgb(np.full((5, 5), 77, dtype=np.uint16)).max() == 0
    sparse = np.zeros((100, 100), dtype=np.float32)
    sparse[50, 50] = 3
    assert to_rgb(sparse)[50, 50].tolist() == [255, 255, 255]


def test_to_rgb_large_offset_is_exact() -> None:
    values = 1e6 + np.linspace(0, 1, 256).reshape(16, 16)
    np.testing.assert_array_equal(to_rgb(values, window=(1e6, 1e6 + 1))[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((4, 4, 7)), {}, "7 channels.*channels=.*moveaxis"),
        (np.zeros((4, 4, 7)), {"channels": (0, 7, 1)}, r"0\.\.6"),
        (np.zeros((4, 4, 7)), {"channels": (0, 1)}, "1 or 3"),
        (np.zeros(4), {}, r"\(4,\)"),
        (np.zeros((0, 4)), {}, r"\(0, 4\)"),
        (np.zeros((2, 3, 4, 5)), {}, "shape"),
        (np.zeros((4, 4), dtype=complex), {}, "complex"),
        (np.zeros((4, 4)), {"window": (3, 3)}, "window"),
        (np.zeros((4, 4)), {"window": (0, np.nan)}, "window"),
        (np.zeros((4, 4)), {"percentile": (50, 20)}, "percentile"),
    ],
)
def test_to_rgb_errors(array: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_rgb(array, **options)


# --- masks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_read_mask_keeps_values(tmp_path: Path, dtype: str) -> None:
    labels = np.array([[0, 1, 2], [7, 128, 255]], dtype=dtype)
    Image.fromarray(labels).save(tmp_path / "a.tif")
    read = read_mask(tmp_path / "a.tif")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, labels)


def test_read_mask_first_channel_and_one_bit(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), RGB[..., 0])
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
    (tmp_path / "list.txt").write_text("b.png\nc.png\nd.png\n")
    with pytest.raises(DatasetNotFoundError, match=r"2 of the 3 files listed in .*list\.txt.*c\.png"):
        list_images(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("# nothing\n")
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
    assert reading.settings() == {"reading": {"window": (0.0, 9.0), "channels": (2, 1, 0)}}
    colours = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    np.testing.assert_array_equal(Reading(channels=(2, 1, 0))(tmp_path / "a.png"), colours[..., ::-1])
    expected = to_rgb(colours, window=(10, 20))
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(colours), colours):
        np.testing.assert_array_equal(as_rgb(image, window=(10, 20)), expected)
