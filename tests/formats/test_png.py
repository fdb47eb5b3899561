"""Masks and label maps as PNG: there and back, and as another reader sees them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from mis_lightning.errors import ImageError
from mis_lightning.formats.binary_png import read_binary_png, write_binary_png
from mis_lightning.formats.label_png import marks_void, palette, read_label_png, write_label_png


def test_a_mask_comes_back(tmp_path) -> None:
    mask = np.random.default_rng(0).random((30, 41)) < 0.3
    for kind in (mask, np.zeros_like(mask), np.ones_like(mask), np.asfortranarray(mask), mask[:, ::2]):
        write_binary_png(tmp_path / "mask.png", kind)
        np.testing.assert_array_equal(read_binary_png(tmp_path / "mask.png"), kind)
        values = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(values, kind * 255)
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


def test_masks_of_zeros_and_ones_are_read(tmp_path) -> None:
    mask = np.random.default_rng(0).random((30, 41)) < 0.3
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_binary_png(tmp_path / "mask.png"), mask)
    Image.fromarray(mask).save(tmp_path / "one_bit.png")
    np.testing.assert_array_equal(read_binary_png(tmp_path / "one_bit.png"), mask)
    Image.fromarray(mask.astype(np.uint8) + np.uint8(3)).save(tmp_path / "labels.png")
    with pytest.raises(ImageError, match="read_label_png"):
        read_binary_png(tmp_path / "labels.png")


@pytest.mark.parametrize("most", [0, 1, 254, 255, 256, 65535])
def test_labels_come_back(tmp_path, most) -> None:
    labels = np.random.default_rng(most).integers(0, most + 1, (30, 41)).astype(np.uint16)
    labels[0, 0] = most
    write_label_png(tmp_path / "labels.png", labels)
    np.testing.assert_array_equal(read_label_png(tmp_path / "labels.png"), labels)
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == ("P" if most < 255 else "I;16")
        np.testing.assert_array_equal(np.array(image), labels)


def test_the_palette_is_that_of_pascal_voc(tmp_path) -> None:
    labels = np.arange(256, dtype=np.uint16).reshape(16, 16) % 255
    write_label_png(tmp_path / "labels.png", labels)
    assert marks_void(tmp_path / "labels.png")
    colours = np.array(Image.open(tmp_path / "labels.png").convert("RGB")).reshape(256, 3).tolist()
    colours[255] = list(palette()[-3:])
    # aeroplane, bicycle, bird, ..., train; void (VOC's devkit)
    expected = {0: [0, 0, 0], 1: [128, 0, 0], 2: [0, 128, 0], 3: [128, 128, 0], 15: [192, 128, 128]}
    expected |= {19: [128, 192, 0], 255: [224, 224, 192]}
    assert {label: colours[label] for label in expected} == expected


def test_labels_beyond_16_bits_are_refused(tmp_path) -> None:
    Image.fromarray(np.full((4, 5), 70_000, np.int32)).save(tmp_path / "labels.tif")
    with pytest.raises(ImageError, match=r"0\.\.65535"):
        read_label_png(tmp_path / "labels.tif")
