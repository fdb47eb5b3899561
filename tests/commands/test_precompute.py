import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.cli import main
from mis_lightning.regions.store import RegionStore

OPTIONS = ["precompute", "--config", "cpu", "--data.num_workers", "0"]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(folder / name)
    return folder


def run(images, trees, *more):
    return main([*OPTIONS, "--data.images", str(images), "--data.store", str(trees), *more])


def test_trees_are_those_of_the_config(images, tmp_path, capsys):
    assert run(images, tmp_path / "trees") == 0
    assert "regions of 2 images" in capsys.readouterr().out
    store = RegionStore(tmp_path / "trees")
    assert store.settings["extractor"] == "ColourTexture"
    assert store.load("a.png").grid == (12, 16)


def test_other_settings_are_refused_by_name(images, tmp_path, capsys):
    run(images, tmp_path / "trees")
    assert run(images, tmp_path / "trees", "--data.regions.init_args.extractor.init_args.stride", "8") == 2
    message = capsys.readouterr().err
    assert "stride: store 2, asked 8" in message
    assert "Traceback" not in message


def test_an_unreadable_image_is_named_and_the_others_are_kept(images, tmp_path, capsys):
    (images / "c.jpg").write_bytes(b"no image")
    assert run(images, tmp_path / "trees") == 2
    assert "c.jpg" in capsys.readouterr().err
    assert "a.png" in RegionStore(tmp_path / "trees")
    assert run(images, tmp_path / "trees", "--data.skip_unreadable", "true") == 0


def test_an_unknown_option_is_named(images, tmp_path, capsys):
    assert run(images, tmp_path / "trees", "--data.stripe", "8") == 2
    assert "stripe" in capsys.readouterr().err


FEATURES = {  # stride and longest side
    "segment_unions": (2, 400),
    "merge_tree": (4, 512),
    "tokencut": (8, 512),
    "deep_spectral": (8, 512),
    "free_mask": (16, 512),
    "true_masks": (None, None),
}


def test_every_source_is_named_here():
    files = {path.stem for path in Path("configs/sources").glob("*.yaml")}
    with_weights = {name for name in files if name.endswith(("vits8", "vits16", "densecl"))}
    assert files - with_weights == set(FEATURES)


@pytest.mark.parametrize("source", FEATURES)
def test_every_source_goes_through_the_one_command(images, tmp_path, source):
    maps = tmp_path / "images-masks"  # where true_masks.yaml looks for those of images/
    maps.mkdir()
    for path in images.glob("*.png"):
        labels = np.zeros((24, 32), np.uint8)
        labels[4:12, 4:20] = 1
        Image.fromarray(labels).save(maps / path.name)
    overlay = tmp_path / "overlay.yaml"  # names a part of the trainer, to which configs/cpu.yaml refers
    overlay.write_text("trainer: {max_steps: 3}\n", encoding="utf-8")
    more = ["--config", f"sources/{source}", "--config", str(overlay)]
    assert run(images, tmp_path / "store", *more) == 0
    store = RegionStore(tmp_path / "store")
    assert store.settings["source"] == ("merge_tree" if source == "segment_unions" else source)
    # A source's config says all of its features, so that none are left over from the config below it.
    assert (store.settings.get("stride"), store.settings.get("max_side")) == FEATURES[source]
    assert store.keys() == ["a.png", "b.png"]
    before = store.path("a.png").stat().st_mtime_ns
    store.path("b.png").unlink()  # as if it had been killed
    assert run(images, tmp_path / "store", *more) == 0
    assert store.keys() == ["a.png", "b.png"]
    assert store.path("a.png").stat().st_mtime_ns == before


def started(images, trees, *more):
    words = [sys.executable, "-m", "mis_lightning", *OPTIONS, "--accelerator", "cpu", *more]
    words += ["--data.images", str(images), "--data.store", str(trees)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow  # six processes
def test_two_devices_and_two_commands_at_once_give_what_one_gives(images, tmp_path):
    runs = [
        started(images, tmp_path / "both"),
        started(images, tmp_path / "both"),
        started(images, tmp_path / "devices", "--devices", "2"),
    ]
    ends = [run.communicate(timeout=600) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], ends
    assert ends[2][0].count("regions of 2 images") == 1
    assert "MEMBER: 2/2" in ends[2][1]
    run(images, tmp_path / "alone")
    assert len(contents(tmp_path / "alone")) == 3
    assert contents(tmp_path / "both") == contents(tmp_path / "devices") == contents(tmp_path / "alone")


def test_a_reference_that_leads_nowhere_is_named(images, tmp_path, capsys):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("data: {seed: '${data.sead}'}\n", encoding="utf-8")
    assert run(images, tmp_path / "trees", "--config", str(overlay)) == 2
    message = capsys.readouterr().err
    assert "data.sead" in message
    assert "Traceback" not in message


def test_an_empty_folder(tmp_path, capsys):
    (tmp_path / "nothing").mkdir()
    assert run(tmp_path / "nothing", tmp_path / "trees") == 2
    assert "nothing" in capsys.readouterr().err
