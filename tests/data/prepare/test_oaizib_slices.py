from __future__ import annotations

import locale
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from mis_lightning.commands.prepare import main
from mis_lightning.data.benchmarks import OAIZIB
from mis_lightning.data.prepare import oaizib_slices
from mis_lightning.errors import DatasetNotFoundError, InputError
from mis_lightning.images import read_image

RNG = np.random.default_rng(5)
PATIENTS = [str(9_000_000 + 37 * n) for n in range(507)]


def write_oaizib_list(folder: Path) -> None:
    (folder / "doc").mkdir(parents=True)
    lines = [f"{patient}: 0.{'CE'[int(patient) % 2]}.2/{patient}/20050101/100\n" for patient in PATIENTS]
    (folder / "doc" / "oai_mri_paths.txt").write_text("".join(lines), encoding="utf-8")


def write_patient(volumes: Path, series: Path, patient: str) -> tuple[np.ndarray, np.ndarray]:
    """121 tiny slices; returned are image and mask in the image's axes (slices, rows, cols)."""
    sitk = pytest.importorskip("SimpleITK")
    image = RNG.integers(0, 500, (121, 8, 10), dtype=np.uint16)
    labels = np.zeros(image.shape, dtype=np.uint8)
    labels[40, :3] = 2  # 30 pixels
    labels[80, :2] = 4  # 20 pixels: not more than 20
    labels[120, 1:3], labels[120, 4:6], labels[120, 7] = 4, 2, 1
    labels[41] = 2
    (volumes / "segmentation_masks").mkdir(exist_ok=True)
    stored = labels[::-1, ::-1].transpose(1, 2, 0)  # the inverse of permute (2, 0, 1), then flip 0 and 1
    file = volumes / "segmentation_masks" / f"{patient}.segmentation_masks.mhd"
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(stored)), str(file))
    assert file.with_suffix(".raw").exists()
    series.mkdir(parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetImageIO("GDCMImageIO")
    for index, plane in enumerate(image):
        slice_ = sitk.GetImageFromArray(plane)
        uid = f"1.2.826.0.1.3680043.2.1125.{patient}"
        tags = {
            "0008|0060": "MR",
            "0008|0018": f"{uid}.{index + 1}",
            "0020|000d": f"{uid}.900",
            "0020|000e": f"{uid}.901",
        }
        tags |= {"0020|0013": str(index), "0020|0032": f"0\\0\\{index}", "0020|0037": "1\\0\\0\\0\\1\\0"}
        for tag, value in tags.items():
            slice_.SetMetaData(tag, value)
        writer.SetFileName(str(series / f"{index + 1:03d}"))
        with oaizib_slices.locale_kept():
            writer.Execute(slice_)
    return image, labels


def test_oaizib_patients_are_drawn_as_published() -> None:
    random.seed(0)  # as the published notebook: the global generator, one shuffle
    shuffled = list(PATIENTS)
    random.shuffle(shuffled)
    parts = shuffled[:407], shuffled[407:457], shuffled[457:]
    assert [len(part) for part in parts] == [407, 50, 50]
    assert oaizib_slices.select_test_patients(PATIENTS) == sorted(parts[2])


def test_oaizib_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    volumes, mri = tmp_path / "OAI-ZIB-volumes" / "segmentation", tmp_path / "mri"
    write_oaizib_list(volumes)
    first, second = oaizib_slices.select_test_patients(PATIENTS)[:2]
    before = locale.setlocale(locale.LC_ALL)
    paths = oaizib_slices.read_paths(volumes / "doc" / "oai_mri_paths.txt")
    image, labels = write_patient(volumes, mri / paths[first], first)
    write_patient(volumes, mri / second, second)  # a folder per patient serves as well
    argv = ["OAIZIB", "--root", str(tmp_path), "--volumes", str(volumes.parent), "--mri", str(mri)]
    with pytest.raises(DatasetNotFoundError, match=r"48 of the 50 test patients.*--allow-incomplete"):
        main(argv)
    monkeypatch.setattr(OAIZIB, "expected_images", 4)
    with pytest.warns(UserWarning, match="48 of the 50"):
        assert main([*argv, "--allow-incomplete"]) == 0
    assert "Wrote 4 slices" in capsys.readouterr().out

    test = tmp_path / "OAI-ZIB" / "test"
    files = [f"{patient}_{index}.png" for patient in (first, second) for index in (120, 40)]
    assert sorted(path.name for path in (test / "image").iterdir()) == files
    for index in (40, 120):
        expected = np.minimum(image[index], 255)
        np.testing.assert_array_equal(
            read_image(test / "image" / f"{first}_{index}.png"), np.stack([expected] * 3, -1)
        )
    assert locale.setlocale(locale.LC_ALL) == before  # GDCM would leave that of C behind
    benchmark = OAIZIB(tmp_path)
    assert benchmark.comparable
    names = [f"{first}_120#128", f"{first}_120#255", f"{first}_40#128"]
    assert [benchmark[i].name for i in range(3)] == names
    np.testing.assert_array_equal(benchmark[0].mask, labels[120] == 2)
    np.testing.assert_array_equal(benchmark[1].mask, labels[120] == 4)


def test_oaizib_needs_the_whole_list(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    with pytest.raises(DatasetNotFoundError, match=r"oai_mri_paths\.txt"):
        oaizib_slices.convert_oaizib(tmp_path, tmp_path, tmp_path)
    (tmp_path / "doc").mkdir()
    (tmp_path / "doc" / "oai_mri_paths.txt").write_text(
        "9001104: 0.C.2/9001104/20050826/10016203\n", encoding="utf-8"
    )
    with pytest.raises(DatasetNotFoundError, match=r"Expected 507 patients .* found 1"):
        oaizib_slices.convert_oaizib(tmp_path, tmp_path, tmp_path)


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)  # makes the import fail
    with pytest.raises(InputError, match=r'needs SimpleITK: pip install "mis-lightning\[medical\]"'):
        oaizib_slices.convert_oaizib(tmp_path, tmp_path, tmp_path)
