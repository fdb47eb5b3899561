"""The bench of volumes runs, counts, and goes on from what it has."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mis_lightning.annotation.propagation import Carrying
from mis_lightning.bench.volume import main, slice_by_slice, with_carrying, without_carrying
from mis_lightning.errors import InputError
from tests.annotation.test_volume import GreySegmenter, pictures, truth

nibabel = pytest.importorskip("nibabel", reason="needs the medical extra")


def test_carrying_takes_one_click_where_each_slice_takes_one():
    images, mask, how = pictures(truth()), truth(), Carrying()
    carried = with_carrying(images, mask, GreySegmenter(), how)
    assert carried["clicks"] == [1, 1]
    assert carried["places"][0][0] == 4  # on the largest slice
    assert carried["dice"][-1] > 0.95
    assert slice_by_slice(images, mask, GreySegmenter(), how)["clicks"] == [7, 7]
    alone = without_carrying(images, mask, GreySegmenter(), how)
    assert 3 <= alone["clicks"][0] <= alone["clicks"][1] <= 7
    assert len(alone["dice"]) == alone["clicks"][1]


def test_it_says_where_the_object_is_not():
    mask = np.zeros((4, 40, 60), bool)
    mask[:3, 10:30, 10:40] = True
    images = pictures(np.repeat(mask[:1], 4, 0))  # there is something alike on the slices after it
    done = with_carrying(images, mask, GreySegmenter(), Carrying())
    assert [len(place) for place in done["places"]] == [4, 1]  # a click, and "not here"
    assert done["dice"][-1] > 0.95


def test_it_prints_figures_and_keeps_sessions(tmp_path, capsys):
    def save(name, slices):
        voxels = np.stack([one[::-1, ::-1].T for one in slices], axis=2)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / name)

    save("raw.nii.gz", [one[..., 0] for one in pictures(truth())])
    save("labels.nii.gz", (2 * truth()).astype(np.uint8))
    words = ["--volume", str(tmp_path / "raw.nii.gz"), "--labels", str(tmp_path / "labels.nii.gz")]
    words += [
        "--model",
        "tests.annotation.test_volume.GreySegmenter",
        "--sessions",
        str(tmp_path / "s.jsonl"),
    ]
    words += ["--json", str(tmp_path / "figures.json"), "--modes", "carried", "slice-by-slice"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "saved against slice-by-slice" in out
    assert "reached" in out
    kept = (tmp_path / "s.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line)["mode"] for line in kept.splitlines()] == ["carried", "slice-by-slice"]
    assert main(words) == 0
    assert (tmp_path / "s.jsonl").read_text(encoding="utf-8") == kept  # nothing is done twice
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["figures"]
    assert figures[0]["value"] == 1
    with pytest.raises(InputError, match="of that half"):
        main([*words, "--half", "odd"])
