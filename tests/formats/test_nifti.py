"""Volumes slice by slice, against nibabel's own turning of axes; labels go back onto the same grid."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.formats.nifti import NiftiSlices
from mis_lightning.formats.volume_files import open_slices
from mis_lightning.grey_levels import to_rgb
from mis_lightning.images import Reading

nibabel = pytest.importorskip("nibabel", reason="needs the medical extra")

SHAPE = (9, 11, 13)


def affine_of(order, signs, tilt: float = 0.0) -> np.ndarray:
    """Voxel axis ``i`` runs along anatomical axis ``order[i]``, tilted a little."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign * (1.0 + axis)
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (-10, 20, 7.5)
    return affine


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)


@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_slices_are_what_nibabel_turns_upright(tmp_path, volume, tilt) -> None:
    for order, signs in itertools.product(
        itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)
    ):
        image = nibabel.Nifti1Image(volume, affine_of(order, signs, tilt))
        path = tmp_path / "volume.nii"
        nibabel.save(image, path)
        upright = np.asarray(nibabel.as_closest_canonical(image).dataobj)  # right, front, up
        for world, axis in enumerate(("sagittal", "coronal", "axial")):
            slices = NiftiSlices(path, axis)
            assert len(slices) == upright.shape[world]
            voxel = order.index(world)
            for k in range(len(slices)):
                upright_k = k if signs[voxel] > 0 else len(slices) - 1 - k
                expected = np.take(upright, upright_k, axis=world).T[::-1, ::-1]
                np.testing.assert_array_equal(slices.values(k), expected)
                assert slices.shape == expected.shape


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
def test_labels_go_back_onto_the_same_grid(tmp_path, volume, suffix, kind) -> None:
    image = getattr(nibabel, kind)(volume, affine_of((1, 2, 0), (1, -1, -1), 0.3))
    header = image.header
    header.set_qform(affine_of((1, 2, 0), (1, -1, -1), 0.3), code=1)
    header.set_sform(affine_of((1, 2, 0), (1, -1, -1), 0.3), code=2)
    header.set_xyzt_units("mm", "sec")
    header.set_slope_inter(0.5, -3)
    header["cal_max"], header["descrip"] = 300, b"a scan"
    path = tmp_path / f"volume{suffix}"
    nibabel.save(image, path)
    slices = NiftiSlices(path, "coronal")
    random, labels = np.random.default_rng(1), slices.empty_labels()
    for k in range(len(slices)):
        drawn = random.integers(0, 5, slices.shape).astype(np.uint16)
        labels[k] = drawn
        np.testing.assert_array_equal(labels[k], drawn)
    target = tmp_path / f"labels{suffix}"
    labels.save(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"labels{suffix}", f"volume{suffix}"]

    source, written = nibabel.load(path), nibabel.load(target)
    np.testing.assert_array_equal(written.affine, source.affine)
    assert written.shape == source.shape
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels.voxels)
    assert written.get_data_dtype() == np.uint8
    pairs = [(name, source.header[name], written.header[name]) for name in source.header]
    differs = [name for name, one, other in pairs if not np.array_equal(one, other)]
    free = {"datatype", "bitpix", "scl_slope", "scl_inter", "cal_max", "cal_min", "intent_code"}
    assert set(differs) <= free, differs
    # the same voxel means the same slice and pixel in both
    np.testing.assert_array_equal(NiftiSlices(target, "coronal").values(4), labels[4])
    np.testing.assert_array_equal(slices.read_labels(target).voxels, labels.voxels)
    labels[0] = np.full(slices.shape, 300)
    labels.save(target)
    assert nibabel.load(target).get_data_dtype() == np.uint16


def test_windows(tmp_path, volume) -> None:
    path = tmp_path / "volume.nii.gz"
    volume[0, 0, 0] = 30_000  # a hot voxel
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)
    slices = NiftiSlices(path, window=(-160, 240))
    np.testing.assert_array_equal(slices[6], to_rgb(slices.values(6), window=(-160, 240)))
    slices = NiftiSlices(path)
    low, high = slices.window
    assert -1000 <= low < -950
    assert 950 < high <= 1000
    np.testing.assert_array_equal(slices[3], to_rgb(slices.values(3), window=(low, high)))
    nibabel.save(nibabel.Nifti1Image(np.full(SHAPE, 7, np.int16), np.eye(4)), path)
    assert not NiftiSlices(path)[0].any()


def test_scaled_values_are_in_the_units_of_the_file(tmp_path, volume) -> None:
    image = nibabel.Nifti1Image(volume, np.eye(4))
    image.header.set_slope_inter(2, -1024)
    nibabel.save(image, tmp_path / "volume.nii")
    expected = np.asarray(nibabel.load(tmp_path / "volume.nii").dataobj)
    found = NiftiSlices(tmp_path / "volume.nii").values(5)
    np.testing.assert_array_equal(found, expected[:, :, 5].T[::-1, ::-1])


