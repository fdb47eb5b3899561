from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

from mis_lightning.data import sbd
from mis_lightning.data.sbd import SBD, training_names
from mis_lightning.errors import DatasetNotFoundError, ImageError

RNG = np.random.default_rng(3)
SIZE = (12, 17)


def photo(path: Path, size: tuple[int, int] = SIZE) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def levels(*values: int) -> np.ndarray:
    """A mask with one column per value, the rest 0."""
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[:, : len(values)] = values
    return mask


@pytest.fixture(autouse=True)
def small_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two photographs, two objects, and a cache folder of our own."""
    monkeypatch.setattr(SBD, "expected_images", 2)
    monkeypatch.setattr(SBD, "expected_count", 2)
    monkeypatch.setattr(sbd, "TRAINING_IMAGES", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))


def write_sbd(folder: Path, maps: dict[str, np.ndarray], split: str = "val") -> None:
    for name, labels in maps.items():
        photo(folder / "img" / f"{name}.jpg", labels.shape)
        (folder / "inst").mkdir(exist_ok=True)
        boundaries = np.empty((2, 1), dtype=object)
        boundaries[:, 0] = [csc_matrix(labels == 1), csc_matrix(labels == 2)]
        categories = np.array([[5], [15]], dtype=np.uint8)
        struct = {"Segmentation": labels, "Boundaries": boundaries, "Categories": categories}
        savemat(folder / "inst" / f"{name}.mat", {"GTinst": struct}, do_compression=name.endswith("3"))
    (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in maps), encoding="utf-8")


SBD_MAPS = {"2008_000123": levels(3, 1), "2008_000045": levels(2)}


@pytest.fixture
def three_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SBD, "expected_count", 3)


@pytest.mark.usefixtures("three_objects")
@pytest.mark.parametrize("where", ["", "SBD", "benchmark_RELEASE/dataset", "SBD/benchmark_RELEASE/dataset"])
def test_sbd_objects_in_list_order(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "data" / where
    write_sbd(folder, SBD_MAPS)
    benchmark = SBD(tmp_path / "data")
    assert [sample.name for sample in benchmark] == ["2008_000123#1", "2008_000123#3", "2008_000045#2"]
    np.testing.assert_array_equal(benchmark[1].mask, levels(1) > 0)
    assert benchmark[1].ignore is None
    assert benchmark.comparable


@pytest.mark.usefixtures("three_objects")
def test_sbd_index_is_cached_outside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    write_sbd(folder, SBD_MAPS)
    before = sorted(folder.rglob("*"))
    SBD(folder)
    assert sorted(folder.rglob("*")) == before
    (cache,) = (tmp_path / "cache").rglob("*.json")
    assert cache.read_text(encoding="utf-8") == '{"2008_000123": [1, 3], "2008_000045": [2]}'

    reads = []
    read = sbd.read_instances
    monkeypatch.setattr(sbd, "read_instances", lambda path: reads.append(path) or read(path))
    assert len(SBD(folder)) == 3
    assert not reads
    cache.write_text('{"2008_0001', encoding="utf-8")  # a cut-off cache is made anew
    assert len(SBD(folder)) == 3
    assert len(reads) == 2
    size = (folder / "inst" / "2008_000045.mat").stat().st_size
    write_sbd(folder, {**SBD_MAPS, "2008_000045": levels(2, 7)})  # changed data too
    assert (folder / "inst" / "2008_000045.mat").stat().st_size == size
    with pytest.raises(DatasetNotFoundError, match="found 4 objects"):
        SBD(folder)


@pytest.mark.usefixtures("three_objects")
def test_sbd_without_a_writable_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sbd(tmp_path / "data", SBD_MAPS)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "file"))
    assert len(SBD(tmp_path / "data")) == 3
    assert "could not be saved" in capsys.readouterr().err


def test_sbd_missing_files(tmp_path: Path) -> None:
    write_sbd(tmp_path, SBD_MAPS)
    (tmp_path / "img" / "2008_000045.jpg").unlink()
    with pytest.raises(
        DatasetNotFoundError, match=r"1 of the 2 entries of .*val\.txt.*2008_000045.*mis prepare SBD"
    ):
        SBD(tmp_path)
    with pytest.warns(UserWarning, match="found 1 photographs"):
        benchmark = SBD(tmp_path, allow_incomplete=True)
    assert len(benchmark) == 2
    assert not benchmark.comparable


def test_sbd_damaged_instance_map(tmp_path: Path) -> None:
    write_sbd(tmp_path, SBD_MAPS)
    path = tmp_path / "inst" / "2008_000045.mat"
    data = path.read_bytes()
    for damaged in (b"", b"not a mat file", data[: len(data) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"2008_000045\.mat.*benchmark\.tgz"):
            SBD(tmp_path)
    savemat(path, {"GTinst": {"Boundaries": 1}})
    with pytest.raises(ImageError, match="Segmentation"):
        SBD(tmp_path)


def test_sbd_training_names_in_their_order(tmp_path: Path) -> None:
    write_sbd(tmp_path, {"b": levels(1), "a": levels(2)}, split="train")
    assert training_names(tmp_path) == ["b", "a"]
