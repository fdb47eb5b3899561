"""`mis figure`: each kind writes a PNG and a PDF of what it was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mis_lightning.cli import main
from mis_lightning.evaluation.simulation import SimulatedSession
from mis_lightning.metrics.curves import curves_to_csv
from mis_lightning.models.pretrained import save_pretrained
from mis_lightning.structures import Click


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    pixels[:, :32] //= 4
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def drawn(tmp_path, *words):
    assert main(["figure", *words, "--out", str(tmp_path / "out" / "figure")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["figure.pdf", "figure.png"]
    assert (tmp_path / "out" / "figure.pdf").read_bytes().startswith(b"%PDF")
    return Image.open(tmp_path / "out" / "figure.png").size


@pytest.mark.parametrize("kind", ["merging", "levels", "shallow"])
def test_pictures_of_a_tree(photo, tmp_path, kind):
    size = drawn(tmp_path, kind, photo, "--counts", "[2,5]", "--tree.connectivity", "full", "--width", "5")
    assert size[0] == 5 * 300


def test_other_extractor_settings_make_another_picture(photo, tmp_path):
    extractor = "mis_lightning.features.colour_texture.ColourTexture"
    pictures = []
    for stride in ("4", "8"):
        options = ["--tree.extractor", extractor, "--tree.extractor.stride", stride]
        drawn(tmp_path, "levels", photo, "--counts", "[4]", *options)
        pictures.append((tmp_path / "out" / "figure.png").read_bytes())
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize("source", ["merge_tree", "tokencut", "deep_spectral", "free_mask"])
def test_drawn_regions_of_a_source(photo, tmp_path, source):
    config = ["--config", f"sources/{source}"]
    size = drawn(tmp_path, "drawn", photo, *config, "--count", "3", "--width", "5")
    assert size[0] == 5 * 300
    first = (tmp_path / "out" / "figure.png").read_bytes()
    drawn(tmp_path, "drawn", photo, *config, "--count", "3", "--width", "5")
    assert (tmp_path / "out" / "figure.png").read_bytes() == first


def test_clicks_of_a_model_on_a_named_object(tmp_path, tiny_click_vit):
    save_pretrained(tiny_click_vit(), tmp_path / "model")
    drawn(tmp_path, "clicks", "--model", str(tmp_path / "model"), "--object", "chelsea", "--shown", "[1,2]")


def test_training_of_two_stages(tmp_path):
    header = "epoch,step,train/loss,val/bundled/noc_85\n"
    for name in ("first", "second"):
        (tmp_path / name / "version_0").mkdir(parents=True)
        (tmp_path / name / "version_0" / "metrics.csv").write_text(
            f"{header}0,9,0.5,\n0,19,0.25,12.5\n", encoding="utf-8"
        )
    drawn(tmp_path, "training", f"ours={tmp_path / 'first'}", f"ours={tmp_path / 'second'}")


def test_curves_of_result_files(tmp_path):
    for run, level in (("a", 0.5), ("b", 0.8)):
        clicks = (Click(1, 1, True), Click(2, 2, True))
        session = SimulatedSession("x", np.float32([level, level + 0.1]), clicks, 0.1, 0.1)
        (tmp_path / run).mkdir()
        (tmp_path / run / "curves.csv").write_text(curves_to_csv({"GrabCut": [session]}), encoding="utf-8")
    drawn(tmp_path, "curves", f"first={tmp_path / 'a' / 'curves.csv'}", str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pie"], "Expected one of merging, levels, shallow, drawn, clicks, curves, training, but got 'pie'"),
        (["levels", "nowhere.png", "--out", "x"], "nowhere.png"),
        (["levels", "--out", "x"], "image"),
        (
            ["clicks", "--model", "cv2", "--object", "unicorn", "--out", "x"],
            "no object whose name starts with",
        ),
        (["curves", "a=nowhere.csv", "--out", "x"], "nowhere.csv"),
        (["training", "a=nowhere.csv", "--out", "x"], "nowhere.csv"),
        (["drawn", "nowhere.png", "--out", "x"], "nowhere.png"),
        (["drawn", "nowhere.png", "--count", "0", "--out", "x"], "--count"),
        (["drawn", "nowhere.png", "--data.regions", "Oracle", "--out", "x"], "Oracle"),
    ],
)
def test_bad_input(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["figure", *words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_kinds(capsys):
    assert main(["figure", "--help"]) == 0
    assert "Figure III" in capsys.readouterr().out
