"""The wheel: what is in it, and that it works outside any clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from PIL import Image

from mis_lightning.data.bundled import bundled_images

ROOT = Path(__file__).parents[1]
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources so that nothing is written into the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copy(ROOT / name, folder)
    shutil.copytree(
        ROOT / "mis_lightning", folder / "mis_lightning", ignore=shutil.ignore_patterns("__pycache__")
    )
    pip(folder, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", "dist", ".")
    (built,) = (folder / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    target = tmp_path_factory.mktemp("site-packages")
    pip(target, "install", "--no-deps", "--no-index", "--no-compile", "--target", str(target), str(wheel))
    return target


def pip(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr


PROGRESS = re.compile(r"(\w+: \d+ of \d+ |step \d+ of \d+: )")


def python(installed: Path, folder: Path, *words: str, status: int = 0) -> str:
    """Run the installed package in a folder of its own; returns what it prints, or its error.

    `-S` leaves out the `.pth` files, through which an editable install of the clone would be found as well.
    """
    paths = (installed, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-S", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == status, done.stderr[-3000:]
    said = [line for line in done.stderr.splitlines() if not PROGRESS.match(line)]
    assert status or not said, done.stderr[-3000:]  # no library has a word to say
    return done.stderr if status else done.stdout


@pytest.fixture
def my_images(tmp_path: Path) -> Path:
    folder = tmp_path / "my_images"
    folder.mkdir()
    for number, path in enumerate(bundled_images()[:2]):
        with Image.open(path) as image:
            image.convert("RGB").resize((120, 90)).save(folder / f"{number}.jpg")
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        said = message_from_bytes(archive.read(metadata))
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mis_lightning"}
    inside = {name.removeprefix("mis_lightning/") for name in names}
    package = ROOT / "mis_lightning"
    configs = {path.relative_to(package).as_posix() for path in (package / "configs").rglob("*.yaml")}
    assert len(configs) > 20
    assert {"py.typed", "server/page/index.html", "assets/models/mis-small/config.json"} | configs <= inside
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    measuring = {name for name in modules if name.startswith("bench/")}
    assert measuring
    assert {name for name in inside if name.endswith(".py")} == modules - measuring
    assert said["Author"] == "the mis_lightning authors"
    assert said["Keywords"]
    assert said.get_all("Project-URL")
    assert "Typing :: Typed" in said.get_all("Classifier", [])


def test_configs_are_found_by_name_outside_a_clone(installed: Path, tmp_path: Path) -> None:
    code = "import mis_lightning; print(mis_lightning.__file__)"
    assert Path(python(installed, tmp_path, "-c", code).strip()).is_relative_to(installed)
    code = """if True:
        import contextlib, sys
        from mis_lightning.cli import main
        for name in sys.argv[1:]:
            with contextlib.suppress(SystemExit):
                main(["fit", f"--config={name}", "--data.images=x", "--print_config"])
            print("---")
    """
    said = python(installed, tmp_path, "-c", code, "mis_vitb448_sbd", "cpu")
    recipe, small = [document for document in yaml.safe_load_all(said) if document]
    assert recipe["model"]["model"]["init_args"]["dim"] == 768
    assert small["trainer"]["max_steps"] == 2600
    assert not list(tmp_path.iterdir())


def test_what_only_measures_says_that_it_needs_a_clone(installed: Path, tmp_path: Path) -> None:
    said = python(installed, tmp_path, "-m", "mis_lightning", "bench", "merging", status=2)
    assert "needs a clone" in said
    assert "bench PART" in python(installed, tmp_path, "-m", "mis_lightning", "bench")


@pytest.mark.slow
def test_fit_and_quickstart_run_outside_a_clone(installed: Path, tmp_path: Path, my_images: Path) -> None:
    mis = ("-m", "mis_lightning")
    options = ("--data.images", str(my_images), "--trainer.max_steps=1", "--trainer.limit_val_batches=0")
    options += ("--model.lr_scheduler.init_args.warmup_steps=0",)
    python(installed, tmp_path, *mis, "fit", "--config", "cpu", *options)
    assert (tmp_path / "runs" / "cpu" / "checkpoints" / "last.ckpt").is_file()
    said = python(installed, tmp_path, *mis, "quickstart", "--steps", "2")
    assert "untrained" in said
    assert (tmp_path / "runs" / "quickstart" / "model" / "config.json").is_file()
