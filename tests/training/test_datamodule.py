"""From any folder of images to training batches, and from benchmarks to their samples."""

from __future__ import annotations

import warnings
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image

from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.data.augment import PaperAugmentation
from mis_lightning.data.benchmark_groups import SampleBatch
from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError, StoreMismatchError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.shards import RegionShards, write_shards
from mis_lightning.structures import Sample
from mis_lightning.training.datamodule import MISDataModule, default_store

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(5):
        Image.fromarray(np.roll(PIXELS, i)).save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images"


def make(images, **settings):
    settings = {"augment": PaperAugmentation(size=(32, 24)), "batch_size": 2, "num_workers": 0} | settings
    return MISDataModule(None if images is None else str(images), **settings)


def ready(images, **settings):
    data = make(images, **settings)
    data.setup("fit")
    return data


def trees(data):
    return sorted(path.name for path in data.training_set.store.root.rglob("*.safetensors"))


def test_batches(folder):
    data = ready(folder, points=InitialPoints(max_points=7), regions_per_image=3)
    batches = list(data.train_dataloader())
    assert len(batches) == 7  # 15 samples in batches of 2, the last one dropped
    for batch in batches:
        assert (batch["image"].shape, batch["image"].dtype) == ((2, 3, 32, 24), torch.uint8)
        assert (batch["mask"].shape, batch["mask"].dtype) == ((2, 1, 32, 24), torch.bool)
        assert (batch["points"].shape, batch["points"].dtype) == ((2, 14, 3), torch.float32)


def test_defaults_are_the_published_ones(folder):
    data = ready(folder, augment=None, min_object_area=80)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (2, 3, 448, 448)
    assert batch["points"].shape == (2, 48, 3)
    assert (data.regions.decay, data.regions.min_share) == (0.9, 0.05)
    assert data.training_set.store.settings["connectivity"] == "grid"


def test_fewer_images_than_a_batch(folder):
    (batch,) = ready(folder, batch_size=32).train_dataloader()
    assert len(batch["image"]) == 5


def save_16_bit(path):
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 200).save(path)


def save_turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(PIXELS).save(path, exif=exif)


def test_images_of_any_kind_train_together(tmp_path):
    folder = tmp_path / "mixed"
    (folder / "deeper").mkdir(parents=True)
    picture = Image.fromarray(PIXELS)
    picture.convert("L").save(folder / "grey.jpg")
    picture.convert("P").save(folder / "palette.gif")
    picture.convert("RGBA").save(folder / "alpha.png")
    picture.convert("CMYK").save(folder / "print.jpg")
    picture.convert("1").save(folder / "bits.tif")
    save_16_bit(folder / "deep.png")
    save_turned(folder / "deeper" / "phone.jpeg")
    data = ready(folder, batch_size=7)
    (batch,) = data.train_dataloader()
    assert len(batch["image"]) == 7
    assert data.training_set.store.load("grey.jpg").grid == (10, 6)
    assert data.training_set.store.load("deeper/phone.jpeg").grid == (6, 10)
    image, region, _ = data.training_set.region(
        0, [i.key for i in data.training_set.images].index("deeper/phone.jpeg")
    )
    assert image.shape == (24, 40, 3)
    assert region.shape == (24, 40)


def test_a_list_file(folder, tmp_path):
    (tmp_path / "list.txt").write_text("images/3.png\nimages/1.png\n", encoding="utf-8")
    data = ready(tmp_path / "list.txt")
    assert [image.key for image in data.training_set.images] == ["images/3.png", "images/1.png"]
    assert trees(data) == ["1.png.safetensors", "3.png.safetensors"]


def test_missing_sources(tmp_path):
    with pytest.raises(InputError, match=r"Expected training images in `data\.images`.* got none"):
        ready(None)
    with pytest.raises(DatasetNotFoundError, match="nowhere does not exist"):
        ready(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "value"), [("batch_size", 0), ("regions_per_image", 0), ("num_workers", -1), ("seed", -1)]
)
def test_numbers_out_of_range(name, value):
    with pytest.raises(InputError, match=rf"`data\.{name}` of at least \d, but got {value}"):
        make("images", **{name: value})


def test_batches_before_setup(folder):
    with pytest.raises(InputError, match=r"setup\('fit'\)"):
        make(folder).train_dataloader()


def test_unreadable_images_stop_the_run_once_the_others_are_done(folder):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    Image.fromarray(PIXELS[:3, :3]).save(folder / "tiny.png")
    with pytest.raises(ImageError) as error:
        ready(folder, store=str(folder.parent / "trees"))
    message = str(error.value)
    assert message.startswith("2 of 7 training images cannot be used:")
    assert str(folder / "broken.jpg") in message
    assert "tiny.png is 3×3 pixels" in message
    assert "`data.skip_unreadable: true`" in message
    assert len(list((folder.parent / "trees").glob("*.safetensors"))) == 5


def test_unreadable_images_are_left_out_on_demand(folder):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    with pytest.warns(UserWarning, match=r"1 of 6 training images(.|\n)*broken\.jpg(.|\n)*They are left out"):
        data = ready(folder, skip_unreadable=True)
    assert [image.key for image in data.training_set.images] == [f"{i}.png" for i in range(5)]


