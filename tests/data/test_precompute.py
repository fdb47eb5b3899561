"""From a folder of images to a store of regions: what is done, skipped, reported, and left by a kill."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mis_lightning.data.precompute import precompute
from mis_lightning.data.training_images import find_training_images
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.store import RegionStore


class Blocks:
    """Mean colour of 4 x 6 blocks; remembers how often it was called in this process."""

    def __init__(self):
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        rows, cols = (
            np.array_split(np.arange(side), parts) for side, parts in zip(image.shape, (4, 6), strict=False)
        )
        means = [image[np.ix_(r, c)].mean(axis=(0, 1)) for r in rows for c in cols]
        return np.float32(means), (4, 6)

    def settings(self):
        return {"extractor": "blocks"}


def photo(path, size=(24, 36), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def images(tmp_path):
    for i in range(5):
        photo(tmp_path / "images" / f"{i % 2}" / f"{i}.png", seed=i)
    return find_training_images(tmp_path / "images")


def open_store(folder, extractor=None):
    return RegionStore(folder, MergeTreeRegions(extractor or Blocks()).settings())


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def test_every_image_gets_the_tree_of_its_features(images, tmp_path):
    store, blocks = open_store(tmp_path / "trees"), Blocks()
    assert precompute(images, MergeTreeRegions(blocks), store, num_workers=0, progress=False) == {}
    assert blocks.calls == len(images)
    for key, path, _ in images:
        expected = build_merge_tree(*Blocks()(np.asarray(Image.open(path))))
        tree = store.load(key)
        assert tree.grid == (4, 6)
        np.testing.assert_array_equal(tree.children, expected.children)
        np.testing.assert_array_equal(tree.cost, expected.cost)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_disk_is_said_in_one_line_and_nothing_is_half_written(images, tmp_path, monkeypatch, workers):
    """In this process and in workers, whose errors come with their traceback."""
    write, full = Path.write_bytes, tmp_path / "trees"

    def refuse(path, data):
        if full in path.parents and len(list(full.rglob("*.safetensors"))) == 2:
            write(path, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, data)

    store = open_store(full)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(
        InputError, match=r"^The regions of \S+ cannot be saved: No space left .* Make room"
    ) as told:
        precompute(images, MergeTreeRegions(Blocks()), store, workers, progress=False)
    assert "\n" not in str(told.value)
    monkeypatch.undo()
    left = contents(full)
    assert not [name for name in left if name.endswith(".tmp")]
    assert precompute(images, MergeTreeRegions(Blocks()), store, num_workers=0, progress=False) == {}
    assert {name: contents(full)[name] for name in left} == left  # what was finished was kept


def test_connectivity_is_handed_on_and_kept(images, tmp_path):
    store = RegionStore(tmp_path / "trees", MergeTreeRegions(Blocks(), "full").settings())
    precompute(images[:1], MergeTreeRegions(Blocks(), "full"), store, num_workers=0, progress=False)
    expected = build_merge_tree(*Blocks()(np.asarray(Image.open(images[0].path))), "full")
    np.testing.assert_array_equal(store.load(images[0].key).children, expected.children)
    assert RegionStore(tmp_path / "trees").settings == {
        "source": "merge_tree",
        "extractor": "blocks",
        "connectivity": "full",
    }


@pytest.mark.parametrize("name", ["a" * 246 + ".png", "ä" * 120 + ".jpeg"])
def test_names_as_long_as_a_file_system_allows(tmp_path, name):
    images = [tmp_path / "images" / "sub" / place for place in (name, "b.png")]
    for path in images:
        photo(path.with_suffix(".png"))
        path.with_suffix(".png").rename(path)
    found, store = find_training_images(tmp_path / "images"), open_store(tmp_path / "trees")
    assert precompute(found, MergeTreeRegions(Blocks()), store, num_workers=0, progress=False) == {}
    assert store.keys() == sorted(image.key for image in found)
    assert [store.load(image.key).grid for image in found] == [(4, 6)] * 2
    assert precompute(found, MergeTreeRegions(Blocks()), store, num_workers=0, progress=False) == {}
    assert len(list((tmp_path / "trees").rglob("*.safetensors"))) == 2


def damage(path, how):
    data = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "half": data[: len(data) // 2],
            "zeroed": bytes(len(data)),
            "tail": data[:200] + bytes(len(data) - 200),
        }[how]
    )


@pytest.mark.parametrize("how", ["empty", "half", "zeroed", "tail"])
def test_damaged_files_are_found_and_made_again(images, tmp_path, how):
    store = open_store(tmp_path / "trees")
    precompute(images, MergeTreeRegions(Blocks()), store, num_workers=0, progress=False)
    whole = contents(tmp_path / "trees")
    for image in images[1:3]:
        damage(store.path(image.key), how)
    blocks = Blocks()
    with pytest.warns(UserWarning, match="2 files were damaged"):
        precompute(images, MergeTreeRegions(blocks), store, num_workers=0, progress=False)
    assert blocks.calls == 2
    assert contents(tmp_path / "trees") == whole
    damage(store.path(images[0].key), how)
    images[0].path.write_bytes(b"no image")  # so that it cannot be made again
    with pytest.warns(UserWarning, match="1 file was damaged"):
        failures = precompute(images, MergeTreeRegions(blocks), store, num_workers=0, progress=False)
    assert list(failures) == [images[0].key]
    assert images[0].key not in store


def test_what_is_done_is_skipped(images, tmp_path):
    store, blocks = open_store(tmp_path / "trees"), Blocks()
    precompute(images[:2], MergeTreeRegions(blocks), store, num_workers=0, progress=False)
    before = {name: os.stat(tmp_path / "trees" / name).st_mtime_ns for name in contents(tmp_path / "trees")}
    precompute(images, MergeTreeRegions(blocks), store, num_workers=0, progress=False)
    assert blocks.calls == 5
    assert (
        before.items()
        <= {
            name: os.stat(tmp_path / "trees" / name).st_mtime_ns for name in contents(tmp_path / "trees")
        }.items()
    )
    assert precompute(images, MergeTreeRegions(blocks), store, num_workers=0, progress=False) == {}
    assert blocks.calls == 5


def test_results_do_not_depend_on_the_workers(images, tmp_path):
    for workers in (0, 1, 2):
        folder = tmp_path / f"trees{workers}"
        assert (
            precompute(
                images, MergeTreeRegions(Blocks()), open_store(folder), num_workers=workers, progress=False
            )
            == {}
        )
    assert contents(tmp_path / "trees0") == contents(tmp_path / "trees1") == contents(tmp_path / "trees2")
    assert len(contents(tmp_path / "trees0")) == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_images_are_reported_by_name_while_the_others_are_saved(images, tmp_path, workers):
    folder = tmp_path / "images"
    (folder / "0" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    (folder / "empty.png").write_bytes(b"")
    photo(folder / "pixel.png", size=(1, 1))
    photo(folder / "strip.png", size=(15, 200))
    store = open_store(tmp_path / "trees")
    failures = precompute(
        find_training_images(folder), MergeTreeRegions(Blocks()), store, num_workers=workers, progress=False
    )
    assert sorted(failures) == ["0/broken.jpg", "empty.png", "pixel.png", "strip.png"]
    for key, message in failures.items():
        assert str(folder / key) in message
        assert key not in store
    assert "1×1 pixels; training images need at least 16" in failures["pixel.png"]
    assert all(image.key in store for image in images)


def test_features_that_are_no_numbers_are_reported_with_the_name(images, tmp_path):
    class NotANumber(Blocks):
        def __call__(self, image):
            return np.full((24, 2), np.nan, np.float32), (4, 6)

    failures = precompute(
        images[:1], MergeTreeRegions(NotANumber()), open_store(tmp_path), num_workers=0, progress=False
    )
    assert failures[images[0].key].startswith(f"{images[0].path}: Expected finite `features`")


@pytest.mark.parametrize("workers", [0, 2])
def test_an_extractor_that_fails_reaches_the_user_with_the_name_of_the_image(images, tmp_path, workers):
    class Failing(Blocks):
        def __call__(self, image):
            if (image == np.asarray(Image.open(images[3].path))).all():
                raise ZeroDivisionError("of no use")
            return super().__call__(image)

    with pytest.raises(RuntimeError, match=rf"regions of .*{images[3].key} could not be found: of no use"):
        precompute(
            images, MergeTreeRegions(Failing()), open_store(tmp_path), num_workers=workers, progress=False
        )
    assert images[0].key in open_store(tmp_path)


def test_an_extractor_on_an_accelerator_stays_in_this_process(images, tmp_path):
    blocks = Blocks()
    blocks.device = torch.device("cuda")
    there = open_store(tmp_path / "there")
    precompute(images, MergeTreeRegions(blocks), there, num_workers=2, progress=False)
    assert blocks.calls == len(images)
    precompute(
        images, MergeTreeRegions(Blocks()), open_store(tmp_path / "here"), num_workers=0, progress=False
    )
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


class Prepared(Blocks):
    """An accelerator's: notes the process that prepares in a pixel, and the one that extracts."""

    device = torch.device("cuda")

    def prepare(self, image):
        return np.full((8, 8, 3), os.getpid() % 251, np.uint8)

    def extract(self, resized):
        self.seen = (int(resized[0, 0, 0]), os.getpid() % 251)
        return np.arange(4, dtype=np.float32)[:, None], (2, 2)


