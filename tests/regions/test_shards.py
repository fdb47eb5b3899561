"""Shards: what the store holds, by the same keys, in other processes too, without listing folders."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mis_lightning.cli import main
from mis_lightning.errors import InputError, StoreMismatchError
from mis_lightning.merge_tree.sampling import node_mask, sample_node
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.regions import shards
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.shards import RegionShards, open_store, write_shards
from mis_lightning.regions.store import RegionStore

pytest.importorskip("litdata", reason="shards need the extra `shards`")
KEYS = [f"{i % 3}/photo {i}.jpg" for i in range(40)] + ["ü 图\n.png"]


@pytest.fixture
def store(tmp_path):
    store = RegionStore(tmp_path / "store", {"source": "test"})
    for number, key in enumerate(KEYS):
        if number % 2:
            store.save(
                key, build_merge_tree(np.random.default_rng(number).random((20, 3), np.float32), (4, 5))
            )
        else:
            store.save(key, MaskSet.pack(np.random.default_rng(number).random((number % 5, 6, 7)) < 0.5))
    return store


def same(one, other):
    names = ("bits", "scores") if isinstance(one, MaskSet) else ("children", "cost")
    return type(one) is type(other) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in names
    )


def test_every_key_gives_what_the_store_gives(store, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK_BYTES", 4000)  # several files
    assert write_shards(store, tmp_path / "packed", progress=False) == len(KEYS)
    assert len(list((tmp_path / "packed").glob("*.bin"))) > 3
    packed = open_store(tmp_path / "packed", {"source": "test"})
    assert isinstance(packed, RegionShards)
    assert len(packed) == len(KEYS)
    for key in reversed(KEYS):
        assert key in packed
        assert same(packed.load(key), store.load(key))
    assert "another.jpg" not in packed
    with pytest.raises(InputError, match=r"No regions for another\.jpg"):
        packed.load("another.jpg")


class Costs(Dataset):
    def __init__(self, packed):
        self.packed = packed

    def __len__(self):
        return len(KEYS)

    def __getitem__(self, index):
        regions = self.packed.load(KEYS[index])
        return (
            os.getpid(),
            float(regions.bits.sum() if isinstance(regions, MaskSet) else regions.cost.sum()),
        )


def test_workers_read_for_themselves(store, tmp_path):
    write_shards(store, tmp_path / "packed", progress=False)
    packed = RegionShards(tmp_path / "packed")
    expected = [Costs(packed)[i][1] for i in range(len(KEYS))]  # opens the files before the fork
    loader = DataLoader(Costs(packed), batch_size=4, num_workers=2)
    pids, costs = zip(*loader, strict=True)
    assert torch.cat(costs).tolist() == pytest.approx(expected, rel=1e-12)
    assert len(set(torch.cat(pids).tolist()) - {os.getpid()}) == 2


def test_an_epoch_lists_no_folder(store, tmp_path, monkeypatch):
    write_shards(store, tmp_path / "packed", progress=False)
    stores = [RegionShards(tmp_path / "packed"), RegionStore(store.root)]
    stores[0].load(KEYS[0])

    def listed(*_):
        raise AssertionError("a folder was listed")

    monkeypatch.setattr(os, "listdir", listed)
    monkeypatch.setattr(os, "scandir", listed)
    for opened in stores:
        for key in KEYS:
            opened.load(key)


@pytest.mark.slow
def test_ten_thousand_trees_open_at_once_and_are_read_without_listing(tmp_path, monkeypatch):
    store = RegionStore(tmp_path / "store", {"source": "test"})
    trees = [
        build_merge_tree(np.random.default_rng(i).random((192, 3), np.float32), (12, 16)) for i in range(20)
    ]
    keys = [f"{i // 1000}/{i}.jpg" for i in range(10_000)]
    for number, key in enumerate(keys):
        store.save(key, trees[number % 20])
    write_shards(store, tmp_path / "packed", progress=False)
    assert len(list((tmp_path / "packed").iterdir())) < 10

    def listed(*_):
        raise AssertionError("a folder was listed")

    monkeypatch.setattr(os, "listdir", listed)
    monkeypatch.setattr(os, "scandir", listed)
    packed = open_store(tmp_path / "packed")
    assert len(packed) == len(keys)
    for epoch in range(2):
        order = np.random.default_rng(epoch).permutation(len(keys))
        for number in order[:: 5 - epoch]:
            tree = packed.load(keys[number])
            np.testing.assert_array_equal(tree.children, trees[number % 20].children)
            assert node_mask(tree, sample_node(tree, np.random.default_rng(number)), (24, 32)).any()


def test_nothing_is_taken_for_shards_that_is_none(store, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="is not empty; choose another"):
        write_shards(store, store.root)
    with pytest.raises(InputError, match="run `mis shard`"):
        RegionShards(store.root)
    assert isinstance(open_store(store.root), RegionStore)
    write_shards(store, tmp_path / "packed", progress=False)
    with pytest.raises(StoreMismatchError, match="source: store 'test', asked 'other'"):
        open_store(tmp_path / "packed", {"source": "other"})
    with pytest.raises(InputError, match="cannot be added to"):
        RegionStore(tmp_path / "packed")

    def cut_off(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "write_manifest", cut_off)
    with pytest.raises(KeyboardInterrupt):
        write_shards(store, tmp_path / "killed", progress=False)
    with pytest.raises(InputError, match="run `mis shard`"):
        RegionShards(tmp_path / "killed")


@pytest.mark.parametrize(
    "change",
    [{"data_format": ["pickle"]}, {"data_format": ["bytes", "pickle"]}, {"item_loader": "TokensLoader"}],
)
def test_an_index_that_asks_for_unpickling_is_refused(store, tmp_path, change):
    write_shards(store, tmp_path / "packed", progress=False)
    index = json.loads((tmp_path / "packed" / "index.json").read_text(encoding="utf-8"))
    index["config"] |= change
    (tmp_path / "packed" / "index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(InputError, match=r"index\.json is not the index of shards that"):
        RegionShards(tmp_path / "packed")


def test_the_command(store, tmp_path, capsys):
    assert main(["shard", str(store.root), str(tmp_path / "packed")]) == 0
    assert f"regions of {len(KEYS)} images" in capsys.readouterr().out
    assert main(["shard", str(tmp_path / "nothing"), str(tmp_path / "other")]) == 2
    assert "mis precompute" in capsys.readouterr().err
