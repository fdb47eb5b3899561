"""`mis bench quality` against a search over every region, on few objects."""

from __future__ import annotations

import json

import numpy as np
import pytest
import timm
import torch

from mis_lightning.cli import main
from mis_lightning.commands import region_quality as quality
from mis_lightning.commands.region_quality import best_iou, measure, region_shares
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.merge_tree.sampling import node_mask
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.structures import Sample


class Small(BundledBenchmark):
    """The bundled photographs at a quarter of their width: a sixteenth of the tokens."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return Sample(sample.image[::4, ::4].copy(), sample.mask[::4, ::4].copy(), None, sample.name)


@pytest.fixture
def small_photographs(monkeypatch):
    monkeypatch.setattr(quality, "BundledBenchmark", Small)


def sample_of(seed, ignore=True):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (24, 32, 3), np.uint8)
    mask = np.zeros((24, 32), bool)
    mask[5:17, 6:20] = True
    return Sample(image, mask, rng.random((24, 32)) < 0.1 if ignore else None, f"object{seed}")


def iou(mask, sample):
    counted = np.ones_like(mask) if sample.ignore is None else ~sample.ignore
    return (mask & sample.mask & counted).sum() / ((mask | sample.mask) & counted).sum()


@pytest.mark.parametrize("ignore", [False, True])
def test_the_best_region_is_the_best_of_all(ignore):
    sample = sample_of(0, ignore)
    source = MergeTreeRegions(ColourTexture(stride=4))
    tree = source.find(sample.image, "a", source.extractor(sample.image))
    masks = np.stack([node_mask(tree, node, (24, 32)) for node in range(tree.n_nodes)])
    expected = max(iou(mask, sample) for mask in masks)
    assert best_iou(tree, sample) == pytest.approx(expected)
    assert best_iou(MaskSet.pack(masks), sample) == pytest.approx(expected)
    assert best_iou(MaskSet.pack(masks[:0]), sample) == 0
    np.testing.assert_allclose(region_shares(tree), masks[:-1].mean(axis=(1, 2)))
    np.testing.assert_allclose(region_shares(MaskSet.pack(masks)), masks.mean(axis=(1, 2)))


def test_an_image_with_two_objects_is_worked_on_once():
    calls = []

    class Counting(MergeTreeRegions):
        def find(self, image, key, features):
            calls.append(key)
            return super().find(image, key, features)

    first = sample_of(0)
    second = Sample(first.image, ~first.mask, None, "other")
    row = measure(Counting(ColourTexture()), [first, second, sample_of(1)])
    assert calls == ["object0", "object1"]
    assert list(row["ious"]) == ["object0", "other", "object1"]
    assert row["best_iou"] == pytest.approx(np.mean(list(row["ious"].values())))
    assert row["regions"] == 2 * 48 - 2
    assert sum(row["sizes"]) == pytest.approx(1)


def test_every_source_runs_and_the_json_holds_the_table(tmp_path, capsys, monkeypatch, small_photographs):
    small = {name: (lambda make=make: make()) for name, make in quality.SOURCES.items() if "full" not in name}
    monkeypatch.setattr(quality, "SOURCES", small)
    words = ["bench", "quality", "--count", "2", "--json", str(tmp_path / "out.json"), "--sources", *small]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "bundled: 2 objects" in printed
    record = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert list(record["sources"]) == list(small)
    assert all(0 <= row["best_iou"] <= 1 and len(row["ious"]) == 2 for row in record["sources"].values())


def test_bad_options(capsys):
    assert main(["bench", "quality", "--sources", "oracle"]) == 2
    assert main(["bench", "quality", "--benchmark", "GrabCut"]) == 2
    assert "--root" in capsys.readouterr().err


def test_any_extractor_can_be_measured(tmp_path, capsys, small_photographs):
    """A plain ViT, and one without a table of positions (of DINOv3), with random weights from a file."""
    words = ["bench", "quality", "--count", "1", "--sources", "merge tree", "DSM, 5 segments"]
    for name in ("test_vit", "vit_small_patch16_dinov3"):
        path = tmp_path / f"{name}.pth"
        torch.save(timm.create_model(name, num_classes=0).state_dict(), path)
        out = tmp_path / f"{name}.json"
        options = ["--extractor", name, "--checkpoint", str(path), "--json", str(out)]
        assert main([*words, *options]) == 0
        assert f"1 objects, {name}" in capsys.readouterr().out
        sources = json.loads(out.read_text(encoding="utf-8"))["sources"]
        assert 0 < sources["merge tree"]["best_iou"] <= 1
        assert sources["DSM, 5 segments"]["regions"] <= 4
    assert main(["bench", "quality", "--extractor", "vit_nobody"]) == 2
