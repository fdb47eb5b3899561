import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.cli import main
from mis_lightning.commands import compare
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.formats.label_png import write_label_png
from mis_lightning.models.pretrained import save_pretrained
from mis_lightning.structures import Sample


def test_a_row_for_each(tmp_path, capsys, monkeypatch, tiny_click_vit):
    whole = BundledBenchmark()
    cat = next(whole[index] for index in range(31) if whole[index].name == "chelsea.png#cat")

    class Short(BundledBenchmark):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return Sample(cat.image[::4, ::4].copy(), cat.mask[::4, ::4].copy(), None, cat.name)

    monkeypatch.setattr(compare, "BundledBenchmark", Short)
    folder = save_pretrained(tiny_click_vit(), tmp_path / "tiny")
    what = ["cv2.grabCut", "merge-tree", f"ours={folder}"]
    assert main(["compare", *what, "--folder", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed if " 1 " in line] == ["cv2.grabCut", "merge-tree", "ours"]
    records = {
        name: json.loads((tmp_path / "out" / name / "results.json").read_text(encoding="utf-8"))
        for name in ("cv2.grabCut", "merge-tree", "ours")
    }
    cut = records["cv2.grabCut"]
    assert cut["settings"]["segmenter"] == "cv2.grabCut"
    assert cut["benchmarks"]["bundled"]["values"]["iou@10"] > 0.5
    assert cut["settings"]["evaluation"]["iterations"] == 3
    assert cut["settings"]["evaluation"]["max_clicks"] == 20
    assert records["merge-tree"]["settings"]["evaluation"]["stride"] == 2
    assert records["ours"]["settings"]["model"]["architecture"] == "ClickViT"
    assert records["ours"]["settings"]["evaluation"]["flip"] is True


@pytest.mark.parametrize(
    ("what", "message"),
    [(["cv2.grabCut", "cv2.grabCut"], "distinct names"), (["nowhere.ckpt"], "nothing at nowhere.ckpt")],
)
def test_what_cannot_be_compared(what, message, capsys):
    assert main(["compare", *what]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def own(tmp_path):
    """An image with two objects, and its masks."""
    (tmp_path / "cells").mkdir()
    (tmp_path / "masks").mkdir()
    labels = np.zeros((40, 60), np.uint16)
    labels[5:20, 5:25], labels[22:36, 30:50] = 1, 2
    Image.fromarray(np.where(labels[..., None] > 0, 200, [[[40, 60, 80]]]).astype(np.uint8)).save(
        tmp_path / "cells" / "a.png"
    )
    write_label_png(tmp_path / "masks" / "a.png", labels)
    return ["--images", str(tmp_path / "cells"), "--masks", str(tmp_path / "masks")]


def test_reports_of_two_benchmarks_are_kept_apart(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "merge-tree", *own, "--limit", "1"]) == 0
    (tmp_path / "cells").rename(tmp_path / "nuclei")
    assert main(["compare", "merge-tree", "--images", "nuclei", *own[2:], "--limit", "1"]) == 0
    reports = sorted(path.parts[-3] for path in (tmp_path / "runs").rglob("results.json"))
    assert reports == ["cells", "nuclei"]


def test_images_of_ones_own(own, tmp_path, capsys):
    out = ["--folder", str(tmp_path / "out")]
    assert main(["compare", "merge-tree", *own, *out, "--min-area", "290", "--objects-per-image", "2"]) == 0
    printed = capsys.readouterr().out
    settings = json.loads((tmp_path / "out/merge-tree/results.json").read_text(encoding="utf-8"))["settings"]
    data = settings["data"]["cells"]
    assert settings["comparable"] == {"cells": False}
    assert (data["objects"], data["min_area"], data["images"]) == (1, 290, str(tmp_path / "cells"))
    assert f"cells, your own images (1 object, {data['digest']})" in printed
    assert "* not comparable" in printed
    assert "* not comparable" in (tmp_path / "out/merge-tree/table.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--benchmark", "GrabCut"], "either --images and --masks.*or --benchmark"),
        (["--root", "x"], "either --images and --masks.*--root"),
        (["--incomplete"], "either.*--incomplete"),
        (["--min-area", "9999"], "all 2 are smaller"),
    ],
)
def test_options_that_do_not_go_together(own, options, message, capsys):
    assert main(["compare", "merge-tree", *own, *options]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("given", [slice(0, 2), slice(2, 4)])
def test_images_and_masks_come_together(own, given, capsys):
    assert main(["compare", "merge-tree", *own[given]]) == 2
    assert "both --images and --masks" in capsys.readouterr().err


def test_where_reports_cannot_be_kept_is_said_before_anything_is_computed(own, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare, "simulate_sessions", lambda *_: pytest.fail("computed"))
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/reports")):
        assert main(["compare", "merge-tree", *own, "--folder", str(folder)]) == 2
        assert f"cannot be saved in {folder}" in capsys.readouterr().err


def test_an_incomplete_benchmark(own, tmp_path, capsys):
    (tmp_path / "GrabCut").mkdir()
    (tmp_path / "cells").rename(tmp_path / "GrabCut" / "data_GT")
    (tmp_path / "masks").rename(tmp_path / "GrabCut" / "boundary_GT")
    labels = np.zeros((40, 60), np.uint8)
    labels[5:20, 5:25] = 255
    Image.fromarray(labels).save(tmp_path / "GrabCut" / "boundary_GT" / "a.png")
    asked = [
        "compare",
        "merge-tree",
        "--benchmark",
        "GrabCut",
        "--root",
        str(tmp_path),
        "--folder",
        str(tmp_path),
    ]
    assert main(asked) == 2
    assert "--incomplete" in capsys.readouterr().err
    assert main([*asked, "--incomplete"]) == 0
    assert "* not comparable" in capsys.readouterr().out
    settings = json.loads((tmp_path / "merge-tree/results.json").read_text(encoding="utf-8"))["settings"]
    assert settings["comparable"] == {"GrabCut": False}


def test_a_benchmark_with_files_needs_its_folder(capsys):
    assert main(["compare", "merge-tree", "--benchmark", "GrabCut"]) == 2
    assert "mis prepare GrabCut" in capsys.readouterr().err
