"""Volumes as BraTS and OAI-ZIB have them: floats in other axes; 16-bit slices of a DICOM series."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from mis_lightning.annotation.export import export_masks
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.annotation.volume import VolumeSession
from mis_lightning.formats.coco import read_coco
from mis_lightning.formats.nifti import NiftiSlices
from mis_lightning.formats.tiff_stack import TiffSlices
from mis_lightning.images import Reading
from tests.annotation.test_volume import MIDDLE, GreySegmenter, dice, pictures, truth


@pytest.mark.parametrize(
    ("flips", "dtype", "order"), [("RAS", np.int16, 1), ("LPS", np.float32, 1), ("LIA", np.float32, -1)]
)
def test_a_tumour_in_a_scan_of_any_axes(tmp_path, flips, dtype, order):
    nibabel = pytest.importorskip("nibabel", reason="needs the medical extra")
    shown = np.stack([one[..., 0] for one in pictures(truth())])  # as a radiologist sees it
    voxels = shown[:, ::-1, ::-1].transpose(2, 1, 0).astype(dtype) * dtype(3)  # right, anterior, superior
    voxels[:4] = 0  # the air around a head
    codes = [nibabel.orientations.axcodes2ornt(one) for one in ("RAS", flips)]
    scan = nibabel.Nifti1Image(voxels, np.eye(4)).as_reoriented(nibabel.orientations.ornt_transform(*codes))
    scan.to_filename(tmp_path / "flair.nii.gz")
    slices = NiftiSlices(tmp_path / "flair.nii.gz")
    volume = VolumeSession(slices, GreySegmenter())
    volume.click(MIDDLE, 34, 49)
    assert len(list(volume.propagate(1, MIDDLE))) == 6
    assert dice(volume.labels() == 1, truth()[::order]) > 0.93  # slices count as the file does
    volume.save_labels(tmp_path / "labels.nii.gz")
    saved = nibabel.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(saved.affine, scan.affine)
    read = slices.read_labels(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.stack([read[k] for k in range(9)]), volume.labels())


@pytest.mark.parametrize("form", ["imagej", "ome"])
def test_an_organelle_in_a_stack_of_a_microscope(tmp_path, form):
    planes = np.stack([one[..., 0] for one in pictures(truth())]).astype(np.uint16) * 40
    tifffile.imwrite(tmp_path / "em.tif", planes, **{form: True}, metadata={"axes": "ZYX"})
    slices, store = TiffSlices(tmp_path / "em.tif"), AnnotationStore(tmp_path / "store")
    volume = VolumeSession(slices, GreySegmenter(), store=store)
    volume.add_object("debris")
    volume.add_object("mitochondrion")
    volume.click(MIDDLE, 34, 49)
    assert len(list(volume.propagate(2, MIDDLE))) == 6
    assert dice(volume.labels() == 2, truth()) > 0.93
    volume.save_labels(tmp_path / "labels.tif")
    written = export_masks(store, tmp_path / "out", "volumes", volumes=tmp_path.joinpath)
    assert written.files == [tmp_path / "out" / "em.tif"]
    for path in (tmp_path / "labels.tif", written.files[0]):
        saved = tifffile.imread(path)
        assert (saved.dtype, saved.shape, set(np.unique(saved))) == (np.uint16, planes.shape, {0, 2})
        np.testing.assert_array_equal(saved, volume.labels())
    assert (tmp_path / "out" / "labels.json").read_text(encoding="utf-8").count("mitochondrion") == 1
    coco = read_coco(export_masks(store, tmp_path / "out", "coco").files[0])
    assert [one.image for one in coco] == [f"em.tif#slice-{k}" for k in range(1, 8)]


def test_cartilage_in_sixteen_bit_slices_of_a_series():
    series = np.stack([one[..., 0] for one in pictures(truth())]).astype(np.uint16) * 40
    volume = VolumeSession(
        list(series), GreySegmenter(), reading=Reading(window=(0, 255 * 40)), name="9001104"
    )
    volume.click(MIDDLE, 34, 49)
    assert len(list(volume.propagate(1, MIDDLE))) == 6
    assert dice(volume.labels() == 1, truth()) > 0.93
    assert volume.open(3).log()["image"]["name"] == "9001104#slice-3"
    assert volume.open(3).log()["image"]["reading"] == {"window": [0, 255 * 40]}
