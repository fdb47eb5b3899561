"""Regions on disk: whole or not at all, and never mixed with those of other settings."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save

from mis_lightning.errors import InputError, StoreMismatchError
from mis_lightning.files import written_whole
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.store import RegionStore

SETTINGS = {"extractor": "vit", "patch_size": 8, "mean": (0.5, 0.5), "connectivity": "grid"}


def make_tree(h=2, w=3, seed=0):
    """A sound tree that merges nodes at random."""
    generator = np.random.default_rng(seed)
    nodes, children = list(range(h * w)), []
    while len(nodes) > 1:
        children.append([nodes.pop(generator.integers(len(nodes))) for _ in range(2)])
        nodes.append(h * w + len(children) - 1)
    cost = generator.random(h * w - 1, dtype=np.float32)
    return MergeTree(np.array(children, np.int32).reshape(-1, 2), cost, (h, w))


def assert_same(tree, other):
    assert tree.grid == other.grid
    for name in ("children", "cost"):
        assert getattr(tree, name).dtype == getattr(other, name).dtype
        np.testing.assert_array_equal(getattr(tree, name), getattr(other, name))


@pytest.fixture
def store(tmp_path):
    return RegionStore(tmp_path / "trees", SETTINGS)


@pytest.mark.parametrize("grid", [(2, 3), (47, 63), (1, 2), (1, 1)])
def test_round_trip(store, grid):
    tree = make_tree(*grid)
    assert "a.jpg" not in store
    store.save("a.jpg", tree)
    assert "a.jpg" in store
    assert_same(store.load("a.jpg"), tree)
    assert_same(RegionStore(store.root).load("a.jpg"), tree)


def test_masks_come_back_too(store):
    masks = np.random.default_rng(0).random((3, 5, 7)) < 0.5
    store.save("a.jpg", MaskSet.pack(masks, np.float32([0.9, 0.8, 0.1])))
    store.save("none.jpg", MaskSet.pack(masks[:0]))
    loaded = store.load("a.jpg")
    assert isinstance(loaded, MaskSet)
    np.testing.assert_array_equal(loaded.unpack(), masks)
    assert loaded.scores.tolist() == np.float32([0.9, 0.8, 0.1]).tolist()
    assert len(store.load("none.jpg")) == 0


def test_arrays_that_are_not_contiguous(store):
    tree = make_tree()
    reordered = MergeTree(np.asfortranarray(tree.children), tree.cost[::-1], tree.grid)
    store.save("a.jpg", reordered)
    assert_same(store.load("a.jpg"), reordered)


def test_saving_again_replaces(store):
    store.save("a.jpg", make_tree(seed=0))
    store.save("a.jpg", make_tree(4, 4, seed=1))
    assert_same(store.load("a.jpg"), make_tree(4, 4, seed=1))


@pytest.mark.parametrize(
    "key",
    [
        "deep/er/a.jpg",
        "a b.jpg",
        "ü 图 #%?*[x].jpg",
        "a.jpg.png",
        "no suffix",
        "...jpg",
        "manifest.json",
        "'\";$(x)",
        pytest.param(os.fsdecode(b"latin-\xe9.jpg"), id="not UTF-8"),
        pytest.param("n" * 243, id="longest"),
    ],
)
def test_keys_are_paths_of_any_characters(store, key):
    store.save(key, make_tree())
    store.save(f"twin/{key}", make_tree(3, 3))
    assert_same(store.load(key), make_tree())
    assert_same(store.load(f"twin/{key}"), make_tree(3, 3))
    assert RegionStore(store.root, SETTINGS).settings["patch_size"] == 8


@pytest.mark.parametrize("key", ["../a.jpg", "b/../../a.jpg", "/etc/a.jpg", ""])
def test_keys_that_lead_out_of_the_store(store, key):
    with pytest.raises(InputError, match="relative path without"):
        store.save(key, make_tree())


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def write():
        with written_whole(tmp_path / "sub" / "a.bin") as temporary:
            temporary.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write()
    assert files(tmp_path) == []


def test_a_writer_that_fails_leaves_the_old_file(tmp_path):
    def write():
        with written_whole(tmp_path / "a.bin") as temporary:
            temporary.write_bytes(b"ha")
            assert (tmp_path / "a.bin").read_bytes() == b"before"
            raise KeyboardInterrupt

    (tmp_path / "a.bin").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        write()
    assert files(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"before"


def test_only_whole_files_are_seen_under_the_final_name(store, monkeypatch):
    seen = []
    replace = os.replace

    def record(source, target):
        seen.append((os.path.basename(target), target.exists()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", record)
    store.save("a.jpg", make_tree())
    assert seen == [("manifest.json", False), ("a.jpg.safetensors", False)]  # the manifest first


def test_the_manifest_says_how_the_trees_were_made(store):
    assert not store.root.exists()  # opening writes nothing
    store.save("a.jpg", make_tree())
    manifest = json.loads((store.root / "manifest.json").read_text(encoding="utf-8"))
    settings = {**SETTINGS, "mean": [0.5, 0.5]}
    assert manifest == {
        "format_version": 2,
        "kind": "regions",
        "layout": "files",
        "settings": settings,
    }
    assert RegionStore(store.root).settings == settings
    RegionStore(store.root, SETTINGS)  # tuples are lists there


def test_other_settings_are_refused_and_each_difference_named(store):
    store.save("a.jpg", make_tree())
    asked = {**SETTINGS, "patch_size": 16, "lightness": 0.5}
    del asked["mean"]
    with pytest.raises(StoreMismatchError) as error:
        RegionStore(store.root, asked)
    message = str(error.value)
    assert str(store.root) in message
    assert "patch_size: store 8, asked 16" in message
    assert "lightness: store None, asked 0.5" in message
    assert "mean: store [0.5, 0.5], asked None" in message
    assert "extractor" not in message
    assert "connectivity" not in message


def write_manifest(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(
        content if isinstance(content, str) else json.dumps(content), encoding="utf-8"
    )


def test_another_format_version_is_refused(tmp_path):
    write_manifest(tmp_path, {"format_version": 1, "layout": "unheard of"})
    with pytest.raises(StoreMismatchError, match="has format version 1, but this program reads 2"):
        RegionStore(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"format_version": 2, "settings": {}}',
        {"format_version": 2, "kind": "masks", "settings": {}},
        {"format_version": 2, "kind": "regions", "settings": {}},
        {"format_version": 2, "kind": "regions", "layout": "tar", "settings": {}},
        {"format_version": 2, "kind": "regions", "layout": "files", "settings": "vit"},
    ],
)
def test_manifests_of_something_else(tmp_path, content):
    write_manifest(tmp_path, content)
    with pytest.raises(InputError, match=r"manifest\.json is not the manifest of a store of regions"):
        RegionStore(tmp_path, SETTINGS)


def test_folders_that_are_no_store(tmp_path):
    with pytest.raises(InputError, match=r"has no manifest\.json; run `mis precompute`"):
        RegionStore(tmp_path / "nothing")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="file is a file"):
        RegionStore(tmp_path / "file", SETTINGS)


def test_regions_without_a_manifest_are_not_taken_over(store):
    store.save("a/b.jpg", make_tree())
    (store.root / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"no manifest\.json, so it is unknown how they were made"):
        RegionStore(store.root, {**SETTINGS, "patch_size": 16})


def test_a_missing_tree(store):
    with pytest.raises(InputError, match=r"No regions for b\.jpg in .*trees; run `mis precompute`"):
        store.load("b.jpg")


TREE = make_tree()
ARRAYS = {"children": TREE.children, "cost": TREE.cost, "grid": np.int64([2, 3])}
DAMAGES = {
    "empty": lambda whole: b"",
    "cut off": lambda whole: whole[:-5],
    "zeros": lambda whole: bytes(len(whole)),
    "pickle": lambda whole: pickle.dumps(TREE.children),
    "no grid": lambda whole: save({"children": TREE.children, "cost": TREE.cost}),
    "odd grid": lambda whole: save({**ARRAYS, "grid": np.int64([2, 3, 1])}),
    "other grid": lambda whole: save({**ARRAYS, "grid": np.int64([3, 3])}),
    "no cost": lambda whole: save({"children": TREE.children, "grid": np.int64([2, 3])}),
    "nothing inside": lambda whole: save({}),
    "masks of another size": lambda whole: save(
        {"bits": np.zeros((1, 1), np.uint8), "scores": np.ones(1, np.float32), "size": np.int64([3, 3])}
    ),
    "other type": lambda whole: save({**ARRAYS, "cost": TREE.cost.astype(np.float64)}),
    "node out of range": lambda whole: save({**ARRAYS, "children": TREE.children + 9}),
    "node used twice": lambda whole: save({**ARRAYS, "children": np.zeros_like(TREE.children)}),
    "not a number": lambda whole: save({**ARRAYS, "cost": TREE.cost * np.float32("nan")}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_trees_are_named(store, damage):
    store.save("a.jpg", TREE)
    store.path("a.jpg").write_bytes(damage(store.path("a.jpg").read_bytes()))
    with pytest.raises(InputError, match=r"a\.jpg\.safetensors is damaged \(.+\); delete it and run"):
        store.load("a.jpg")


def test_pickles_are_not_opened(store):
    class Harmful:
        def __reduce__(self):
            return (pytest.fail, ("code in a store was run",))

    store.save("a.jpg", make_tree())
    store.path("a.jpg").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(InputError, match="damaged"):
        store.load("a.jpg")


def ended_process():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_sweeping_removes_what_dead_processes_left_and_nothing_else(store):
    store.save("sub/a.jpg", make_tree())
    host, dead = socket.gethostname(), ended_process()
    stale = [f".00c0ffee.{host}.{dead}.tmp", f"sub/.01234567.{host}.{dead}.tmp"]
    kept = [
        f".00c0ffee.{host}.{os.getpid()}.tmp",
        f".00c0ffee.{host}.1.tmp",  # runs, and belongs to someone else where we are not root
        f".00c0ffee.another-{host}.{dead}.tmp",
        f".notes.{host}.{dead}.tmp",
        f"00c0ffee.{host}.{dead}.tmp",
        "sub/.hidden.tmp",
    ]
    for name in stale + kept:
        (store.root / name).write_bytes(b"half")
    store.sweep()
    assert files(store.root) == sorted([*kept, "manifest.json", "sub/a.jpg.safetensors"])


def test_what_is_swept_is_named_as_it_is_written(tmp_path):
    with written_whole(tmp_path / "a.jpg.safetensors") as temporary:
        temporary.write_bytes(b"half")
        stale = temporary.name.replace(f".{os.getpid()}.", f".{ended_process()}.")
        (tmp_path / stale).write_bytes(b"half")
        RegionStore(tmp_path, SETTINGS).sweep()
        assert files(tmp_path) == [temporary.name]


def test_sweeping_a_store_that_is_not_there_yet(store):
    store.sweep()
    assert not store.root.exists()