def test_four_dimensions(tmp_path, volume) -> None:
    path = tmp_path / "volume.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.stack([volume, volume + 1], -1), np.eye(4)), path)
    with pytest.raises(InputError, match="channel"):
        NiftiSlices(path)
    with pytest.raises(InputError, match="channel"):
        NiftiSlices(path, channel=2)
    slices = NiftiSlices(path, channel=1)
    np.testing.assert_array_equal(slices.values(5), (volume + 1)[:, :, 5].T[::-1, ::-1])
    slices.empty_labels().save(tmp_path / "labels.nii")
    assert nibabel.load(tmp_path / "labels.nii").shape == SHAPE
    for further in ((1,), (1, 1)):
        nibabel.save(nibabel.Nifti1Image(volume.reshape(*SHAPE, *further), np.eye(4)), path)
        slices = NiftiSlices(path)
        np.testing.assert_array_equal(slices.values(5), volume[:, :, 5].T[::-1, ::-1])
        slices.empty_labels().save(tmp_path / "labels.nii")
        assert nibabel.load(tmp_path / "labels.nii").shape == (*SHAPE, *further)
        assert slices.read_labels(tmp_path / "labels.nii").voxels.shape == SHAPE
    vectors = np.stack([volume, volume + 1, volume + 2], -1).reshape(*SHAPE, 1, 3)
    nibabel.save(nibabel.Nifti1Image(vectors, np.eye(4)), path)
    np.testing.assert_array_equal(NiftiSlices(path, channel=2).values(5), (volume + 2)[:, :, 5].T[::-1, ::-1])
    with pytest.raises(InputError, match=r"0\.\.2"):
        NiftiSlices(path, channel=3)
    with pytest.raises(InputError, match="another shape"):
        NiftiSlices(path, channel=0).read_labels(path)
    nibabel.save(nibabel.Nifti1Image(vectors.repeat(2, 3), np.eye(4)), path)
    with pytest.raises(InputError, match="3 dimensions"):
        NiftiSlices(path, channel=0)


def test_a_volume_is_read_with_its_window_and_one_channel(tmp_path, volume) -> None:
    path = tmp_path / "volume.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.stack([volume, -volume], -1), np.eye(4)), path)
    found = open_slices(path, "coronal", Reading((-9, 9), channels=(1,)))[4]
    np.testing.assert_array_equal(found, NiftiSlices(path, "coronal", (-9, 9), 1)[4])
    with pytest.raises(InputError, match="one channel"):
        open_slices(path, "axial", Reading(channels=(0, 1, 1)))


def test_label_volumes_have_the_intent_of_labels(tmp_path, volume) -> None:
    image = nibabel.Nifti1Image(volume, np.eye(4))
    image.header.set_intent("t test", (12.0,), "a statistic")
    nibabel.save(image, tmp_path / "volume.nii")
    NiftiSlices(tmp_path / "volume.nii").empty_labels().save(tmp_path / "labels.nii")
    assert nibabel.load(tmp_path / "labels.nii").header.get_intent() == ("label", (), "")


def test_slices_are_read_one_by_one(tmp_path, volume) -> None:
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "volume.nii.gz")
    slices = NiftiSlices(tmp_path / "volume.nii.gz", window=(0, 1))
    for k in range(len(slices)):
        slices[k]
    assert not slices.nifti.in_memory


def test_what_does_not_fit_is_refused(tmp_path, volume) -> None:
    path = tmp_path / "volume.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)
    slices = NiftiSlices(path)
    for use, message in (
        (lambda: slices.values(13), r"0\.\.12"),
        (lambda: slices.values(-1), r"0\.\.12"),
        (lambda: NiftiSlices(path, "transversal"), "sagittal, coronal, axial"),
        (lambda: NiftiSlices(tmp_path / "none.nii"), "no volume"),
        (lambda: slices.empty_labels().save(tmp_path / "labels.png"), r"\.nii"),
        (lambda: slices.empty_labels().__setitem__(0, np.zeros((9, 11), bool)), "shape"),
        (lambda: slices.read_labels(path), "whole numbers"),
    ):
        with pytest.raises(InputError, match=message):
            use()
    other = tmp_path / "other.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros(SHAPE, np.uint8), np.diag([2, 1, 1, 1])), other)
    with pytest.raises(InputError, match="affine"):
        slices.read_labels(other)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="damaged"):
        NiftiSlices(path, window=(0, 1)).values(12)
    path.write_bytes(b"no volume")
    with pytest.raises(InputError, match="Expected a NIfTI volume"):
        NiftiSlices(path)


def test_without_nibabel_the_remedy_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InputError, match=r'pip install "mis-lightning\[medical\]"'):
        NiftiSlices(tmp_path / "volume.nii")
