"""True masks as regions: which file belongs to which image, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError
from mis_lightning.regions.true_masks import TrueMasks

IMAGE = np.zeros((30, 30, 3), np.uint8)


def write_mat(path, labels):
    path.parent.mkdir(exist_ok=True)
    savemat(path, {"GTinst": {"Segmentation": labels, "Categories": np.uint8([[5]])}})


def test_sbd_maps_and_thin_instances(tmp_path):
    labels = np.zeros((30, 30), dtype=np.uint8)
    labels[np.arange(30), np.arange(30)] = 1  # a diagonal: 30 / 900 = 0.033
    labels[0, 5:20] = 2  # one row: 15 / 15 = 1
    labels[10:20, 0:2] = 4
    write_mat(tmp_path / "inst" / "2008_000002.mat", labels)
    source = TrueMasks(str(tmp_path / "inst"))
    masks = source.find(IMAGE, "img/2008_000002.jpg", None)
    np.testing.assert_array_equal(masks.unpack(), np.stack([labels == 2, labels == 4]))
    seen = {source.draw(masks, (30, 30), np.random.default_rng(seed)).sum() for seed in range(20)}
    assert seen == {15, 20}  # either, whole
    corner = np.zeros((30, 30), dtype=np.uint8)
    corner[0, :25] = corner[:25, 0] = 1  # 49 / 625 = 0.0784
    write_mat(tmp_path / "inst" / "a.mat", corner)
    none = source.find(IMAGE, "img/a.jpg", None)
    assert len(none) == 0
    assert not source.draw(none, (30, 30), np.random.default_rng(0)).any()
    corner[1, 1] = 1  # 50 / 625 = 0.08 stays: only what is below goes
    write_mat(tmp_path / "inst" / "a.mat", corner)
    assert len(source.find(IMAGE, "img/a.jpg", None)) == 1


def test_a_palette_png_in_the_same_subfolder_goes_first(tmp_path):
    (tmp_path / "a").mkdir()
    for place, value in (("b.png", 1), ("a/b.png", 2)):
        labels = np.full((30, 30), value, np.uint8)
        if value == 2:
            labels[:, :15] = 0
        image = Image.fromarray(labels, "P")
        image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
        image.save(tmp_path / place)
    source = TrueMasks(str(tmp_path))
    assert source.find(IMAGE, "a/b.jpg", None).unpack().mean() == 0.5
    assert source.find(IMAGE, "c/b.jpg", None).unpack().mean() == 1.0


def test_errors(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="nowhere"):
        TrueMasks(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="smallest_fill"):
        TrueMasks(str(tmp_path), smallest_fill=2)
    source = TrueMasks(str(tmp_path))
    with pytest.raises(ImageError, match=r"instance map of img/x\.jpg as x\.mat or \.png"):
        source.find(IMAGE, "img/x.jpg", None)
    Image.fromarray(np.ones((10, 20), np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(ImageError, match=r"30×30 pixels, the size of img/x\.jpg, but .*x\.png has 20×10"):
        source.find(IMAGE, "img/x.jpg", None)
