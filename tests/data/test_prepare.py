from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.commands import prepare
from mis_lightning.commands.prepare import main
from mis_lightning.data import sbd
from mis_lightning.data.benchmarks import BENCHMARKS, GrabCut
from mis_lightning.data.prepare.download import unpack
from mis_lightning.data.prepare.sources import ARCHIVES, STEPS, Archive
from mis_lightning.errors import InputError


def encode(array: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two images per set, and no network."""
    for benchmark in BENCHMARKS.values():
        monkeypatch.setattr(benchmark, "expected_images", 2)
    monkeypatch.setattr(sbd, "TRAINING_IMAGES", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    for name, archive in ARCHIVES.items():
        monkeypatch.setitem(prepare.ARCHIVES, name, archive._replace(urls=(f"file:///nowhere/{name}.zip",)))


def grabcut_members() -> dict[str, bytes]:
    mask = np.full((5, 6), 255, dtype=np.uint8)
    members = {f"GrabCut/data_GT/{n}.jpg": encode(np.stack([mask] * 3, -1), "jpeg") for n in "ab"}
    return members | {f"GrabCut/boundary_GT/{n}.bmp": encode(mask, "bmp") for n in "ab"}


def test_every_benchmark_has_steps() -> None:
    assert set(STEPS) == set(BENCHMARKS) >= set(ARCHIVES)
    for steps in STEPS.values():
        assert "DIR" in steps.format(root="DIR")
    assert {name for name, archive in ARCHIVES.items() if archive.digest} == {"SBD"}


def test_prepare_downloads_unpacks_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = make_zip(tmp_path / "GrabCut.zip", grabcut_members())
    monkeypatch.setitem(
        prepare.ARCHIVES, "GrabCut", Archive(("file:///nowhere/GrabCut.zip", archive.as_uri()), None, "1 kB")
    )
    root = tmp_path / "data"
    assert main(["GrabCut", "--root", str(root)]) == 0
    out = capsys.readouterr().out
    assert "which does not exist" in out
    assert "Downloading file:" in out
    assert f"GrabCut: complete, 2 objects in {root / 'GrabCut'}" in out
    assert len(GrabCut(root)) == 2
    assert main(["grabcut", "--root", str(root)]) == 0  # recognised, nothing is downloaded
    assert "Downloading" not in capsys.readouterr().out


def test_prepare_prints_steps_when_the_address_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["DAVIS", "--root", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "Could not download file:///nowhere/DAVIS.zip" in out
    assert f"{tmp_path}/DAVIS holds img/ (345 images) and gt/ (345 masks)" in out


@pytest.mark.parametrize("name", ["BraTS", "OAI-ZIB", "SBD"])
def test_prepare_without_download(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([name, "--root", str(tmp_path), "--no-download"]) == 1
    out = capsys.readouterr().out
    assert "How to get" in out
    assert "Run `mis prepare" not in out
    assert "{root}" not in out


@pytest.mark.parametrize("inside", [False, True])
def test_prepare_leaves_an_incomplete_set_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: bool
) -> None:
    archive = make_zip(tmp_path / "GrabCut.zip", grabcut_members())
    unpack(archive, tmp_path / "GrabCut")
    (tmp_path / "GrabCut" / "data_GT" / "b.jpg").unlink()
    root = tmp_path / "GrabCut" if inside else tmp_path
    assert main(["GrabCut", "--root", str(root)]) == 1
    out = capsys.readouterr().out
    assert "found 1 images" in out
    assert "nothing is overwritten" in out
    assert main(["GrabCut", "--root", str(root), "--allow-incomplete"]) == 0
    out = capsys.readouterr().out
    assert "GrabCut: incomplete, 1 object in" in out
    assert "not comparable" in out


def test_prepare_refuses_unknown_names_and_volumes(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["PascalVOC", "--root", str(tmp_path)])
    with pytest.raises(InputError, match="GrabCut has no volumes"):
        main(["GrabCut", "--root", str(tmp_path), "--volumes", str(tmp_path)])
