"""``mis predict`` and ``mis export-masks`` as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.cli import main
from mis_lightning.formats.coco import read_coco
from mis_lightning.models.pretrained import save_pretrained
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.predictor import ClickPredictor


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one of them damaged, and clicks on them."""
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(random.integers(0, 256, (60, 80, 3), np.uint8)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "clicks.csv").write_text(
        "image,row,col,positive,object\n"
        "a.png,20,30,1,cat\nbad.png,1,1,1,\na.png,5,5,0,cat\na.png,40,50,1,dog\nb.png,20,30,1,\n",
        encoding="utf-8",
    )
    return tmp_path


def predict(folder, *options, clicks="clicks.csv") -> int:
    fixed = ["--clicks", str(folder / clicks), "--images", str(folder / "in"), "--out", str(folder / "out")]
    return main(["predict", *fixed, "--device", "cpu", *options])


def test_a_model_folder_and_a_clicks_file_become_masks(folder, tiny_click_vit, capsys) -> None:
    model = tiny_click_vit().eval()
    save_pretrained(model, folder / "model")
    assert predict(folder, "--model", str(folder / "model")) == 2
    out, err = capsys.readouterr()
    assert "2 of 3 images answered" in out
    assert "1 of 3 images failed" in err
    assert "bad.png" in err
    report = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    assert (report["images"], report["known_before"], list(report["failed"])) == (3, 0, ["bad.png"])

    predictor = ClickPredictor(ClickModelSegmenter(model))
    predictor.set_image(folder / "in" / "a.png")
    predictor.click(20, 30)
    predictor.click(5, 5, positive=False)
    with Image.open(folder / "out" / "a.1.png") as mask:
        np.testing.assert_array_equal(np.array(mask), predictor.mask * np.uint8(255))
    assert sorted(path.name for path in (folder / "out").glob("*.png")) == ["a.1.png", "a.2.png", "b.png"]

    # again: what is done is not done again, what failed is tried again, another format is written
    kept = (folder / "out" / "annotations" / "a.png.json").stat().st_mtime_ns
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(folder / "in" / "bad.png")
    assert predict(folder, "--model", str(folder / "model"), "--format", "coco") == 0
    assert "3 of 3 images answered (2 of them in an earlier run)" in capsys.readouterr().out
    assert (folder / "out" / "annotations" / "a.png.json").stat().st_mtime_ns == kept
    images = read_coco(folder / "out" / "coco.json")
    assert [one.image for one in images] == ["a.png", "bad.png", "b.png"]
    assert {one.name for one in images[0].objects} <= {"cat", "dog"}

    # another model answers everything anew
    save_pretrained(tiny_click_vit(seed=1), folder / "model")
    assert predict(folder, "--model", str(folder / "model")) == 0
    assert "earlier run" not in capsys.readouterr().out


def test_without_a_model_and_export_masks(folder, capsys) -> None:
    assert predict(folder, "--model", "merge-tree", "--format", "labels") == 2
    store = AnnotationStore(folder / "out" / "annotations")
    assert store.read("a.png").log.model == "merge-tree"
    with Image.open(folder / "out" / "a.png") as labels:
        np.testing.assert_array_equal(np.array(labels), store.read("a.png").labels)
    capsys.readouterr()

    assert main(["export-masks", str(folder / "out"), "--format", "png"]) == 0
    assert "3 files" in capsys.readouterr().out
    assert len(list((folder / "out_png").glob("*.png"))) == 3
    (folder / "out" / "annotations" / "a.png.json").write_text("{}", encoding="utf-8")
    target = folder / "all"
    assert main(["export-masks", str(folder / "out"), "--format", "coco", "--out", str(target)]) == 2
    assert "a.png" in capsys.readouterr().err
    assert [one.image for one in read_coco(target / "coco.json")] == ["b.png"]
    assert main(["export-masks", str(folder / "nowhere"), "--format", "png"]) == 2
    assert "no" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "nowhere"], "nowhere"),
        (["--model", "merge-tree", "--threshold", "2"], "threshold"),
    ],
)
def test_what_does_not_fit_is_said(folder, capsys, options, said) -> None:
    assert predict(folder, *options) == 2
    assert said in capsys.readouterr().err


def test_with_a_config_it_is_the_verb_of_the_lightning_cli(folder, capsys) -> None:
    (folder / "in" / "bad.png").unlink()
    options = [
        "--config=cpu",
        f"--data.clicks={folder / 'clicks.csv'}",
        f"--data.clicks_folder={folder / 'in'}",
        f"--trainer.default_root_dir={folder}",
        "--trainer.logger=false",
    ]
    assert main(["predict", *options]) == 2
    assert "bad.png" in capsys.readouterr().err
    (folder / "clicks.csv").write_text("image,row,col\na.png,20,30\nb.png,20,30\n", encoding="utf-8")
    assert main(["predict", *options]) == 0
    assert "2 of 2 images answered (1 of them in an earlier run)" in capsys.readouterr().out
    assert {path.name for path in (folder / "masks").glob("*.png")} >= {"a.png", "b.png"}


@pytest.mark.slow
def test_two_processes_answer_what_one_does(folder, tmp_path) -> None:
    (folder / "config.yaml").write_text(
        "trainer: {accelerator: cpu, logger: false, enable_checkpointing: false}\n"
        "model:\n"
        "  model:\n"
        "    class_path: mis_lightning.models.click_hybrid.HybridClickViT\n"
        "    init_args: {input_size: [32, 32], dims: [8, 8, 8], dim: 16, depth: 1, heads: 2}\n"
        "  loss: {class_path: mis_lightning.losses.interactive.ClickLoss}\n"
        f"data: {{clicks: {folder}/clicks.csv, clicks_folder: {folder}/in, images: {folder}/in}}\n"
        "seed_everything: 0\n",
        encoding="utf-8",
    )
    outs = {count: tmp_path / f"out{count}" for count in (1, 2)}
    for count, out in outs.items():
        name = "mis_lightning.training.mask_writer.MaskWriter"
        writer = {"class_path": name, "init_args": {"folder": str(out)}}
        command = [sys.executable, "-m", "mis_lightning", "predict", f"--config={folder / 'config.yaml'}"]
        command += [f"--trainer.devices={count}", f"--trainer.callbacks={json.dumps([writer])}"]
        strategy = ["--trainer.strategy=ddp"] if count == 2 else []
        done = subprocess.run(
            [*command, *strategy],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )
        assert "2 of 3 images answered" in done.stdout, done.stderr
    reports = [json.loads((out / "report.json").read_text(encoding="utf-8")) for out in outs.values()]
    assert reports[0] == reports[1]
    pictures = [{path.name: path.read_bytes() for path in out.glob("*.png")} for out in outs.values()]
    assert pictures[0] == pictures[1]
    assert pictures[0].keys() == {"a.1.png", "a.2.png", "b.png"}


def test_label_volumes_need_the_folder_of_the_volumes(tmp_path, capsys) -> None:
    (tmp_path / "masks").mkdir()
    assert main(["export-masks", str(tmp_path / "masks"), "--format", "volumes"]) == 2
    assert "`--images`" in capsys.readouterr().err
    assert (
        main(
            ["export-masks", str(tmp_path / "masks"), "--format", "volumes", "--images", str(tmp_path / "no")]
        )
        == 2
    )
    assert "`--images`" in capsys.readouterr().err
