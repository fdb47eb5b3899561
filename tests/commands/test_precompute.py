import numpy as np
import pytest
from PIL import Image

from mis_lightning.cli import main
from mis_lightning.regions.store import RegionStore

OPTIONS = ["precompute", "--config", "configs/cpu.yaml", "--data.num_workers", "0"]


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
    assert store.load("a.png").grid == (6, 8)


def test_other_settings_are_refused_by_name(images, tmp_path, capsys):
    run(images, tmp_path / "trees")
    assert run(images, tmp_path / "trees", "--data.regions.init_args.extractor.init_args.stride", "8") == 2
    message = capsys.readouterr().err
    assert "stride: store 4, asked 8" in message
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


def test_an_empty_folder(tmp_path, capsys):
    (tmp_path / "nothing").mkdir()
    assert run(tmp_path / "nothing", tmp_path / "trees") == 2
    assert "nothing" in capsys.readouterr().err
