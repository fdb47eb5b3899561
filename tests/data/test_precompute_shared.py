"""Two real processes share the work: the regions of one alone, failures known to both, errors stop both."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from mis_lightning.data.precompute import precompute
from mis_lightning.data.precompute_shared import rank_and_world
from mis_lightning.data.training_images import find_training_images
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.store import RegionStore

SCRIPT = """
    import json, os, sys, time
    import torch, torch.distributed as dist
    from mis_lightning.data.precompute_shared import precompute_shared, rank_and_world
    from mis_lightning.data.training_images import find_training_images
    from mis_lightning.features.colour_texture import ColourTexture
    from mis_lightning.regions.merge_tree import MergeTreeRegions
    from mis_lightning.regions.store import RegionStore

    folder = sys.argv[1]
    dist.init_process_group("gloo")
    rank, world = rank_and_world()
    images = find_training_images(folder + "/images")
    source = MergeTreeRegions(ColourTexture())
    failures = precompute_shared(images, source, RegionStore(folder + "/shared", source.settings()), 0)
    said = {"rank": rank, "world": world, "failures": sorted(failures)}
    again = precompute_shared(images, source, RegionStore(folder + "/shared", source.settings()), 0)
    said["again"] = sorted(again)

    class Slow(ColourTexture):
        def __call__(self, image):
            time.sleep(0.3 * (rank == 0))
            return super().__call__(image)

    def gather(shares, own):
        said["saved when gathering"] = len(os.listdir(folder + "/slow"))
        return whole(shares, own)

    source = MergeTreeRegions(Slow())
    whole, dist.all_gather_object = dist.all_gather_object, gather
    precompute_shared(images, source, RegionStore(folder + "/slow", source.settings()), 0)
    dist.all_gather_object = whole

    class Failing(ColourTexture):
        def __call__(self, image):
            if image[0, 0, 0] == 3:
                raise ZeroDivisionError("of no use")
            time.sleep(0.2)
            return super().__call__(image)

    source = MergeTreeRegions(Failing())
    store = RegionStore(folder + "/failing", source.settings())
    try:
        precompute_shared(images * 50, source, store, 0)
    except RuntimeError as error:
        said["error"] = str(error)
    with open(f"{folder}/said{rank}.json", "w") as file:
        json.dump(said, file)
    dist.destroy_process_group()
"""


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), np.uint8)
        pixels[0, 0, 0] = number
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"cut off")
    return find_training_images(folder)


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def start(tmp_path, rank, port):
    environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, encoding="utf-8")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_processes(images, tmp_path):
    port = free_port()
    processes = [start(tmp_path, rank, port) for rank in (0, 1)]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    said = [json.loads((tmp_path / f"said{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)]
    assert [(words["rank"], words["world"]) for words in said] == [(0, 2), (1, 2)]
    assert all(words["failures"] == words["again"] == ["broken.jpg"] for words in said)
    source = MergeTreeRegions(ColourTexture())
    alone = RegionStore(tmp_path / "alone", source.settings())
    assert list(precompute(images, source, alone, 0, progress=False)) == ["broken.jpg"]
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")
    assert len(contents(tmp_path / "alone")) == 7
    for words in said:
        assert words["saved when gathering"] == 7  # six images and the manifest; torch gives up after a while
        assert "3.png could not be found: of no use" in words["error"]
    assert "7/7" in ends[0][1]  # one bar for the work of both
    assert "regions" not in ends[1][1]


def test_one_process_alone():
    assert rank_and_world() == (0, 1)
