"""``--config`` takes a file or the name of a config of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from mis_lightning.commands.config_files import FOLDER, config_names, find_config, with_config_files
from mis_lightning.errors import InputError


def test_the_link_at_the_root_leads_to_the_configs_of_the_package() -> None:
    assert (Path(__file__).parents[2] / "configs").resolve() == FOLDER.resolve()


def test_every_config_has_its_name() -> None:
    names = config_names()
    assert {"cpu", "mis_vitb448_sbd", "sources/tokencut", "sweeps/connectivity"} <= set(names)
    for name in names:
        assert find_config(name) == str(FOLDER / f"{name}.yaml")


def test_a_file_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").touch()
    assert find_config("mine.yaml") == "mine.yaml"
    Path("cpu").mkdir()
    assert find_config("cpu") == str(FOLDER / "cpu.yaml")
    Path("cpu").rmdir()
    Path("cpu").touch()
    assert find_config("cpu") == "cpu"


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("cqu", "cpu"),
        ("tokencut", "sources/tokencut"),
        ("configs/cpu.yaml", "cpu"),
        ("mis_vitb_448_sbd.yml", "mis_vitb448_sbd"),
        ("source/merge_tree", "sources/merge_tree"),
    ],
)
def test_what_is_neither_is_named_with_the_nearest_names(
    given: str, nearest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"{given}.*Nearest names: {nearest},"):
        find_config(given)


def test_only_the_values_of_the_option_are_replaced() -> None:
    cpu = str(FOLDER / "cpu.yaml")
    inline = "{data: {images: x}}"
    words = [
        "fit",
        "--config",
        "cpu",
        "-c",
        "cpu",
        "--config=cpu",
        "--data.images",
        "cpu",
        "--config",
        inline,
    ]
    expected = ["fit", "--config", cpu, "-c", cpu, f"--config={cpu}", "--data.images", "cpu"]
    assert with_config_files(words) == [*expected, "--config", inline]
