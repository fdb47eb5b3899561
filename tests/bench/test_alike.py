"""`mis bench alike` on drawn disks: its figures, its rivals, and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mis_lightning.alike.model import AlikeModel
from mis_lightning.alike.settings import AlikeSettings
from mis_lightning.bench import alike
from mis_lightning.bench.alike_rivals import match_templates, watershed
from mis_lightning.errors import InputError
from mis_lightning.metrics.functional import iou


@pytest.fixture
def sets(scene, tmp_path):
    """Two images of disks, as a set of the benchmark."""
    for folder in ("images", "masks"):
        (tmp_path / "disks" / folder).mkdir(parents=True)
    for number in range(4):
        image, disks, _ = scene(seed=number, size=(90, 100), disks=6, squares=1)
        Image.fromarray(image).save(tmp_path / "disks" / "images" / f"{number}.png")
        labels = np.zeros((90, 100), np.uint16)
        for label, disk in enumerate(disks, 1):
            labels[disk] = label
        Image.fromarray(labels).save(tmp_path / "disks" / "masks" / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("find", [match_templates, watershed])
def test_rivals_find_disks(scene, find):
    image, disks, _ = scene(squares=0)
    found = find(image, disks[:2])
    masks = [one.whole(image.shape[:2]) for one in found]
    assert sum(max(iou(mask, disk, None) for mask in masks) > 0.6 for disk in disks[2:]) >= 5
    assert max(iou(mask, disk, None) for mask in masks for disk in disks[:2]) <= 0.5


def test_average_precision_by_hand():
    # Best first: a hit, a miss, a miss too small to count, a hit, and one more of an object that was found.
    proposals = [
        [0.9, 50, {"a": 0.8}, None],
        [0.8, 50, {"b": 0.4}, None],
        [0.7, 5, {}, None],
        [0.6, 50, {"b": 0.6, "a": 0.55}, None],
        [0.5, 50, {"a": 0.7}, None],
    ]
    tries = [{"kind": "same", "objects": ["a", "b", "c"], "proposals": proposals}]
    precision, recall = alike._ap(tries, "same", 0.5, 10)
    assert recall == pytest.approx(2 / 3)
    assert precision == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    assert alike._ap(tries, "same", 0.75, 10)[1] == pytest.approx(1 / 3)
    assert alike._ap(tries, "other", 0.5, 10) == (0.0, 0.0)


def test_the_table_and_what_is_kept(sets, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(alike, "AlikeModel", lambda marked: AlikeModel(marked, AlikeSettings(trees=8)))
    words = [
        "--data",
        str(sets),
        "--sets",
        "disks",
        "--examples",
        "2",
        "--clicks",
        "2",
        "--model",
        "merge-tree",
    ]
    words += ["--methods", "alike", "templates", "--folder", str(tmp_path / "kept")]
    assert alike.main(words) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| disks, 2")]
    assert len(rows) == 2
    ours = [cell.strip() for cell in rows[0].split("|")]
    assert float(ours[3]) >= 0.9
    assert float(ours[7]) >= 0.7  # on the other of the two images
    assert all(cell.endswith("%]") for cell in ours[8:12])
    kept = tmp_path / "kept" / "disks.report.jsonl"
    before = kept.read_text(encoding="utf-8")
    kept.write_text(before + '\n{"key": "half a li', encoding="utf-8")  # as a kill leaves it
    assert alike.main(words) == 0
    again = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| disks, 2")]
    assert again == rows
    assert kept.read_text(encoding="utf-8").startswith(before)


def test_clicks_saved_by_hand(monkeypatch):
    names = [str(k) for k in range(5)]
    scene = alike.Scene("i", np.zeros((9, 9, 3), np.uint8), {n: np.ones((9, 9), np.bool_) for n in names})
    monkeypatch.setattr(alike, "_clicks", lambda scene, name, segmenter, store: 4)
    monkeypatch.setattr(alike, "_corrections", lambda *_: 2)
    proposals = [
        [0.9, 50, {"1": 0.9}, None],  # accepted: 1
        [0.8, 50, {"2": 0.6}, [0, 0, 9, 9, "x"]],  # accepted and corrected: 3
        [0.7, 50, {}, None],  # rejected: 1
        [0.6, 5, {}, None],  # too small to count
        [0.4, 50, {"3": 0.9}, None],  # not looked at
    ]
    one = {"kind": "same", "image": "i", "examples": ["0"], "objects": names[1:], "proposals": proposals}
    store = type("Nothing", (), {"get": lambda self, key, make: make()})()
    saved = {way: alike._saved([one], {"i": scene}, None, store, 10, way).split()[0] for way in alike.WAYS}
    assert saved == {
        "one by one": "25%",  # of 20 clicks: 4 for the example, 1 + 1 + 4 + 4 for the others, 1 rejected
        "corrected": "15%",  # 1 + 3 + 4 + 4
        "at once": "30%",  # 0 + 0 + 4 + 4, 1 for all, 1 deleted
        "at most": "60%",  # 1 each
    }


def test_unknown_methods_are_refused(tmp_path):
    with pytest.raises(InputError, match="methods"):
        alike.main(["--data", str(tmp_path), "--methods", "magic", "--model", "merge-tree"])
    with pytest.raises(InputError, match="--examples"):
        alike.main(["--data", str(tmp_path), "--examples", "0", "--model", "merge-tree"])