def test_long_lists_of_failures_are_cut_short(tmp_path):
    for i in range(13):
        (tmp_path / f"{i}.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"13 of 13(.|\n)*… and 3 more") as error:
        ready(tmp_path)
    assert len(str(error.value).splitlines()) == 13
    with pytest.warns(UserWarning, match="left out"), pytest.raises(ImageError, match="None of the images"):
        ready(tmp_path, skip_unreadable=True)


def test_trees_are_made_once(folder):
    first = ready(folder)
    made = {name: (first.training_set.store.root / name).stat().st_mtime_ns for name in trees(first)}
    assert len(made) == 5
    second = ready(folder)
    assert {
        name: (second.training_set.store.root / name).stat().st_mtime_ns for name in trees(second)
    } == made


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"regions": MergeTreeRegions(ColourTexture(stride=8))}, r"stride: store 4, asked 8"),
        ({"regions": MergeTreeRegions(connectivity="full")}, r"connectivity: store 'grid', asked 'full'"),
    ],
)
def test_trees_made_with_other_settings_are_refused(folder, tmp_path, change, difference):
    ready(folder, store=str(tmp_path / "trees"))
    with pytest.raises(StoreMismatchError, match=difference):
        ready(folder, store=str(tmp_path / "trees"), **change)


def test_without_a_folder_trees_go_to_the_cache(folder, cache):
    grid, full, again = (
        ready(folder),
        ready(folder, regions=MergeTreeRegions(connectivity="full")),
        ready(folder),
    )
    roots = [data.training_set.store.root for data in (grid, full, again)]
    assert roots[0] != roots[1]
    assert roots[0] == roots[2]
    assert all(root.parent == cache / "regions" and root.name.startswith("images-") for root in roots)


def test_place_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for place, expected in (("~/elsewhere", "elsewhere"), ("", ".cache/mis_lightning")):
        monkeypatch.setenv("MIS_CACHE_DIR", place)
        assert default_store("images", {}).parent == tmp_path / expected / "regions"
    monkeypatch.delenv("MIS_CACHE_DIR")
    assert default_store("images", {}).parent == tmp_path / ".cache" / "mis_lightning" / "regions"
    assert default_store("a", {}) != default_store("b", {}) != default_store("b", {"stride": 4})
    assert default_store("~/a", {}) == default_store(str(tmp_path / "a"), {})
    monkeypatch.chdir(tmp_path)
    assert default_store(".", {}) == default_store(str(tmp_path), {})


def test_training_from_shards(folder, tmp_path):
    data = ready(folder, store=str(tmp_path / "store"))
    write_shards(data.training_set.store, tmp_path / "packed", progress=False)
    packed = ready(folder, store=str(tmp_path / "packed"))
    assert isinstance(packed.training_set.store, RegionShards)
    for item in [(0, 0), (3, 4)]:
        one, other = data.training_set[item], packed.training_set[item]
        assert all(np.array_equal(one[name], other[name]) for name in one)
    before = sorted(path.name for path in (tmp_path / "packed").iterdir())
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(folder / "new.png")
    with pytest.raises(ImageError, match=r"new\.png: no regions in the shards"):
        ready(folder, store=str(tmp_path / "packed"))
    with pytest.warns(UserWarning, match=r"new\.png"):
        fewer = ready(folder, store=str(tmp_path / "packed"), skip_unreadable=True)
    assert len(fewer.training_set) == len(packed.training_set)
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == before


class Recorder(L.LightningModule):
    """Learns nothing; keeps the batches."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, {name: value.clone() for name, value in batch.items()}))
        return self.weight * 1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_the_epoch_reaches_workers_that_live_on(folder):
    data = make(folder, num_workers=1)
    recorder = Recorder()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        L.Trainer(accelerator="cpu", max_epochs=2, **quiet).fit(recorder, data)
    assert [epoch for epoch, _ in recorder.seen] == [0, 0, 1, 1]
    for epoch in (0, 1):
        order = np.random.default_rng([0, epoch]).permutation(5)[:4]
        images = torch.cat([batch["image"] for seen, batch in recorder.seen if seen == epoch])
        for image, index in zip(images, order, strict=True):
            np.testing.assert_array_equal(image, data.training_set[epoch, index]["image"])


class Two:
    """A benchmark of two samples."""

    name, expected_images, expected_count, comparable, folder = "two", 2, 2, False, Path()

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return Sample(PIXELS, PIXELS[..., 0] > 128 * index, None, f"two#{index}")


def test_benchmarks_come_as_numbered_samples():
    class Other(Two):
        name = "other"

    data = make(None, val_benchmarks=[Two, Other], test_benchmarks=[Two])
    data.setup("validate")
    data.setup("test")
    assert len(data.val_dataloader()) == 2
    (loader,) = data.test_dataloader()
    (batch,) = loader
    assert isinstance(batch, SampleBatch)
    assert [(number, sample.name) for number, sample in batch.items] == [(0, "two#0"), (1, "two#1")]
    assert batch.items[0][1].image is PIXELS  # nothing is stacked, scaled or copied


def test_benchmarks_of_one_name_are_refused():
    with pytest.raises(InputError, match=r"two, two\. .* called two a `name`"):
        make(None, test_benchmarks=[Two, Two]).setup("test")


def test_benchmarks_are_opened_for_their_stage_only(folder):
    def unwanted():
        raise AssertionError("opened")

    data = make(folder, val_benchmarks=[Two], test_benchmarks=[unwanted])
    data.setup("fit")
    assert len(data.val_dataloader()) == 1
