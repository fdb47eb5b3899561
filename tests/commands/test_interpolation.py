"""References in configs take what later files and the command line say; nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from omegaconf.errors import InterpolationKeyError

from mis_lightning.commands.interpolation import fill_references

BASE = """
trainer: {max_steps: 10, folder: runs}
model:
  schedule: {total: "${trainer.max_steps}", name: "for ${trainer.max_steps} steps"}
callbacks:
  - {dir: "${trainer.folder}/best", keep: 1}
data: null
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(BASE, encoding="utf-8")
    return path


def read(argument: str) -> dict:
    return yaml.safe_load(Path(argument.partition("=")[2]).read_text(encoding="utf-8"))


def test_references_of_the_file_itself(base: Path, tmp_path: Path) -> None:
    verb, config = fill_references(["fit", "--config", str(base)], tmp_path)
    assert verb == "fit"
    assert read(config) == {
        "trainer": {"max_steps": 10, "folder": "runs"},
        "model": {"schedule": {"total": 10, "name": "for 10 steps"}},
        "callbacks": [{"dir": "runs/best", "keep": 1}],
        "data": None,
    }
    assert base.read_text(encoding="utf-8") == BASE


@pytest.mark.parametrize("option", [["--trainer.max_steps=30"], ["--trainer.max_steps", "30"]])
@pytest.mark.parametrize("config", ["--config", "-c"])
def test_options_reach_what_refers_to_them(
    base: Path, tmp_path: Path, option: list[str], config: str
) -> None:
    args = fill_references(["fit", config, str(base), *option, "--print_config"], tmp_path)
    assert args[0] == "fit"
    assert args[2:] == ["--trainer.max_steps=30", "--print_config"]
    filled = read(args[1])
    assert filled["model"]["schedule"] == {"total": 30, "name": "for 30 steps"}
    assert filled["trainer"]["max_steps"] == 10  # the option itself comes after the file


def test_a_later_file_counts_too(base: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.yaml"
    later.write_text("trainer: {max_steps: 20}\nmodel: {rate: '${trainer.max_steps}'}\n", encoding="utf-8")
    first, second = fill_references([f"--config={base}", f"--config={later}"], tmp_path)
    assert read(first)["model"]["schedule"]["total"] == 20
    assert read(second) == {"trainer": {"max_steps": 20}, "model": {"rate": 20}}


def test_options_that_no_file_names_change_nothing(base: Path, tmp_path: Path) -> None:
    options = ["--trainer=x.yaml", "--nonsense=1", "--data=null", "--callbacks+=other", "--flag"]
    args = fill_references([f"--config={base}", *options], tmp_path)
    assert args[1:] == options
    assert read(args[0])["model"]["schedule"]["total"] == 10


def test_environment(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base.write_text('a: "${oc.env:MIS_SOMEWHERE,.}/x"\n', encoding="utf-8")
    assert read(fill_references([f"--config={base}"], tmp_path)[0]) == {"a": "./x"}
    monkeypatch.setenv("MIS_SOMEWHERE", "/data")
    assert read(fill_references([f"--config={base}"], tmp_path)[0]) == {"a": "/data/x"}


def test_a_reference_to_nothing(base: Path, tmp_path: Path) -> None:
    base.write_text('model: {schedule: {total: "${trainer.steps}"}}\n', encoding="utf-8")
    with pytest.raises(InterpolationKeyError) as caught:
        fill_references([f"--config={base}"], tmp_path)
    assert caught.value.full_key == "model.schedule.total"


@pytest.mark.parametrize("text", ["a: [", "just text", "- 1\n- 2\n"])
def test_files_that_are_no_config_are_left_to_the_parser(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text, encoding="utf-8")
    assert fill_references(["fit", "--config", str(path)], tmp_path) == ["fit", f"--config={path}"]


def test_an_option_replaces_a_null(tmp_path: Path) -> None:
    path = tmp_path / "null.yaml"
    path.write_text('data: {images: null, masks: "${data.images}/inst"}\n', encoding="utf-8")
    (filled,) = (
        read(arg) for arg in fill_references(["--config", str(path), "--data.images=SBD"], tmp_path)[:1]
    )
    assert filled["data"] == {"images": None, "masks": "SBD/inst"}


def test_bare_names_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "bare.yaml"
    path.write_text(
        "data: {augment: {class_path: ZoomAugmentation}, val_benchmarks: [{class_path: GrabCut}]}\n"
        "model: {model: {class_path: my_package.Net}, loss: {class_path: Unknown}}\n",
        encoding="utf-8",
    )
    (config,) = fill_references([f"--config={path}"], tmp_path)
    assert read(config) == {
        "data": {
            "augment": {"class_path": "mis_lightning.data.zoom_augment.ZoomAugmentation"},
            "val_benchmarks": [{"class_path": "mis_lightning.data.benchmarks.GrabCut"}],
        },
        "model": {"model": {"class_path": "my_package.Net"}, "loss": {"class_path": "Unknown"}},
    }
