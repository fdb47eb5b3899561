from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mis_lightning.commands.prepare import main
from mis_lightning.data.benchmarks import BraTS
from mis_lightning.data.prepare import brats_slices
from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError
from mis_lightning.grey_levels import to_rgb

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def two_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brats_slices, "CASES", 2)
    monkeypatch.setattr(BraTS, "expected_images", 2)


def write_brats(
    folder: Path, name: str, *, seg: str | None = None, flips: str = "RAS"
) -> dict[str, np.ndarray]:
    """A case whose tumour is largest in slice 3; arrays come back in the axes right, anterior, superior."""
    nibabel = pytest.importorskip("nibabel")
    flair = RNG.integers(0, 900, (8, 7, 5)).astype(np.int16)
    labels = np.zeros((8, 7, 5), dtype=np.uint8)
    labels[1:3, 1:3, 1] = 4
    labels[0:4, 4:6, 3] = 2
    labels[0:4, 4:6, 4] = 1  # a tie: the lower slice counts
    affine = np.eye(4)
    folder = folder / name
    folder.mkdir(parents=True)
    to_disk = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(flips)
    )
    for array, file in ((flair, f"{name}_flair.nii.gz"), (labels, seg or f"{name}_seg.nii.gz")):
        nibabel.Nifti1Image(array, affine).as_reoriented(to_disk).to_filename(folder / file)
    return {"flair": flair, "labels": labels}


@pytest.mark.parametrize("flips", ["RAS", "LPS", "LIA"])
def test_brats_rule(tmp_path: Path, flips: str, capsys: pytest.CaptureFixture[str]) -> None:
    case = write_brats(tmp_path / "volumes", "BraTS20_Training_001", flips=flips)
    write_brats(tmp_path / "volumes", "BraTS20_Training_355", seg="W39_1998.09.19_Segm.nii")
    assert main(["BraTS", "--root", str(tmp_path), "--volumes", str(tmp_path / "volumes")]) == 0
    out = capsys.readouterr().out
    assert "Wrote 2 slices" in out
    assert "BraTS: complete, 2 objects" in out
    assert "not comparable" in out

    root = tmp_path / "BraTS20"
    assert "not" in (root / "NOT_COMPARABLE.txt").read_text(encoding="utf-8")
    benchmark = BraTS(tmp_path)
    assert not benchmark.comparable
    assert [sample.name for sample in benchmark] == ["BraTS20_Training_001", "BraTS20_Training_355"]
    sample = benchmark[0]
    assert sample.mask.shape == (7, 8)
    for row in range(7):
        for col in range(8):  # the front up, the patient's right at the left
            assert sample.mask[row, col] == (case["labels"][7 - col, 6 - row, 3] > 0)
    np.testing.assert_array_equal(sample.image, to_rgb(case["flair"][::-1, ::-1, 3].T))
    assert sample.mask[1:3, 4:].all()
    assert sample.mask.sum() == 8


def test_brats_incomplete_and_foreign(tmp_path: Path) -> None:
    write_brats(tmp_path / "volumes", "a")
    argv = ["BraTS", "--root", str(tmp_path), "--volumes", str(tmp_path / "volumes")]
    with pytest.raises(DatasetNotFoundError, match=r"Found 1 cases .*not 2.*--allow-incomplete"):
        main(argv)
    with pytest.warns(UserWarning, match="Found 1 cases"):
        assert main([*argv, "--allow-incomplete"]) == 0
    write_brats(tmp_path / "volumes", "b")  # the second case has come: a second run adds it
    assert main([*argv, "--allow-incomplete"]) == 0
    assert len(BraTS(tmp_path)) == 2
    (tmp_path / "BraTS20" / "NOT_COMPARABLE.txt").unlink()
    (tmp_path / "BraTS20" / "image" / "b.png").unlink()
    with pytest.raises(DatasetNotFoundError, match="has not cut"):
        main(argv)


def test_brats_volumes_that_do_not_fit(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    write_brats(tmp_path, "a")
    (case,) = brats_slices.find_cases(tmp_path)
    for shape, affine, message in (
        ((8, 7, 4), np.eye(4), "does not lie on the grid"),
        ((8, 7, 5), np.diag([1, 1, 2, 1]), "does not lie on the grid"),
        ((8, 7, 5), np.eye(4), "marks no tumour"),
    ):
        nibabel.Nifti1Image(np.zeros(shape, dtype=np.uint8), affine).to_filename(case.segmentation)
        with pytest.raises(ImageError, match=rf"a_seg\.nii\.gz .*{message}|{message}"):
            brats_slices.cut(case)
    case.flair.write_bytes(case.flair.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"a_flair\.nii\.gz"):
        brats_slices.cut(case)


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)  # makes the import fail
    with pytest.raises(InputError, match=r'needs nibabel: pip install "mis-lightning\[medical\]"'):
        brats_slices.convert_brats(tmp_path, tmp_path)
