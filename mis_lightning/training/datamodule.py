"""The data module: any folder of images in, training batches and benchmark samples out."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from mis_lightning.annotation.clicks_file import ClickRequests
from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.console import counted
from mis_lightning.data.augment import PaperAugmentation
from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmark_groups import BenchmarkGroups
from mis_lightning.data.epoch_sampler import EpochSampler
from mis_lightning.data.object_dataset import ObjectDataset
from mis_lightning.data.precompute import before_workers, one_thread
from mis_lightning.data.precompute_shared import precompute_shared, rank_and_world
from mis_lightning.data.region_dataset import RegionDataset
from mis_lightning.data.training_images import find_training_images
from mis_lightning.data.training_sample import Augmentation, SampleMaker
from mis_lightning.data.weighted_sets import WeightedSets
from mis_lightning.errors import ImageError, InputError, Note
from mis_lightning.images import Reading
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.shards import RegionShards, open_store
from mis_lightning.regions.source import RegionSource


@dataclass(frozen=True)
class ImagesBeside:
    """Further training images, with regions of their own.

    Attributes:
        images: As of :class:`MISDataModule`.
        regions: Finds their regions, and draws from them.
        share: How often they are drawn from, relative to the other sets.
        store: Folder of their regions; ``None`` chooses one.
        reading: How they are read; ``None``: as ``images`` are.
    """

    images: str
    regions: RegionSource
    share: float = 1.0
    store: str | None = None
    reading: Reading | None = None


class MISDataModule(L.LightningDataModule):
    """Regions of a folder of images, found once, and training samples drawn from them on the fly.

    Args:
        images: A folder, a list file, or the SBD layout (:mod:`~mis_lightning.data.training_images`).
        regions: Finds the regions of an image, and draws from them; merge trees if none is given.
        store: Folder of the regions; ``None`` chooses one in the user's cache by images and settings.
        share: How often ``images`` are drawn from, relative to those in ``beside``.
        beside: Further images, with regions of their own, such as photographs that are not to be forgotten.
            An epoch is as long as without them.
        objects: Makers of benchmarks whose true masks are learned from, too; with them there need be no
            ``images``.
        objects_share: How often each of these is drawn from, relative to the other sets.
        augment: Joint augmentation of image and region.
        points: Sampler of the initial points.
        regions_per_image: Regions drawn from each image in an epoch.
        min_object_area: Smaller regions, in pixels after augmentation, become empty.
        keep_background: Chance to keep an augmentation that lost its region, in (0, 1].
        batch_size: Samples per training batch and process.
        num_workers: Dataloader workers, also to find the regions.
        skip_unreadable: Train without images that cannot be read instead of stopping.
        val_benchmarks: Makers of the benchmarks that ``validate`` and ``fit`` evaluate on.
        test_benchmarks: Makers of the benchmarks that ``test`` evaluates on.
        clicks: File of images and clicks that ``predict`` answers
            (:mod:`~mis_lightning.annotation.clicks_file`).
        clicks_folder: Folder that the paths in it begin at; ``None``: the folder of the file.
        reading: How the pixels of deep images become bytes, in training and in ``predict``.
        seed: Decides all sampling, with the epoch and the image.

    Raises:
        InputError: A number is out of range; in ``setup``: no images, unreadable ones, or a store made with
            other settings.
    """

    LOGGED = (
        *("images", "regions", "store", "share", "objects_share", "augment", "points", "regions_per_image"),
        *("min_object_area", "keep_background", "batch_size", "num_workers", "skip_unreadable", "seed"),
    )
    """Arguments that loggers get as hyperparameters; of an object its class."""

    def __init__(
        self,
        images: str | None = None,
        regions: RegionSource | None = None,
        store: str | None = None,
        augment: Augmentation | None = None,
        points: InitialPoints | None = None,
        regions_per_image: int = 1,
        min_object_area: int = 80,
        keep_background: float = 0.01,
        batch_size: int = 32,
        num_workers: int = 2,
        skip_unreadable: bool = False,
        val_benchmarks: list[Callable[[], Benchmark]] | None = None,
        test_benchmarks: list[Callable[[], Benchmark]] | None = None,
        clicks: str | None = None,
        clicks_folder: str | None = None,
        reading: Reading | None = None,
        seed: int = 0,
        share: float = 1.0,
        beside: list[ImagesBeside] | None = None,
        objects: list[Callable[[], Benchmark]] | None = None,
        objects_share: float = 1.0,
    ) -> None:
        arguments = locals()
        super().__init__()
        # Below one key: module and data module share names such as `seed`.
        self.save_hyperparameters({"data": {name: _plain(arguments[name]) for name in self.LOGGED}})
        for name, value, least in (
            ("regions_per_image", regions_per_image, 1),
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise InputError(f"Expected `data.{name}` of at least {least}, but got {value}.")
        if not 0 < keep_background <= 1:
            raise InputError(f"Expected `data.keep_background` in (0, 1], but got {keep_background}.")
        self.images = images
        self.regions = regions if regions is not None else MergeTreeRegions()
        self.store = store
        self.share = share
        self.beside = beside or []
        self.objects = objects or []
        self.objects_share = objects_share
        self.augment = augment if augment is not None else PaperAugmentation()
        self.points = points if points is not None else InitialPoints()
        self.regions_per_image = regions_per_image
        self.min_object_area = min_object_area
        self.keep_background = keep_background
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.skip_unreadable = skip_unreadable
        self.makers: Mapping[str, list[Callable[[], Benchmark]]] = {
            "validate": val_benchmarks or [],
            "test": test_benchmarks or [],
        }
        self.benchmarks: dict[str, list[Benchmark]] = {}
        self.clicks = clicks
        self.clicks_folder = clicks_folder
        self.reading = reading if reading is not None else Reading()
        self.seed = seed
        self.training_set: RegionDataset | None = None
        self.others: list[tuple[RegionDataset | ObjectDataset, float]] = []

    def setup(self, stage: str) -> None:
        """Find missing regions (each process its share), open the benchmarks of the stage."""
        if stage == "fit" and self.training_set is None and not self.others:
            if self.images is not None:
                self.training_set = self.region_dataset(self.images, self.regions, self.store)
            elif not self.objects:
                raise InputError(
                    "Expected training images in `data.images`, but got none: pass a folder, or a text file "
                    "with one path per line."
                )
            self.others = [
                *(
                    (ObjectDataset(one(), self._make, self.regions_per_image, self.seed), self.objects_share)
                    for one in self.objects
                ),
                *(
                    (self.region_dataset(one.images, one.regions, one.store, one.reading), one.share)
                    for one in self.beside
                ),
            ]
        for name in ("validate", "test"):
            if name not in self.benchmarks and (stage == name or (stage == "fit" and name == "validate")):
                self.benchmarks[name] = _distinct([make() for make in self.makers[name]])

    def region_dataset(
        self, source: str, regions: RegionSource, folder: str | None, reading: Reading | None = None
    ) -> RegionDataset:
        """Images and their regions, which are found now where they are missing.

        Args:
            source: As ``images``.
            regions: Finds the regions, and draws from them.
            folder: As ``store``.
            reading: How they are read; ``None``: as ``images`` are.

        Raises:
            ImageError: Some cannot be read.
            InputError: There are none, or the store was made with other settings.
        """
        reading = reading if reading is not None else self.reading
        images = find_training_images(source, reading)
        settings = {**regions.settings(), **reading.settings()}
        store = open_store(folder or default_store(source, settings), settings)
        failures = {}
        if isinstance(store, RegionShards):
            absent = [image.key for image in images if image.key not in store]
            failures = {key: f"{key}: no regions in the shards {store.root}" for key in absent}
        else:
            failures = precompute_shared(images, regions, store, self.num_workers)
        if failures and not self.skip_unreadable:
            raise ImageError(
                f"{_list_failures(failures, len(images))}\nRepair or remove them, or set "
                "`data.skip_unreadable: true`. The regions of the other images are saved."
            )
        if failures and rank_and_world()[0] == 0:
            warnings.warn(f"{_list_failures(failures, len(images))}\nThey are left out.", Note, stacklevel=2)
        images = [image for image in images if image.key in store]
        if not images:
            raise ImageError(f"None of the images in {source} can be used for training.")
        return RegionDataset(images, store, regions, self._make, self.regions_per_image, self.seed)

    @property
    def _make(self) -> SampleMaker:
        return SampleMaker(self.augment, self.points, self.min_object_area, self.keep_background)

    def _sets(self) -> RegionDataset | ObjectDataset | WeightedSets:
        """All that is trained on; an epoch is one of the images, or else of the first objects."""
        first = [] if self.training_set is None else [(self.training_set, self.share)]
        sets, shares = zip(*first, *self.others, strict=True)
        return sets[0] if len(sets) == 1 else WeightedSets(sets, shares, len(sets[0]), self.seed)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches of :class:`~mis_lightning.data.regions.TrainingSample`, as tensors."""
        if self.training_set is None and not self.others:
            raise InputError("Call `setup('fit')` before asking for the training batches.")
        before_workers()
        trainer, dataset = self.trainer, self._sets()
        sampler = EpochSampler(
            len(dataset),
            self.seed,
            lambda: trainer.current_epoch if trainer else 0,
            lambda: self.batch_size * batches_done(trainer) if trainer else 0,
        )
        return DataLoader(
            dataset,
            self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            drop_last=len(dataset) >= self.batch_size,
            worker_init_fn=one_thread,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """Return one loader per validation benchmark, of :class:`SampleBatch`."""
        return [self._benchmark_loader(benchmark) for benchmark in self.benchmarks["validate"]]

    def test_dataloader(self) -> list[DataLoader[Any]]:
        """Return one loader per test benchmark, of :class:`SampleBatch`."""
        return [self._benchmark_loader(benchmark) for benchmark in self.benchmarks["test"]]

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return the :class:`~mis_lightning.annotation.click_request.ClickRequest` items one by one."""
        if self.clicks is None:
            raise InputError("Expected a file of images and clicks in `data.clicks`, but got none.")
        requests = ClickRequests(self.clicks, self.clicks_folder, self.reading)
        requests.check_images()
        return DataLoader(requests, batch_size=None)

    def _benchmark_loader(self, benchmark: Benchmark) -> DataLoader[Any]:
        return DataLoader(BenchmarkGroups(benchmark), batch_size=None, shuffle=False)


def _distinct(benchmarks: list[Benchmark]) -> list[Benchmark]:
    """The benchmarks, whose names tell their results apart."""
    names = [benchmark.name for benchmark in benchmarks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"Expected benchmarks of distinct names, but got {', '.join(names)}. Give those called "
            f"{twice[0]} a `name` of their own."
        )
    return benchmarks


def default_store(images: str, settings: Mapping[str, Any]) -> Path:
    """Return the cache folder for the regions of these images (``MIS_CACHE_DIR`` moves it).

    The name is that of the source and a digest of its place and the settings. A picture that is replaced
    under the same name keeps its old regions: delete the folder then.
    """
    cache = Path(os.environ.get("MIS_CACHE_DIR") or "~/.cache/mis_lightning").expanduser()
    place = Path(images).expanduser().resolve()
    text = json.dumps([str(place), settings], sort_keys=True)
    return cache / "regions" / f"{place.stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _list_failures(failures: Mapping[str, str], total: int) -> str:
    shown = [f"  {message}" for message in list(failures.values())[:10]]
    if len(failures) > len(shown):
        shown.append(f"  … and {len(failures) - len(shown)} more")
    return "\n".join([f"{len(failures)} of {counted(total, 'training image')} cannot be used:", *shown])


def _plain(value: Any) -> bool | int | float | str | None:
    """A value that every logger takes: of an object the name of its class."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return f"{type(value).__module__}.{type(value).__qualname__}"


def batches_done(trainer: L.Trainer) -> int:
    """Batches of the present epoch that a run had seen when it was stopped; 0 in an epoch from its start.

    With several processes an epoch that was stopped begins again from its first batch.
    """
    if not trainer.fit_loop.restarting or trainer.world_size > 1:
        return 0
    seen = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return int(seen) if seen < trainer.num_training_batches else 0
