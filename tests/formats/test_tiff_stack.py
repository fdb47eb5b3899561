"""TIFF stacks slice by slice, against the arrays that tifffile and Pillow wrote; labels go back as pages."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from mis_lightning.errors import ImageError, InputError, Note
from mis_lightning.formats.tiff_layout import stack_layout
from mis_lightning.formats.tiff_stack import TiffSlices
from mis_lightning.formats.volume_files import is_volume, open_slices, slice_key, split_key
from mis_lightning.grey_levels import to_rgb
from mis_lightning.images import Reading, read_image

COUNT, SHAPE = 5, (12, 17)


def stack(dtype="uint8", *further: int) -> np.ndarray:
    values = np.random.default_rng(0).random((COUNT, *SHAPE, *further)) * 250
    return values.astype(dtype)


def pillow_pages(path: Path, values: np.ndarray, **options) -> None:
    first, *rest = [Image.fromarray(page) for page in values]
    first.save(path, save_all=True, append_images=rest, **options)


def same(slices: TiffSlices, values: np.ndarray) -> None:
    assert (len(slices), slices.shape) == (len(values), values.shape[1:3])
    for k in (3, 0, 4, 1):  # in any order
        np.testing.assert_array_equal(slices.values(k), values[k])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("form", ["plain", "imagej", "ome", "page by page"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_grey_pages(tmp_path, dtype, form, compression) -> None:
    values, path = stack(dtype), tmp_path / "a.tif"
    if form == "page by page":
        with tifffile.TiffWriter(path) as file:
            for page in values:
                file.write(page, compression=compression)
    else:
        kind = {} if form == "plain" else {form: True, "metadata": {"axes": "ZYX"}}
        tifffile.imwrite(path, values, compression=compression, **kind)
    assert is_volume(path)
    slices = TiffSlices(path)
    same(slices, values)
    assert slices.values(0).dtype == dtype
    if dtype == "uint8":
        assert slices.window == slices.range == (0, 255)
        np.testing.assert_array_equal(slices[2], np.repeat(values[2][..., None], 3, axis=2))
    else:
        low, high = np.percentile(values, (0.5, 99.5))
        np.testing.assert_allclose(slices.window, (low, high), rtol=1e-5)
        np.testing.assert_array_equal(slices[2], to_rgb(values[2], window=slices.window))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colour_pages(tmp_path, dtype) -> None:
    values = stack(dtype, 3)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    slices = TiffSlices(tmp_path / "a.tif")
    same(slices, values)
    if dtype == "uint8":
        np.testing.assert_array_equal(slices[3], values[3])
    green = TiffSlices(tmp_path / "a.tif", channels=(1,))
    np.testing.assert_array_equal(green.values(3), values[3, ..., 1])
    assert green.read(3, Reading()).checksum == slices.read(3, Reading()).checksum  # of one image


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "raw"])
@pytest.mark.parametrize("kind", ["grey", "colour", "deep", "float"])
def test_compressions_that_other_programs_use(tmp_path, kind, compression) -> None:
    values = {
        "grey": stack(),
        "colour": stack("uint8", 3),
        "deep": stack("uint16"),
        "float": stack("float32"),
    }[kind]
    pillow_pages(tmp_path / "a.tif", values, compression=compression)
    same(TiffSlices(tmp_path / "a.tif"), values)


def test_deep_colours_that_tifffile_cannot_unpack(tmp_path) -> None:
    cv2 = pytest.importorskip("cv2")
    values = stack("uint16", 3)
    lzw = [cv2.IMWRITE_TIFF_COMPRESSION, 5]
    assert cv2.imwritemulti(
        str(tmp_path / "a.tif"), [np.ascontiguousarray(v[..., ::-1]) for v in values], lzw
    )
    same(TiffSlices(tmp_path / "a.tif"), values)


def test_where_white_is_zero_every_page_is_turned(tmp_path) -> None:
    values = stack()
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    slices = TiffSlices(tmp_path / "a.tif")
    same(slices, 255 - values)
    np.testing.assert_array_equal(slices[0], read_image(tmp_path / "a.tif"))  # as an image is shown
    same(TiffSlices(tmp_path / "a.tif"), 255 - values)


def test_a_large_stack_of_imagej_has_one_page(tmp_path) -> None:
    path, values = tmp_path / "a.tif", stack(">u2")
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
    data = bytearray(path.read_bytes())
    data[place : place + 4] = bytes(4)  # where the next page is: there is none
    path.write_bytes(data)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    same(TiffSlices(path), values)
    assert TiffSlices(path).values(1).dtype == np.uint16


@pytest.mark.parametrize("form", ["imagej", "ome"])
def test_channels_that_are_pages_are_put_together(tmp_path, form) -> None:
    values = np.random.default_rng(0).integers(0, 4000, (COUNT, 2, *SHAPE)).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, **{form: True}, metadata={"axes": "ZCYX"})
    slices = TiffSlices(path)
    same(slices, np.moveaxis(values, 1, -1))
    np.testing.assert_array_equal(slices[1], to_rgb(values[1, 0], window=slices.window))
    second = open_slices(path, "coronal", Reading(channels=(1,)))
    np.testing.assert_array_equal(second.values(3), values[3, 1])
    assert second.axis == "slice"
    for wrong in ((2,), (0, 1)):
        with pytest.raises(InputError, match=r"0\.\.1"):
            TiffSlices(path, channels=wrong)
    tifffile.imwrite(path, values[:, [0, 1, 0, 1, 0]], **{form: True}, metadata={"axes": "ZCYX"})
    with pytest.raises(InputError, match="--channels"):
        TiffSlices(path)


def test_pages_of_one_bit_are_black_and_white(tmp_path) -> None:
    planes = np.random.default_rng(0).random((5, 9, 12)) < 0.5
    tifffile.imwrite(tmp_path / "scan.tif", planes, photometric="minisblack")
    slices = TiffSlices(tmp_path / "scan.tif")
    for k, plane in enumerate(planes):
        np.testing.assert_array_equal(slices[k], np.repeat(plane[..., None] * np.uint8(255), 3, axis=2))


def test_big_numbers_in_the_other_order_are_said(tmp_path) -> None:
    planes = np.zeros((5, 9, 12), np.uint8)
    tifffile.imwrite(tmp_path / "big.tif", planes, photometric="minisblack", bigtiff=True, byteorder=">")
    with pytest.raises(ImageError, match=r"big\.tif is a BigTIFF of big-endian numbers"):
        TiffSlices(tmp_path / "big.tif")[0]


@pytest.mark.parametrize("slices", [5, 9])
def test_where_ome_is_wrong_the_pages_count(tmp_path, slices) -> None:
    pixels = '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="17" SizeY="12" SizeC="1" '
    pixels += f'SizeZ="{slices}" SizeT="1" PhysicalSizeX="0"><Channel ID="Channel:0:0"/><TiffData/></Pixels>'
    named = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    whole = f'{named}<Image ID="Image:0">{pixels}</Image></OME>'
    for text in (whole, whole.replace("</Image>", "")):  # nine slices, of which four are in another file
        path = tmp_path / f"{len(text)}.ome.tif"
        tifffile.imwrite(path, stack(), description=text, metadata=None, ome=False)
        same(TiffSlices(path), stack())
        assert TiffSlices(path).layout.spacing == (1, 1, 1)


def test_times_are_slices_and_times_of_volumes_are_refused(tmp_path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack("uint16"), imagej=True, metadata={"axes": "TYX"})
    same(TiffSlices(path), stack("uint16"))
    tifffile.imwrite(path, np.stack([stack("uint16")] * 3), imagej=True, metadata={"axes": "TZYX"})
    assert is_volume(path)
    with pytest.raises(InputError, match=r"5 along Z there are 3 along T\. Save each"):
        TiffSlices(path)


@pytest.mark.parametrize("pages", [1, 2])
def test_two_pages_are_two_slices_and_one_is_an_image(tmp_path, pages) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack()[:pages])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_volume(tmp_path / "a.tif") == (pages == 2)


def test_what_is_no_stack_is_one_image_and_that_is_said(tmp_path) -> None:
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        for step in (1, 2, 4):
            file.write(stack()[0, ::step, ::step], subfiletype=int(step > 1))
    with tifffile.TiffWriter(tmp_path / "label.tif") as file:
        file.write(stack("uint8", 3)[0], photometric="rgb")
        file.write(stack()[0])
    tifffile.imwrite(tmp_path / "channels.tif", stack("uint16"), imagej=True, metadata={"axes": "CYX"})
    for name, why in (
        ("pyramid", "differ in size"),
        ("label", "kind"),
        ("channels", "channels of one image"),
    ):
        path = tmp_path / f"{name}.tif"
        with pytest.warns(Note, match=f"{name}.tif is read as one image.*{why}"):
            assert not is_volume(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # once
            assert not is_volume(path)
        with pytest.raises(InputError, match="several pages of one size and kind"):
            TiffSlices(path)
    assert read_image(tmp_path / "pyramid.tif").shape == (*SHAPE, 3)
    (tmp_path / "damaged.tif").write_bytes((tmp_path / "label.tif").read_bytes()[:60])
    assert not is_volume(tmp_path / "damaged.tif")
    assert not is_volume(tmp_path / "none.tif")
    with pytest.raises(InputError, match="There is no volume"):
        open_slices(tmp_path / "none.tif", "axial", Reading())


def test_a_file_that_was_replaced_is_looked_at_again(tmp_path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack())
    assert is_volume(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", stack()[0])
    assert not is_volume(tmp_path / "a.tif")


def test_pages_of_other_sizes_and_cut_off_ones_are_refused_when_shown(tmp_path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack())
    slices = TiffSlices(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 2 * SHAPE[0] * SHAPE[1]])
    with pytest.raises(InputError, match="cut off or damaged"):
        slices.values(4)
    tifffile.imwrite(path, np.zeros((COUNT, 6, 9), np.uint8))
    with pytest.raises(InputError, match="12 x 17 pixels on page 2"):
        slices.values(2)
    with pytest.raises(InputError, match=r"0\.\.4"):
        slices.values(5)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_labels_are_pages_of_sixteen_bits_with_the_spacing(tmp_path, name) -> None:
    path = tmp_path / name
    if name == "a.tif":
        spacing = {"spacing": 2.5, "unit": "um"}
        tifffile.imwrite(path, stack(), imagej=True, resolution=(2, 4), metadata={"axes": "ZYX", **spacing})
    else:
        sizes = {"PhysicalSizeZ": 2.5, "PhysicalSizeY": 0.25, "PhysicalSizeX": 0.5}
        tifffile.imwrite(path, stack(), metadata={"axes": "ZYX", **sizes})
    slices = TiffSlices(path)
    np.testing.assert_allclose(slices.layout.spacing, (2.5, 0.25, 0.5))
    labels = slices.empty_labels()
    drawn = np.random.default_rng(1).integers(0, 3, (COUNT, *SHAPE)) * 300
    for k in range(COUNT):
        labels[k] = drawn[k]
    (tmp_path / "out").mkdir()
    labels.save(tmp_path / "out" / name)
    with tifffile.TiffFile(tmp_path / "out" / name) as file:
        assert len(file.pages) == COUNT
        assert file.series[0].axes == "ZYX"
        written = file.asarray()
        assert (file.is_imagej, file.is_ome) == (name == "a.tif", name != "a.tif")
    assert written.dtype == np.uint16
    np.testing.assert_array_equal(written, drawn)
    read = slices.read_labels(tmp_path / "out" / name)
    np.testing.assert_array_equal(read.voxels, drawn)
    assert stack_layout(tmp_path / "out" / name).spacing == slices.layout.spacing
    with pytest.raises(InputError, match=r"\.tif or \.tiff"):
        labels.save(tmp_path / "out" / "a.png")


def test_labels_of_another_grid_or_of_fractions_are_refused(tmp_path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack())
    slices = TiffSlices(tmp_path / "a.tif")
    for values, message in (
        (stack()[:3], "5 pages of labels"),
        (stack("uint8", 3), "5 pages of labels"),
        (stack()[:, :8], "8 x 17"),
        (stack("float32"), "whole numbers"),
        (stack("int32") - 300, "whole numbers"),
    ):
        tifffile.imwrite(tmp_path / "b.tif", values, photometric="rgb" if values.ndim == 4 else "minisblack")
        with pytest.raises(InputError, match=message):
            slices.read_labels(tmp_path / "b.tif")


def test_names_of_slices() -> None:
    assert slice_key("x/cells.tif", "sagittal", 3) == "x/cells.tif#slice-3"
    assert slice_key("ct.nii.gz", "sagittal", 3) == "ct.nii.gz#sagittal-3"
    assert split_key("x/cells.TIF#slice-12") == ("x/cells.TIF", "slice", 12)
    for key in ("a#b#c.tif", "cells.tif#axial-3", "ct.nii#slice-3", "photo.png#slice-3", "cells.tif#slice-"):
        assert split_key(key) is None
