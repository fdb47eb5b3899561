from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.data import sbd
from mis_lightning.data.benchmarks import BENCHMARKS, DAVIS, OAIZIB, Berkeley, BraTS, GrabCut
from mis_lightning.errors import DatasetNotFoundError, ImageError

RNG = np.random.default_rng(3)
SIZE = (12, 17)


def photo(path: Path, size: tuple[int, int] = SIZE) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def grey(path: Path, levels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(levels, dtype=np.uint8)).save(path)


def levels(*values: int) -> np.ndarray:
    """A mask with one column per value, the rest 0."""
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[:, : len(values)] = values
    return mask


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two images per published set, and a cache folder of our own."""
    for name, benchmark in BENCHMARKS.items():
        monkeypatch.setattr(benchmark, "expected_images", 2)
        if name != "OAIZIB":
            monkeypatch.setattr(benchmark, "expected_count", 2)
    monkeypatch.setattr(sbd, "TRAINING_IMAGES", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))


def write_grabcut(root: Path) -> np.ndarray:
    grey(root / "GrabCut" / "boundary_GT" / "banana1.bmp", levels(255, 128, 127, 129, 1))
    grey(root / "GrabCut" / "boundary_GT" / "106024.bmp", levels(255, 255))
    photo(root / "GrabCut" / "data_GT" / "106024.png")
    return photo(root / "GrabCut" / "data_GT" / "banana1.bmp")


# --- published names and counts ----------------------------------------------------------------------------


def test_published_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    counts = {name: (bench.expected_images, bench.expected_count) for name, bench in BENCHMARKS.items()}
    assert counts == {
        "GrabCut": (50, 50),
        "Berkeley": (100, 100),
        "SBD": (2857, 6671),
        "DAVIS": (345, 345),
        "BraTS": (369, 369),
        "OAIZIB": (150, None),
    }
    assert all(bench.name == name for name, bench in BENCHMARKS.items())
    assert sbd.TRAINING_IMAGES == 8498


def test_a_config_without_the_folder_of_benchmarks_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIS_DATA_DIR", raising=False)
    with pytest.raises(DatasetNotFoundError, match=r"set MIS_DATA_DIR to the folder that holds them") as told:
        GrabCut("./GrabCut")  # "${oc.env:MIS_DATA_DIR,.}/GrabCut"
    assert "\n" not in str(told.value)
    monkeypatch.setenv("MIS_DATA_DIR", str(tmp_path))
    with pytest.raises(DatasetNotFoundError) as told:
        GrabCut(tmp_path / "GrabCut")
    assert "set MIS_DATA_DIR" not in str(told.value)


# --- mask rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True])
def test_grabcut_rule(tmp_path: Path, inside: bool) -> None:
    pixels = write_grabcut(tmp_path)
    benchmark = GrabCut(tmp_path / "GrabCut" if inside else tmp_path)
    assert len(benchmark) == 2
    assert benchmark.comparable
    assert [sample.name for sample in benchmark] == ["106024", "banana1"]
    sample = benchmark[1]
    np.testing.assert_array_equal(sample.image, pixels)
    np.testing.assert_array_equal(sample.mask, np.isin(levels(255, 128, 127, 129, 1), [255, 129]))
    np.testing.assert_array_equal(sample.ignore, levels(255, 128, 127, 129, 1) == 128)
    assert sample.mask.dtype == sample.ignore.dtype == np.bool_
    assert benchmark[0].ignore is None


def test_grabcut_palette_mask_counts_by_its_colours(tmp_path: Path) -> None:
    write_grabcut(tmp_path)
    mask = Image.fromarray(levels(2, 1), mode="P")
    mask.putpalette([0, 0, 0, 128, 128, 128, 255, 255, 255])
    mask.save(tmp_path / "GrabCut" / "boundary_GT" / "106024.bmp")
    sample = GrabCut(tmp_path)[0]
    np.testing.assert_array_equal(sample.mask, levels(1) > 0)
    np.testing.assert_array_equal(sample.ignore, levels(0, 1) > 0)


def test_berkeley_colour_masks(tmp_path: Path) -> None:
    for name, mask in (("189011b", levels(255)), ("189011a", levels(0, 255, 128))):
        photo(tmp_path / "Berkeley" / "images" / f"{name}.jpg")
        grey(tmp_path / "Berkeley" / "masks" / f"{name}.png", np.stack([mask] * 3, axis=-1))
    benchmark = Berkeley(tmp_path)
    assert [sample.name for sample in benchmark] == ["189011a", "189011b"]
    np.testing.assert_array_equal(benchmark[0].mask, levels(0, 1) > 0)
    np.testing.assert_array_equal(benchmark[0].ignore, levels(0, 0, 1) > 0)


@pytest.mark.parametrize("folder", ["DAVIS", "DAVIS345"])
def test_davis_merges_all_objects(tmp_path: Path, folder: str) -> None:
    for name in ("000", "001"):
        photo(tmp_path / folder / "img" / f"{name}.jpg")
    mask = Image.fromarray(levels(1, 2, 0, 3), mode="P")
    mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 0, 0, 1])
    (tmp_path / folder / "gt").mkdir()
    mask.save(tmp_path / folder / "gt" / "000.png")
    blue = np.zeros((*SIZE, 3), dtype=np.uint8)
    blue[:3, :, 2] = 9
    grey(tmp_path / folder / "gt" / "001.png", blue)
    benchmark = DAVIS(tmp_path)
    np.testing.assert_array_equal(benchmark[0].mask, levels(1, 1, 0, 1) > 0)
    np.testing.assert_array_equal(benchmark[1].mask, blue[..., 2] > 0)
    assert benchmark[0].ignore is None


@pytest.mark.parametrize("marked", [False, True])
def test_brats(tmp_path: Path, marked: bool) -> None:
    root = tmp_path / "BraTS20"
    for name in ("a", "b"):
        photo(root / "image" / f"{name}.png")
        grey(root / "annotation" / f"{name}.png", levels(1, 0, 255))
    if marked:
        (root / "NOT_COMPARABLE.txt").touch()
    benchmark = BraTS(tmp_path)
    assert benchmark.comparable is not marked
    np.testing.assert_array_equal(benchmark[0].mask, levels(1, 0, 1) > 0)


def test_oaizib_objects(tmp_path: Path) -> None:
    test = tmp_path / "OAI-ZIB" / "iseg_slices" / "test"
    for name, mask in (("9001_80", levels(255, 128)), ("9001_120", levels(255))):
        photo(test / "image" / f"{name}.png")
        grey(test / "annotations" / f"{name}.png", np.stack([mask] * 3, axis=-1))
    benchmark = OAIZIB(tmp_path)
    assert [sample.name for sample in benchmark] == ["9001_120#255", "9001_80#128", "9001_80#255"]
    np.testing.assert_array_equal(benchmark[1].mask, levels(0, 1) > 0)
    assert len(OAIZIB(test.parent)) == 3


# --- what is missing or does not fit -----------------------------------------------------------------------


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_nothing_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(DatasetNotFoundError, match=rf"{name}: expected .*holiday.*mis prepare {name} --root"):
        BENCHMARKS[name](tmp_path)
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        BENCHMARKS[name](tmp_path / "nowhere", allow_incomplete=True)


def test_count_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_grabcut(tmp_path)
    monkeypatch.setattr(GrabCut, "expected_images", 50)
    with pytest.raises(
        DatasetNotFoundError, match=r"found 2 images .* has 50.*mis prepare.*allow_incomplete"
    ):
        GrabCut(tmp_path)
    with pytest.warns(UserWarning, match="found 2 images .* has 50.*not comparable"):
        benchmark = GrabCut(tmp_path, allow_incomplete=True)
    assert len(benchmark) == 2
    assert not benchmark.comparable
    for path in (tmp_path / "GrabCut").rglob("*.*"):
        path.unlink()
    with pytest.raises(DatasetNotFoundError, match="found 0"):
        GrabCut(tmp_path, allow_incomplete=True)


def test_image_without_mask(tmp_path: Path) -> None:
    write_grabcut(tmp_path)
    photo(tmp_path / "GrabCut" / "data_GT" / "bush.jpg")
    with pytest.raises(DatasetNotFoundError, match=r"1 of the 3 images .* no mask .*bush\.jpg"):
        GrabCut(tmp_path)
    with pytest.warns(UserWarning, match=r"bush\.jpg.*left out"):
        assert len(GrabCut(tmp_path, allow_incomplete=True)) == 2


def test_same_stem_twice(tmp_path: Path) -> None:
    write_grabcut(tmp_path)
    photo(tmp_path / "GrabCut" / "data_GT" / "banana1.copy.jpg")  # the stem ends at the first dot
    with pytest.raises(DatasetNotFoundError, match=r"banana1\.bmp and banana1\.copy\.jpg .*same stem"):
        GrabCut(tmp_path)


def test_other_files_do_not_matter(tmp_path: Path) -> None:
    write_grabcut(tmp_path)
    for name in ("Thumbs.db", ".DS_Store", "._banana1.bmp"):
        (tmp_path / "GrabCut" / "data_GT" / name).touch()
        (tmp_path / "GrabCut" / "boundary_GT" / name).touch()
    assert len(GrabCut(tmp_path)) == 2


def test_mask_of_another_size(tmp_path: Path) -> None:
    write_grabcut(tmp_path)
    grey(tmp_path / "GrabCut" / "boundary_GT" / "106024.bmp", levels(255)[:-1])
    with pytest.raises(ImageError, match=r"106024\.bmp has 11 rows and 17 columns.*106024\.png has 12 rows"):
        GrabCut(tmp_path)[0]


def test_deep_mask_is_refused(tmp_path: Path) -> None:
    write_grabcut(tmp_path)
    (tmp_path / "GrabCut" / "boundary_GT" / "106024.bmp").unlink()
    Image.fromarray(levels(255).astype(np.uint16)).save(tmp_path / "GrabCut" / "boundary_GT" / "106024.png")
    with pytest.raises(ImageError, match=r"8-bit levels .*106024\.png.*uint16"):
        GrabCut(tmp_path)[0]


# --- real files --------------------------------------------------------------------------------------------


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.undo()  # the published counts
    if "MIS_DATA_DIR" not in os.environ:
        pytest.skip("MIS_DATA_DIR is not set: no real benchmarks")
    return Path(os.environ["MIS_DATA_DIR"])


def test_real_grabcut(real_data: Path) -> None:
    benchmark = GrabCut(real_data)
    assert len(benchmark) == 50
    names = [path.name.split(".")[0] for path in sorted((real_data / "GrabCut" / "data_GT").iterdir())]
    for index in range(0, 50, 7):
        sample = benchmark[index]
        assert sample.name == names[index]
        assert sample.image.shape[:2] == sample.mask.shape
        with Image.open(real_data / "GrabCut" / "boundary_GT" / f"{sample.name}.bmp") as image:
            raw = np.asarray(image)
        np.testing.assert_array_equal(sample.mask, raw == 255)
        assert sample.mask.any()
        if (raw == 128).any():
            np.testing.assert_array_equal(sample.ignore, raw == 128)
        else:
            assert sample.ignore is None


@pytest.mark.parametrize(("kind", "count", "size"), [(Berkeley, 4, None), (DAVIS, 3, (480, 854))])
def test_real_samples(real_data: Path, kind: type, count: int, size: tuple[int, int] | None) -> None:
    with pytest.raises(DatasetNotFoundError, match=f"found {count} images"):
        kind(real_data / "samples")
    with pytest.warns(UserWarning, match="not comparable"):
        benchmark = kind(real_data / "samples", allow_incomplete=True)
    for sample in benchmark:
        assert 0.01 < sample.mask.mean() < 0.9
        assert sample.ignore is None
        assert size in (None, sample.mask.shape)
