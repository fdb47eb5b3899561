"""What the paper's runs need of this machine, and what of it is missing: data, weights, disk, a GPU."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mis_lightning import licences
from mis_lightning.commands.paper_runs import OVERLAYS, Run
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.prepare.sources import ARCHIVES
from mis_lightning.data.sbd import training_names
from mis_lightning.errors import DatasetNotFoundError, ImageError

MAE = "mae_pretrain_vit_base.pth"
DENSECL = "densecl_r101_imagenet_200ep.pth"
CHECKPOINTS = 2.4  # GB of a run: the last and the best, Adam's two averages included
REGIONS = 0.6  # GB of the regions of SBD's training images
MODEL = "data.regions.init_args.extractor.init_args.model"
SOURCE = "data.regions.class_path"
EXTRACTOR = "data.regions.init_args.extractor.init_args"


@dataclass
class Machine:
    """Where things are.

    Attributes:
        sbd: SBD, with ``img/``, ``inst/``, ``train.txt`` and ``val.txt``.
        benchmarks: Folder of the benchmarks' folders.
        weights: Folder of weight files.
        folder: Of all runs.
        incomplete: Whether fewer images than published will do.
        device: ``"cuda"`` or ``"cpu"``.
    """

    sbd: Path
    benchmarks: Path
    weights: Path
    folder: Path
    incomplete: bool
    device: str


@dataclass
class Needs:
    """What was found and what was not.

    Attributes:
        missing: By what is missing, how to get it.
        blocked: Names of the runs that each missing thing stops.
        options: Options for ``mis fit`` that name what was found, by run.
    """

    missing: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, list[str]] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)

    def miss(self, what: str, remedy: str, runs: Sequence[str]) -> None:
        """Note that something is missing."""
        self.missing[what] = remedy
        self.blocked.setdefault(what, []).extend(runs)

    def blocking(self, run: str) -> list[str]:
        """What stops a run."""
        return [what for what, runs in self.blocked.items() if run in runs]


def look(runs: Sequence[Run], machine: Machine) -> Needs:
    """Look for everything that the runs need; opens the benchmarks, reads no weights."""
    needs = Needs()
    every = [run.name for run in runs]
    _images(runs, machine, needs)
    for overlay, names in OVERLAYS.items():
        users = [run.name for run in runs if overlay in run.overlays]
        for name in names if users else ():
            _benchmark(name, machine, needs, users)
    mae = machine.weights / MAE
    if not mae.is_file():
        needs.miss(f"initial weights {MAE}", licences.how_to_get(mae), every)
    for run in runs:
        needs.options[run.name] = [
            f"--data.images={machine.sbd}",
            f"--model.initial_weights={mae}",
            *_extractor(run, machine, needs),
        ]
    _disk(runs, machine, needs)
    import torch  # takes a second, and --help does without

    if machine.device == "cuda" and not torch.cuda.is_available():
        needs.miss("a GPU", "torch finds none; --device cpu runs too, but for weeks", every)
    return needs


def _images(runs: Sequence[Run], machine: Machine, needs: Needs) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            training_names(machine.sbd, allow_incomplete=machine.incomplete)
    except (DatasetNotFoundError, ImageError) as error:
        remedy = f"{error} Then name it with --sbd. Licence: {licences.DATA['SBD']}"
        needs.miss("SBD's training images", remedy, [run.name for run in runs])


def _benchmark(name: str, machine: Machine, needs: Needs, users: Sequence[str]) -> None:
    root = machine.benchmarks / name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            BENCHMARKS[name](root, allow_incomplete=machine.incomplete)
    except (DatasetNotFoundError, ImageError) as error:
        size = f" ({ARCHIVES[name].size})" if name in ARCHIVES else ""
        remedy = f"{error}{size} Licence: {licences.DATA[name]}"
        needs.miss(f"benchmark {name}", remedy, users)


def _extractor(run: Run, machine: Machine, needs: Needs) -> list[str]:
    """Options that name the extractor's weights and device; notes weights that are not there."""
    where = run.row.where
    source = str(where.get(SOURCE, ""))
    if source.endswith("TrueMasks"):
        return []
    device = [f"--{EXTRACTOR}.device=cuda"] if machine.device == "cuda" else []
    published = [word.rpartition("/")[2] for word in run.row.fit if ".checkpoint=" in word]
    if source.endswith("FreeMask"):
        published = [DENSECL]
    if published:
        path = machine.weights / published[0]
        if not path.is_file():
            needs.miss(f"extractor {published[0]}", licences.how_to_get(path), [run.name])
        return [f"--{EXTRACTOR}.checkpoint={path}", *device]
    model = str(where[MODEL])
    for suffix in (".safetensors", ".pth"):
        path = machine.weights / f"{model}{suffix}"
        if path.is_file():
            return [f"--{EXTRACTOR}.checkpoint={path}", *device]
    licence = licences.of_timm_model(model)
    if not _in_cache(licence.source):
        remedy = (
            f"fetch model.safetensors from {licence.source} and put it at "
            f"{machine.weights / model}.safetensors. Licence: {licence}"
        )
        needs.miss(f"extractor {model}", remedy, [run.name])
    return device


def _in_cache(address: str) -> bool:
    """Whether the hub's client has these weights on this machine."""
    from huggingface_hub import try_to_load_from_cache

    repository = address.removeprefix("https://huggingface.co/")
    return isinstance(try_to_load_from_cache(repository, "model.safetensors"), str)


def _disk(runs: Sequence[Run], machine: Machine, needs: Needs) -> None:
    place = machine.folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    begun = sum((machine.folder / run.name / "checkpoints").is_dir() for run in runs)
    wanted = len(runs) * REGIONS + (len(runs) - begun) * CHECKPOINTS
    if not machine.incomplete and free < wanted:
        needs.miss(
            f"disk: {wanted:.0f} GB for {len(runs)} runs, {free:.0f} GB are free at {place}",
            "make room, choose another --folder, or fewer --rows",
            [run.name for run in runs],
        )
