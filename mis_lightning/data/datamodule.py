"""The data module: any folder of images in, training batches and benchmark samples out."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed
from torch.utils.data import DataLoader, Dataset

from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.data.augment import PaperAugmentation
from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.click_requests import ClickRequests
from mis_lightning.data.epoch_sampler import EpochSampler
from mis_lightning.data.precompute import before_workers, one_thread, precompute, store_settings
from mis_lightning.data.regions import Augmentation, RegionDataset
from mis_lightning.data.training_images import find_training_images
from mis_lightning.errors import ImageError, InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.merge_tree.store import TreeStore
from mis_lightning.structures import Connectivity, Sample


class SampleBatch:
    """A few numbered benchmark samples. Not a collection, so that Lightning hands it through as it is."""

    def __init__(self, items: list[tuple[int, Sample]]) -> None:
        self.items = items


class _Numbered(Dataset[tuple[int, Sample]]):
    """A benchmark whose items carry their number."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.benchmark = benchmark

    def __len__(self) -> int:
        return len(self.benchmark)

    def __getitem__(self, index: int) -> tuple[int, Sample]:
        return index, self.benchmark[index]


class MISDataModule(L.LightningDataModule):
    """Merge trees of a folder of images, computed once, and regions sampled from them on the fly.

    Args:
        images: A folder, a list file, or the SBD layout (:mod:`~mis_lightning.data.training_images`).
        trees: Folder of the tree store; ``None`` chooses one in the user's cache by images and settings.
        extractor: Makes the patch features.
        connectivity: ``"grid"``: only neighbours merge; ``"full"``: any two regions may.
        augment: Joint augmentation of image and region.
        points: Sampler of the initial points.
        decay: Chance to go on descending, per level of the tree.
        min_share: Share of the image that a region must exceed.
        regions_per_image: Regions drawn from each image in an epoch.
        min_object_area: Smaller regions, in pixels after augmentation, become empty.
        batch_size: Samples per training batch and process.
        num_workers: Dataloader workers, also for the trees.
        skip_unreadable: Train without images that cannot be read instead of stopping.
        val_benchmarks: Makers of the benchmarks that ``validate`` and ``fit`` evaluate on.
        test_benchmarks: Makers of the benchmarks that ``test`` evaluates on.
        clicks: File of images and clicks that ``predict`` answers
            (:mod:`~mis_lightning.data.click_requests`).
        seed: Decides all sampling, with the epoch and the image.

    Raises:
        InputError: A number is out of range; in ``setup``: no images, unreadable ones, or a store made with
            other settings.
    """

    def __init__(
        self,
        images: str | None = None,
        trees: str | None = None,
        extractor: PatchExtractor | None = None,
        connectivity: Connectivity = "grid",
        augment: Augmentation | None = None,
        points: InitialPoints | None = None,
        decay: float = 0.9,
        min_share: float = 0.05,
        regions_per_image: int = 1,
        min_object_area: int = 80,
        batch_size: int = 32,
        num_workers: int = 2,
        skip_unreadable: bool = False,
        val_benchmarks: list[Callable[[], Benchmark]] | None = None,
        test_benchmarks: list[Callable[[], Benchmark]] | None = None,
        clicks: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("regions_per_image", regions_per_image, 1),
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise InputError(f"Expected `data.{name}` of at least {least}, but got {value}.")
        self.images = images
        self.trees = trees
        self.extractor = extractor if extractor is not None else ColourTexture()
        self.connectivity: Connectivity = connectivity
        self.augment = augment if augment is not None else PaperAugmentation()
        self.points = points if points is not None else InitialPoints()
        self.decay = decay
        self.min_share = min_share
        self.regions_per_image = regions_per_image
        self.min_object_area = min_object_area
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.skip_unreadable = skip_unreadable
        self.makers: Mapping[str, list[Callable[[], Benchmark]]] = {
            "validate": val_benchmarks or [],
            "test": test_benchmarks or [],
        }
        self.benchmarks: dict[str, list[Benchmark]] = {}
        self.clicks = clicks
        self.seed = seed
        self.regions: RegionDataset | None = None

    def setup(self, stage: str) -> None:
        """Compute missing merge trees (each process its share), open the benchmarks of the stage."""
        if stage == "fit" and self.regions is None:
            self.regions = self._region_dataset()
        for name in ("validate", "test"):
            if name not in self.benchmarks and (stage == name or (stage == "fit" and name == "validate")):
                self.benchmarks[name] = [make() for make in self.makers[name]]

    def _region_dataset(self) -> RegionDataset:
        if self.images is None:
            raise InputError(
                "Expected training images in `data.images`: a folder, or a text file with one path per line. "
                "But got none."
            )
        images = find_training_images(self.images)
        settings = store_settings(self.extractor, self.connectivity)
        store = TreeStore(self.trees or default_trees(self.images, settings), settings)
        rank, world = _rank_and_world()
        share = images[rank::world]
        failures = _gather(
            precompute(share, self.extractor, store, self.connectivity, self.num_workers, progress=rank == 0)
        )
        if failures and not self.skip_unreadable:
            raise ImageError(
                f"{_list_failures(failures, len(images))}\nRepair or remove them, or set "
                "`data.skip_unreadable: true`. The trees of the other images are saved."
            )
        if failures and rank == 0:
            warnings.warn(f"{_list_failures(failures, len(images))}\nThey are left out.", stacklevel=2)
        images = [image for image in images if image.key in store]
        if not images:
            raise ImageError(f"None of the images in {self.images} can be used for training.")
        return RegionDataset(
            images,
            store,
            self.augment,
            self.points,
            self.decay,
            self.min_share,
            self.regions_per_image,
            self.min_object_area,
            self.seed,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches of :class:`~mis_lightning.data.regions.TrainingSample`, as tensors."""
        if self.regions is None:
            raise InputError("Call `setup('fit')` before asking for the training batches.")
        before_workers()
        trainer = self.trainer
        sampler = EpochSampler(len(self.regions), self.seed, lambda: trainer.current_epoch if trainer else 0)
        return DataLoader(
            self.regions,
            self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            drop_last=len(self.regions) >= self.batch_size,
            worker_init_fn=one_thread,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """Return one loader per validation benchmark, of :class:`SampleBatch`."""
        return [self._benchmark_loader(benchmark) for benchmark in self.benchmarks["validate"]]

    def test_dataloader(self) -> list[DataLoader[Any]]:
        """Return one loader per test benchmark, of :class:`SampleBatch`."""
        return [self._benchmark_loader(benchmark) for benchmark in self.benchmarks["test"]]

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return the :class:`~mis_lightning.data.click_requests.ClickRequest` items one by one."""
        if self.clicks is None:
            raise InputError("Expected a JSON file of images and clicks in `data.clicks`, but got none.")
        return DataLoader(ClickRequests(self.clicks), batch_size=None)

    def _benchmark_loader(self, benchmark: Benchmark) -> DataLoader[Any]:
        return DataLoader(_Numbered(benchmark), batch_size=16, shuffle=False, collate_fn=SampleBatch)


def default_trees(images: str, settings: Mapping[str, Any]) -> Path:
    """Return the cache folder for the trees of these images with these settings (``MIS_CACHE_DIR`` moves it).

    The name is that of the source and a digest of its place and the settings. A picture that is replaced
    under the same name keeps its old tree: delete the folder then.
    """
    cache = Path(os.environ.get("MIS_CACHE_DIR") or "~/.cache/mis_lightning").expanduser()
    place = Path(images).expanduser().resolve()
    text = json.dumps([str(place), settings], sort_keys=True)
    return cache / "trees" / f"{place.stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _rank_and_world() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _gather(failures: Mapping[str, str]) -> dict[str, str]:
    """Bring together what failed in all processes, so that they all stop or all go on; also a barrier."""
    _, world = _rank_and_world()
    shares: list[Mapping[str, str]] = [failures] * world
    if world > 1:
        torch.distributed.all_gather_object(shares, failures)
    return {key: message for share in shares for key, message in share.items()}


def _list_failures(failures: Mapping[str, str], total: int) -> str:
    shown = [f"  {message}" for message in list(failures.values())[:10]]
    if len(failures) > len(shown):
        shown.append(f"  … and {len(failures) - len(shown)} more")
    return "\n".join([f"{len(failures)} of {total} training images cannot be used:", *shown])
