from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mis_lightning.errors import ImageError
from mis_lightning.grey_levels import to_rgb
from mis_lightning.images import list_images, read_array, read_image, read_mask

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def repeat(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def smooth_image(height: int = 64, width: int = 96) -> Image.Image:
    rows, cols = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows * 3, cols * 2, rows + cols], axis=-1).astype(np.uint8))


# --- 8-bit files pass untouched, whatever the colour mode ---------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp", "jp2"])
def test_lossless_rgb_is_read_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    options = {"webp": {"lossless": True}, "jp2": {"irreversible": False}}.get(suffix, {})
    Image.fromarray(RGB).save(path, **options)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    np.testing.assert_array_equal(image, RGB)
    np.testing.assert_array_equal(read_image(str(path)), RGB)


def test_grey_is_repeated(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), repeat(GREY))
    np.testing.assert_array_equal(read_array(tmp_path / "a.png"), GREY)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    bits = GREY > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), repeat(np.where(bits, 255, 0)))


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_alpha_is_dropped_and_hidden_colours_kept(tmp_path: Path, suffix: str) -> None:
    alpha = np.zeros_like(GREY)
    alpha[0] = 255
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    Image.fromarray(np.dstack([RGB, alpha])).save(path, **options)
    np.testing.assert_array_equal(read_image(path), RGB)


def test_grey_alpha(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([GREY, 255 - GREY]), mode="LA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), repeat(GREY))


@pytest.mark.parametrize("transparency", [None, 2, b"\x00\x80\xff"])
def test_palette_is_looked_up(tmp_path: Path, transparency: int | bytes | None) -> None:
    indices = (GREY % 3).astype(np.uint8)
    colours = np.array([[10, 20, 30], [200, 100, 50], [0, 255, 7]], dtype=np.uint8)
    image = Image.fromarray(indices, mode="P")
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "a.png", **({} if transparency is None else {"transparency": transparency}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colours[indices])
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), indices)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    # Plain colours survive JPEG closely; cyan ink removes red.
    ink = np.zeros((16, 16, 4), dtype=np.uint8)
    ink[:, 8:, 0] = 255
    Image.fromarray(ink, mode="CMYK").save(tmp_path / "a.jpg", quality=100)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == (16, 16, 3)
    assert np.abs(image[:, :6].astype(int) - (255, 255, 255)).max() <= 3
    assert np.abs(image[:, 10:].astype(int) - (0, 255, 255)).max() <= 3