def test_an_accelerators_images_are_prepared_where_they_are_read(images, tmp_path):
    prepared = Prepared()
    source = MergeTreeRegions(prepared)
    store = open_store(tmp_path / "store", prepared)
    assert precompute(images, source, store, 1, progress=False) == {}
    reader, extractor = prepared.seen
    assert reader != extractor == os.getpid() % 251
    assert store.load(images[0].key).grid == (2, 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_goes_wrong_beside_an_accelerator_has_the_name_of_the_image(images, tmp_path, workers):
    class Odd(MergeTreeRegions):
        def find(self, image, key, features):
            if key == images[2].key:
                raise ZeroDivisionError("of no use")
            return super().find(image, key, features)

    (tmp_path / "images" / "0" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    there = find_training_images(tmp_path / "images")
    blocks = Blocks()
    blocks.device = torch.device("cuda")
    with pytest.raises(RuntimeError, match=rf"regions of .*{images[2].key} could not be found: of no use"):
        precompute(there, Odd(blocks), open_store(tmp_path / "odd"), num_workers=workers, progress=False)
    store = open_store(tmp_path / "store")
    failures = precompute(there, MergeTreeRegions(blocks), store, num_workers=workers, progress=False)
    assert list(failures) == ["0/broken.jpg"]
    assert "broken.jpg" in failures["0/broken.jpg"]
    assert all(image.key in store for image in images)


def test_nothing_to_do(tmp_path):
    assert precompute([], MergeTreeRegions(Blocks()), open_store(tmp_path / "trees"), num_workers=2) == {}
    assert not (tmp_path / "trees").exists()


KILLED = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from mis_lightning.data.precompute import precompute
    from mis_lightning.data.training_images import find_training_images
    from mis_lightning.regions.merge_tree import MergeTreeRegions
    from mis_lightning.regions.store import RegionStore

    class Blocks:
        def __call__(self, image):
            return np.random.default_rng(0).random((24, 2), np.float32), (4, 6)
        def settings(self):
            return {"extractor": "blocks"}

    written = []
    whole = Path.write_bytes
    def write(path, data):
        written.append(path)
        if len(written) < 3:
            return whole(path, data)
        whole(path, data[: len(data) // 2])
        print("in the middle", flush=True)
        time.sleep(600)
    Path.write_bytes = write

    store = RegionStore(sys.argv[2], MergeTreeRegions(Blocks()).settings())
    images = find_training_images(sys.argv[1])
    precompute(images, MergeTreeRegions(Blocks()), store, num_workers=0, progress=False)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_run_leaves_whole_files_and_the_next_one_makes_the_rest(images, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), tmp_path / "images", tmp_path / "trees"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert process.stdout.readline() == "in the middle\n"
        finally:
            process.send_signal(signal.SIGKILL)
    left = contents(tmp_path / "trees")
    assert [name for name in left if name.endswith(".tmp")] != []
    store, blocks = open_store(tmp_path / "trees"), Blocks()
    done = [image.key for image in images if image.key in store]
    assert len(done) == 2
    for key in done:
        store.load(key)
    precompute(images, MergeTreeRegions(blocks), store, num_workers=0, progress=False)
    assert blocks.calls == 3
    after = contents(tmp_path / "trees")
    assert sorted(after) == sorted([f"{image.key}.safetensors" for image in images] + ["manifest.json"])
    assert all(after[f"{key}.safetensors"] == left[f"{key}.safetensors"] for key in done)
    for image in images:
        store.load(image.key)
