"""Volumes as BraTS and OAI-ZIB have them: floats in other axes; 16-bit slices of a DICOM series."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.annotation.volume import VolumeSession
from mis_lightning.formats.nifti import NiftiSlices
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