def test_first_frame_is_read(tmp_path: Path) -> None:
    first, second = (Image.fromarray(level) for level in (GREY, 255 - GREY))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), repeat(GREY))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    smooth_image(16, 24).save(path, exif=exif, **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert expected.shape[:2] == ((24, 16) if orientation >= 5 else (16, 24))
    np.testing.assert_array_equal(read_image(path), expected)


def test_unreadable_exif_is_no_error(tmp_path: Path) -> None:
    smooth_image().save(tmp_path / "a.jpg", exif=b"Exif\0\0" + b"garbage that is no TIFF")
    assert read_image(tmp_path / "a.jpg").shape == (64, 96, 3)


def test_one_pixel(tmp_path: Path) -> None:
    Image.fromarray(RGB[:1, :1]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB[:1, :1])


# --- deeper files ------------------------------------------------------------------------------------------


def write_tiff(path: Path, array: np.ndarray, **options: object) -> None:
    pytest.importorskip("tifffile").imwrite(path, array, **options)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_deep_tiff_is_read_exactly(tmp_path: Path, dtype: str, byteorder: str, channels: int) -> None:
    deep = (RNG.random((6, 9, channels)) * 3e4 - (0 if dtype == "uint16" else 1e4)).astype(dtype).squeeze()
    kind = {} if channels == 1 else {"photometric": "rgb", "planarconfig": "contig"}
    write_tiff(tmp_path / "a.tif", deep, byteorder=byteorder, **kind)
    array = read_array(tmp_path / "a.tif")
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, deep if channels == 1 else deep[..., :3])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), to_rgb(deep))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_tiff_orientation(tmp_path: Path, orientation: int) -> None:
    options = {"photometric": "rgb", "extratags": [(274, "H", 1, orientation, True)]}
    write_tiff(tmp_path / "deep.tif", RGB.astype(np.uint16) * 257, **options)
    write_tiff(tmp_path / "flat.tif", RGB, **options)
    np.testing.assert_array_equal(read_array(tmp_path / "deep.tif") // 257, read_image(tmp_path / "flat.tif"))


def test_deep_grey_png(tmp_path: Path) -> None:
    deep = RNG.integers(0, 4096, (6, 9), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_array(tmp_path / "a.png"), deep)
    low, high = np.percentile(deep, (0.5, 99.5))
    expected = np.rint(np.clip((deep - low) / (high - low), 0, 1) * 255)
    assert np.abs(read_image(tmp_path / "a.png")[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("channels", [3, 4])
def test_deep_colour_png_keeps_all_bits(tmp_path: Path, channels: int) -> None:
    cv2 = pytest.importorskip("cv2")
    deep = RNG.integers(
        0, 4096, (6, 9, channels), dtype=np.uint16
    )  # 12 bits: the upper byte alone is useless
    assert cv2.imwrite(str(tmp_path / "a.png"), deep[..., [2, 1, 0, 3][:channels]])
    np.testing.assert_array_equal(read_array(tmp_path / "a.png"), deep[..., :3])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("channels", [2, 5, 12])
def test_tiff_of_many_channels(tmp_path: Path, dtype: str, planar: bool, channels: int) -> None:
    stack = (RNG.random((6, 9, channels)) * 250).astype(dtype)
    options = {"photometric": "minisblack", "planarconfig": "separate" if planar else "contig"}
    options["byteorder"] = ">" if channels == 5 else "<"
    write_tiff(tmp_path / "a.tif", np.moveaxis(stack, -1, 0) if planar else stack, **options)
    array = read_array(tmp_path / "a.tif")
    assert array.dtype == dtype
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    if channels > 2 or dtype != "uint8":  # two of 8 bits are grey and alpha for Pillow
        np.testing.assert_array_equal(array, stack)
    if channels > 2:
        with pytest.raises(ImageError, match=rf"a\.tif.*{channels} channels.*channels="):
            read_image(tmp_path / "a.tif")
        chosen = (channels - 1, 0, 2)
        found = read_image(tmp_path / "a.tif", channels=chosen)
        np.testing.assert_array_equal(found, to_rgb(stack, channels=chosen))


def test_planar_and_half_precision_tiff(tmp_path: Path) -> None:
    deep = RNG.integers(0, 9999, (6, 9, 3), dtype=np.uint16)
    write_tiff(tmp_path / "a.tif", np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_array(tmp_path / "a.tif"), deep)
    half = RNG.random((6, 9)).astype(np.float16)
    write_tiff(tmp_path / "b.tif", half)
    np.testing.assert_array_equal(read_array(tmp_path / "b.tif"), half)


def test_the_fourth_channel_is_kept_unless_it_is_alpha(tmp_path: Path) -> None:
    deep = RNG.integers(0, 9999, (6, 9, 4), dtype=np.uint16)
    write_tiff(tmp_path / "a.tif", deep, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(read_array(tmp_path / "a.tif"), deep)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), to_rgb(deep[..., :3]))
    found = read_image(tmp_path / "a.tif", channels=(3, 0, 1))  # infrared, red, green
    np.testing.assert_array_equal(found, to_rgb(deep, channels=(3, 0, 1)))
    write_tiff(tmp_path / "b.tif", deep, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_array(tmp_path / "b.tif"), deep[..., :3])


# --- files that are refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp", "gif"])
@pytest.mark.parametrize("part", [0.3, 0.95])
def test_cut_off_files_are_refused(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = RNG.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ImageError, match=rf"a\.{suffix} .*(cut off|not an image).*\."):
        read_image(path)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_cut_off_deep_colour_tiff_is_refused(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, np.ones((64, 96, 3), dtype=dtype), photometric="rgb")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ImageError, match="cut off"):
        read_image(path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"just some text that is not an image", "not an image"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "cut off|not an image"),
        (b"II*\0\x08", "cut off"),
        (b"II*\0\x08\0\0\0\0\0", "cut off"),
    ],
)
def test_what_is_not_an_image_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(tmp_path / "a.jpg")
    assert str(tmp_path / "a.jpg") in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no image file"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + struct.pack(">I", 99) + b"IDAT" + b"\0" * 99


@pytest.mark.parametrize("side", [12_500, 30_000])
def test_decompression_bomb_is_refused(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png_header(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"a\.png.*At most 150 million"):
            read_image(tmp_path / "a.png")


def test_tiff_bomb_is_refused(tmp_path: Path) -> None:
    entries = [(256, 60_000), (257, 60_000), (258, 16), (277, 3)]
    ifd = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + ifd + b"\0" * 4)
    with pytest.raises(ImageError, match="3600 million pixels"):
        read_image(tmp_path / "a.tif")


# --- real photographs --------------------------------------------------------------------------------------


def test_photographs_equal_the_published_evaluations_decoder() -> None:
    """RITM, SimpleClick and MIS read with cv2.imread and turn BGR into RGB."""
    if "MIS_DATA_DIR" not in os.environ:
        pytest.skip("MIS_DATA_DIR is not set: no real photographs")
    cv2 = pytest.importorskip("cv2")
    paths = list_images(Path(os.environ["MIS_DATA_DIR"]) / "GrabCut")
    assert len(paths) == 100
    for path in paths[::5]:
        np.testing.assert_array_equal(read_image(path), cv2.imread(str(path))[..., ::-1])
