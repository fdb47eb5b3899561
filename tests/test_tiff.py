"""What the tags of a TIFF say of its pixels, for every depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from mis_lightning.errors import ImageError
from mis_lightning.grey_levels import to_rgb
from mis_lightning.images import read_array, read_image, read_mask

RNG = np.random.default_rng(7)
LARGEST = {"uint8": 255, "uint16": 65535, "uint32": 2**32 - 1}


def write(path: Path, array: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, array, **options)
    return path


def values(dtype: str, *shape: int) -> np.ndarray:
    return (RNG.random(shape) * 100).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_where_white_is_zero_the_picture_is_turned(tmp_path: Path, dtype: str, compression: str) -> None:
    stored = values(dtype, 6, 9)
    path = write(tmp_path / "a.tif", stored, photometric="miniswhite", compression=compression)
    shown = read_array(path)
    assert shown.dtype == dtype
    np.testing.assert_array_equal(shown, LARGEST[dtype] - stored)
    np.testing.assert_array_equal(read_image(path), to_rgb(LARGEST[dtype] - stored))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float16", "float32", "float64"])
def test_where_white_is_zero_signed_numbers_are_turned(tmp_path: Path, dtype: str) -> None:
    stored = values(dtype, 6, 9)
    shown = read_array(write(tmp_path / "a.tif", stored, photometric="miniswhite"))
    np.testing.assert_array_equal(shown, -stored if dtype.startswith("float") else -1 - stored)
    grey = read_image(tmp_path / "a.tif")[..., 0]
    assert grey[np.unravel_index(stored.argmin(), stored.shape)] == 255
    assert grey[np.unravel_index(stored.argmax(), stored.shape)] == 0


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_labels_are_as_stored_though_white_is_zero(tmp_path: Path, dtype: str) -> None:
    labels = np.array([[0, 1, 2], [7, 100, 255]], dtype)  # ImageJ writes masks so
    np.testing.assert_array_equal(
        read_mask(write(tmp_path / "a.tif", labels, photometric="miniswhite")), labels
    )


@pytest.mark.parametrize("bits", [2, 4])
def test_labels_of_few_bits_are_as_stored(tmp_path: Path, bits: int) -> None:
    labels = RNG.integers(0, 2**bits, (6, 8), dtype=np.uint8)
    packed = np.packbits(np.unpackbits(labels.reshape(-1, 1), axis=1)[:, -bits:].reshape(6, -1), axis=1)
    image = Image.frombytes("L", (8, 6), packed.tobytes(), "raw", f"L;{bits}")
    np.testing.assert_array_equal(image, labels * (255 // (2**bits - 1)))
    import cv2

    assert cv2.imwrite(str(tmp_path / "a.png"), labels)
    _few_bits_png(tmp_path / "a.png", packed, bits)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), labels)
    np.testing.assert_array_equal(read_array(tmp_path / "a.png"), image)


def _few_bits_png(path: Path, packed: np.ndarray, bits: int) -> None:
    import struct
    import zlib

    rows = b"".join(b"\0" + row.tobytes() for row in packed)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, len(packed), bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_a_missing_tag_means_that_black_is_zero(tmp_path: Path) -> None:
    stored = values("uint8", 6, 9)
    write(tmp_path / "a.tif", stored, photometric="minisblack")
    data = (tmp_path / "a.tif").read_bytes()
    entry = b"\x06\x01\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00"  # tag 262, one short, the value 1
    assert data.count(entry) == 1
    # Tag 261 instead, which nobody reads; the tags stay in order.
    (tmp_path / "a.tif").write_bytes(data.replace(entry, b"\x05" + entry[1:]))
    np.testing.assert_array_equal(read_array(tmp_path / "a.tif"), stored)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("extra", [0, 1])
def test_inks_become_rgb_in_every_depth(tmp_path: Path, planar: bool, extra: int) -> None:
    inks = RNG.integers(0, 256, (6, 9, 4 + extra), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(inks[..., :4].copy(), mode="CMYK").convert("RGB"))
    options: dict[str, Any] = {"photometric": "separated", "planarconfig": "separate" if planar else "contig"}
    options |= {"extrasamples": ["unassalpha"]} if extra else {}
    for factor, dtype in ((1, np.uint8), (257, np.uint16)):
        stored = inks.astype(dtype) * factor
        path = write(tmp_path / "a.tif", np.moveaxis(stored, -1, 0) if planar else stored, **options)
        shown = read_array(path)
        assert shown.dtype == dtype
        assert shown.shape == (6, 9, 3)
        assert np.abs(shown / factor - expected).max() <= (0 if factor == 1 else 0.51)


@pytest.mark.parametrize("kind", ["cielab", "icclab", "cfa"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_what_is_no_colour_is_refused_by_its_name(tmp_path: Path, kind: str, dtype: str) -> None:
    stored = values(dtype, 6, 9, 3)
    write(tmp_path / "a.tif", stored[..., 0] if kind == "cfa" else stored, photometric=kind)
    with pytest.raises(ImageError, match=r"a\.tif holds (CIELab|ICC Lab|raw values).*Save it as"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_linear_raw_and_deep_ycbcr(tmp_path: Path, dtype: str) -> None:
    stored = values(dtype, 6, 9, 3)
    write(tmp_path / "a.tif", stored, photometric="linear_raw")
    np.testing.assert_array_equal(read_array(tmp_path / "a.tif"), stored)
    write(tmp_path / "b.tif", stored, photometric="ycbcr")
    if dtype == "uint16":
        with pytest.raises(ImageError, match="YCbCr colours of 16 bits"):
            read_image(tmp_path / "b.tif")
    else:
        assert read_image(tmp_path / "b.tif").shape == (6, 9, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [2, 3, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_orientation_of_any_number_of_channels(
    tmp_path: Path, orientation: int, channels: int, dtype: str
) -> None:
    stored = values(dtype, 6, 9, channels)
    tag = [(274, "H", 1, orientation, True)]
    write(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig="contig", extratags=tag)
    write(tmp_path / "b.tif", np.ascontiguousarray(stored[..., 0]), photometric="minisblack", extratags=tag)
    first, single = read_array(tmp_path / "a.tif"), read_array(tmp_path / "b.tif")
    assert single.shape == ((9, 6) if orientation > 4 else (6, 9))
    np.testing.assert_array_equal(first[..., 0] if first.ndim == 3 else first, single)
    if orientation == 1 and channels > 2:
        np.testing.assert_array_equal(first, stored)


def test_a_compression_that_needs_another_library_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", values("uint8", 6, 9, 5), photometric="minisblack", planarconfig="contig")
    data = (tmp_path / "a.tif").read_bytes()
    entry = b"\x03\x01\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00"  # tag 259, not compressed
    assert data.count(entry) == 1
    (tmp_path / "a.tif").write_bytes(data.replace(entry, entry[:8] + b"\x05\x00\x00\x00"))  # LZW
    with pytest.raises(ImageError, match="pip install imagecodecs"):
        read_image(tmp_path / "a.tif", channels=(0, 1, 2))


# --- no data -----------------------------------------------------------------------------------------------


def land(dtype: str = "float32") -> np.ndarray:
    return (200 + np.arange(40 * 50).reshape(40, 50) % 500).astype(dtype)


def with_hole(path: Path, array: np.ndarray, declared: str, value: float, **options: Any) -> np.ndarray:
    """Write a GeoTIFF whose left third holds no data; gives where."""
    hole = np.zeros(array.shape, np.bool_)
    hole[:, : array.shape[1] // 3] = True
    tag = [(42113, "s", 0, declared, True)]
    write(path, np.where(hole, array.dtype.type(value), array), extratags=tag, **options)
    return hole


@pytest.mark.parametrize(
    ("dtype", "declared", "value"),
    [
        ("float32", "-9999", -9999),
        ("float64", "-9999.0", -9999),
        ("float32", "-3.4028234663852886e+38", np.finfo(np.float32).min),
        ("float32", "-3.40282e+38", np.finfo(np.float32).min),
        ("float32", "-3.4e+38", np.float32(-3.4e38)),
        ("float32", "3.4028234663852886e+38 ", np.finfo(np.float32).max),
        ("float32", "nan", np.nan),
        ("float32", "0", 0),
        ("int16", "-32768", -32768),
        ("int32", "-2147483648", -(2**31)),
        ("uint16", "65535", 65535),
    ],
)
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.filterwarnings("ignore:Pixels without data")
def test_no_data_is_left_out_of_the_window_and_black(
    tmp_path: Path, dtype: str, declared: str, value: float, compression: str | None
) -> None:
    whole = land(dtype)
    hole = with_hole(tmp_path / "a.tif", whole, declared, value, compression=compression)
    grey = read_image(tmp_path / "a.tif")[..., 0]
    assert grey[hole].max() == 0
    assert len(np.unique(grey[~hole])) > 150  # not one to ten grey levels
    rows = ~hole.any(axis=0)
    np.testing.assert_array_equal(grey[:, rows], to_rgb(whole[:, rows])[..., 0])
    window = (100.0, 1000.0)
    found = read_image(tmp_path / "a.tif", window=window)[..., 0]
    np.testing.assert_array_equal(found, np.where(hole, 0, to_rgb(whole, window=window)[..., 0]))


@pytest.mark.filterwarnings("ignore:Pixels without data")
def test_no_data_where_white_is_zero(tmp_path: Path) -> None:
    hole = with_hole(tmp_path / "a.tif", land("uint16"), "9999", 9999, photometric="miniswhite")
    grey = read_image(tmp_path / "a.tif")[..., 0]
    assert grey[hole].max() == 0
    np.testing.assert_array_equal(grey[:, 16:], to_rgb(65535 - land("uint16")[:, 16:])[..., 0])


@pytest.mark.filterwarnings("ignore:Pixels without data")
def test_no_data_in_many_channels(tmp_path: Path) -> None:
    stack = np.stack([land(), land() * 2, land() + 9, land() - 90, land() * 7], axis=-1)
    stack[:, :10] = -9999
    write(
        tmp_path / "a.tif",
        stack,
        photometric="minisblack",
        planarconfig="contig",
        extratags=[(42113, "s", 0, "-9999", True)],
    )
    shown = read_image(tmp_path / "a.tif", channels=(4, 0, 2))
    assert shown[:, :10].max() == 0
    np.testing.assert_array_equal(shown[:, 10:], to_rgb(stack[:, 10:], channels=(4, 0, 2)))


@pytest.mark.filterwarnings("ignore:Pixels without data")
def test_no_data_in_photographs_of_8_bits_is_only_where_all_channels_hold_it(tmp_path: Path) -> None:
    photo = RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8)
    photo[0, :10] = 255
    photo[1, :10, 0] = 255
    write(tmp_path / "a.tif", photo, photometric="rgb", extratags=[(42113, "s", 0, "255", True)])
    expected = photo.copy()
    expected[0, :10] = 0
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize("declared", ["", "none", "-9999"])
def test_a_value_that_cannot_be_is_no_data_of_nothing(tmp_path: Path, declared: str) -> None:
    write(tmp_path / "a.tif", land("uint16"), extratags=[(42113, "s", 0, declared, True)])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), to_rgb(land("uint16")))


def test_no_data_alone_is_no_image(tmp_path: Path) -> None:
    tag = [(42113, "s", 0, "-9999", True)]
    write(tmp_path / "a.tif", np.full((8, 9), -9999, np.float32), extratags=tag)
    with pytest.raises(ImageError, match=r"a\.tif.*no data"):
        read_image(tmp_path / "a.tif")
