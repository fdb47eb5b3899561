"""The comparison of region sources: its maps of objects, its commands, what it keeps, its table."""

from __future__ import annotations

import importlib
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mis_lightning.data.bundled import BundledBenchmark, bundled_images
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.store import RegionStore

SOURCES = ("segment_unions", "merge_tree", "tokencut", "deep_spectral", "free_mask", "true_masks")


@pytest.fixture
def module(scripts):
    return importlib.import_module("compare_sources")


def test_every_source_has_a_row(module):
    assert {row.source for row in module.ROWS} == set(SOURCES)
    assert Counter(row.source for row in module.ROWS)["merge_tree"] == 2


def test_maps_hold_whole_objects_only(module, tmp_path):
    module.write_lists(tmp_path, [tmp_path / "a.jpg"])
    assert (tmp_path / "images.txt").read_text(encoding="utf-8") == f"{tmp_path / 'a.jpg'}\n"
    benchmark = BundledBenchmark()
    samples = [benchmark[index] for index in range(len(benchmark))]
    photographs = [path.name for path in bundled_images()]
    assert sorted(path.name for path in (tmp_path / "photographs").iterdir()) == photographs
    for name in photographs:
        labels = np.asarray(Image.open((tmp_path / "photographs-masks" / name).with_suffix(".png")))
        masks = [sample.mask for sample in samples if sample.name.startswith(f"{name}#")]
        found = [labels == value for value in range(1, labels.max() + 1)]
        assert found
        assert all(any(np.array_equal(one, mask) for mask in masks) for one in found)
        assert any(np.array_equal(found[0], mask) for mask in [max(masks, key=np.count_nonzero)])


def test_only_the_sources_config_and_folder_differ(module, tmp_path):
    first, second = (
        [
            [word.replace(name, "NAME") for word in command]
            for command in module.commands(module.Row(name), tmp_path, [])
        ]
        for name in ("tokencut", "free_mask")
    )
    assert first == second
    assert [command[3] for command in first] == ["precompute", "fit", "test"]


@pytest.mark.parametrize("source", SOURCES)
def test_the_commands_parse(module, parse, source, tmp_path, monkeypatch):
    monkeypatch.setenv("MIS_DATA_DIR", "data")
    row = next(row for row in reversed(module.ROWS) if row.source == source)
    config = parse(module.commands(row, tmp_path, [])[1][4:])
    assert config["trainer"]["max_steps"] == 240
    assert config["model"]["lr_scheduler"]["init_args"]["total_steps"] == 240
    assert f"regions.{source}." in config["data"]["regions"]["class_path"]
    assert config["data"]["store"] == str(tmp_path / row.name / "store")
    _, benchmark = config["data"]["test_benchmarks"]
    assert benchmark["init_args"]["root"] == "data/GrabCut"
    if source == "true_masks":
        assert config["data"]["regions"]["init_args"]["masks"] == f"{tmp_path}/photographs-masks"


def test_what_is_done_is_not_done_again(module, tmp_path):
    row, place = module.Row("tokencut"), tmp_path / "tokencut"
    (place / "checkpoints").mkdir(parents=True)
    (place / "store.json").write_text("{}", encoding="utf-8")
    (place / "checkpoints" / "last.ckpt").touch()
    fit, test = module.commands(row, tmp_path, ["--x=1"])
    assert fit[3] == "fit"
    assert fit[-1] == test[-1] == f"--ckpt_path={place}/checkpoints/last.ckpt"
    assert "--x=1" in fit
    (place / "trained").touch()
    assert [command[3] for command in module.commands(row, tmp_path, [])] == ["test"]
    (place / "test").mkdir()
    (place / "test" / "results.json").write_text("{}", encoding="utf-8")
    assert module.commands(row, tmp_path, []) == []


def test_the_table(module, tmp_path):
    store = RegionStore(tmp_path / "tokencut" / "store", {"source": "tokencut"})
    store.save("a.png", MaskSet.pack(np.ones((3, 2, 2), bool)))
    store.save("b.png", MaskSet.pack(np.ones((0, 2, 2), bool)))
    note = module.describe(store.root)
    assert (note["regions"], note["without"], note["images"]) == (1.5, 0.5, 2)
    assert note["images_per_second"] > 0
    (tmp_path / "tokencut" / "store.json").write_text(
        json.dumps(note | {"images_per_second": 7}), encoding="utf-8"
    )
    (tmp_path / "tokencut" / "test").mkdir()
    values = {"noc@85": 12, "noc@90": 15.5, "iou@1": 0.25, "iou@5": 0.5, "iou@10": 0.75}
    result = {"benchmarks": {"GrabCut": {"values": values}}}
    (tmp_path / "tokencut" / "test" / "results.json").write_text(json.dumps(result), encoding="utf-8")
    lines = module.table(tmp_path, [module.Row("tokencut")]).splitlines()
    assert lines[2] == "| tokencut | 1.5 (50% none) | 7.0 | 12.00 | 15.50 | 0.250 | 0.500 | 0.750 |"


def test_a_command_that_fails_ends_it(module, tmp_path, monkeypatch):
    ran = []

    class Failed:
        returncode = 3

    monkeypatch.setattr(module.subprocess, "run", lambda command, check: ran.append(command) or Failed())
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (20, 20)).save(images / "a.png")
    words = ["--images", str(images), "--folder", str(tmp_path / "out"), "--only", "tokencut", "merge_tree"]
    assert module.main(words) == 3
    assert [command[3] for command in ran] == ["precompute"]
