"""``mis bench gpu``: the paper's sizes on one GPU, in minutes: training, evaluation, extraction, equality.

Every section prints its figures and adds them to ``--json`` as it ends, so that a run that is cut off loses
only the section it was in. A section that fails says why, and the next one begins; none begins after
``--minutes``. ``--tiny`` does the same at toy sizes, on the CPU where there is no GPU: a rehearsal, whose
figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mis_lightning.bench import fit_speed
from mis_lightning.bench.figure import Figure, system, table, to_json
from mis_lightning.bench.precompute import GOAL as PIPELINE_GOAL
from mis_lightning.bench.precompute import measure
from mis_lightning.bench.same_on_gpu import same_loss, same_sessions
from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.data.augment import PaperAugmentation
from mis_lightning.data.bundled import BundledBenchmark, bundled_images
from mis_lightning.data.training_images import find_training_images
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_sessions
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.vit import ViTFeatures
from mis_lightning.files import written_whole
from mis_lightning.images import read_image
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.training.datamodule import MISDataModule


@dataclass(frozen=True)
class Sizes:
    """How large everything is; the defaults are the paper's.

    Attributes:
        photograph: Height and width of the photographs, which are those of SBD.
        photographs: How many are made.
        network: Arguments of the click network; none: ViT-B/448.
        batch: Images in a training step.
        warm: Training steps before the clock starts.
        steps: Those that count.
        repeats: Timed calls of everything else.
        objects: Objects that are segmented on both devices.
        together: Objects of an evaluation that advance together.
        clicks: Clicks on each.
        extractors: timm names.
    """

    photograph: tuple[int, int] = (375, 500)
    photographs: int = 128
    network: dict[str, Any] = field(default_factory=dict)
    batch: int = 32
    warm: int = 6
    steps: int = 20
    repeats: int = 8
    objects: int = 20
    together: int = 16
    clicks: int = 10
    extractors: tuple[str, ...] = ("vit_small_patch8_224.dino", "vit_small_patch16_224.dino")


TINY = Sizes(
    photograph=(60, 80),
    photographs=16,
    network={
        "input_size": (64, 64),
        "dim": 32,
        "depth": 2,
        "heads": 2,
        "window": 2,
        "global_every": 2,
        "neck_dims": (8, 16, 16, 16),
        "head_dim": 8,
    },
    batch=4,
    warm=1,
    steps=2,
    repeats=1,
    objects=2,
    together=2,
    clicks=2,
    extractors=("vit_tiny_patch16_224.augreg_in21k",),
)


@dataclass
class Bench:
    """What the sections share."""

    sizes: Sizes
    device: torch.device
    workers: int
    folder: Path

    @cached_property
    def images(self) -> Path:
        """A folder of photographs: cuttings of the bundled ones, as JPEG."""
        folder = self.folder / "images"
        folder.mkdir()
        generator = np.random.default_rng(0)
        pictures = [read_image(path) for path in bundled_images()]
        height, width = self.sizes.photograph
        for number in range(self.sizes.photographs):
            picture = pictures[number % len(pictures)]
            share = generator.uniform(0.6, 1.0)
            rows, cols = (int(side * share) for side in picture.shape[:2])
            top, left = (
                int(generator.integers(s - c + 1)) for s, c in zip(picture.shape, (rows, cols), strict=False)
            )
            cutting = cv2.resize(picture[top : top + rows, left : left + cols], (width, height))
            file = str(folder / f"{number:04d}.jpg")
            cv2.imwrite(file, cv2.cvtColor(cutting, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
        return folder

    @cached_property
    def data(self) -> MISDataModule:
        """Training samples of these photographs; regions of colour and texture, which need no weights."""
        size = self.network().input_size
        steps = self.sizes.warm + self.sizes.steps + 2
        data = MISDataModule(
            str(self.images),
            MergeTreeRegions(ColourTexture()),
            store=str(self.folder / "store"),
            augment=PaperAugmentation(size),
            regions_per_image=-(-steps * self.sizes.batch // self.sizes.photographs),
            batch_size=self.sizes.batch,
            num_workers=self.workers,
        )
        data.setup("fit")
        return data

    def network(self) -> ClickViT:
        """The click network, weights drawn at random."""
        torch.manual_seed(0)
        return ClickViT(**self.sizes.network)

    def fit(self, precision: str, compiled: bool = False, channels_last: bool = True) -> list[Figure]:
        """Train in this precision (:func:`fit_speed.fit`)."""
        module = fit_speed.paper_module(self.sizes.network, channels_last)
        if compiled:
            module.model.compile()
        sizes = self.sizes
        return fit_speed.fit(
            self.data, module, self.device, precision, sizes.warm, sizes.steps, sizes.repeats
        )

    def evaluate(self) -> list[Figure]:
        """Time the simulated user with the network alone and with several objects together, without TF32."""
        benchmark, sizes = BundledBenchmark(), self.sizes
        samples = [benchmark[index] for index in range(sizes.together)]
        segmenter = ClickModelSegmenter(self.network().to(self.device).eval())
        settings = EvaluationSettings(target_iou=None, max_clicks=sizes.clicks)
        figures = []
        for together in (1, sizes.together):
            list(simulate_sessions(segmenter, samples[:2], EvaluationSettings(max_clicks=1), together))
            start = time.perf_counter()
            sessions = list(simulate_sessions(segmenter, samples, settings, together))
            seconds = (time.perf_counter() - start) / (len(samples) * sizes.clicks)
            of_model = sum(session.model_seconds for session in sessions) / (len(samples) * sizes.clicks)
            name = "a click, alone" if together == 1 else f"a click, {together} objects together"
            figures += [Figure(name, 1e3 * seconds, "ms"), Figure("  of the model", 1e3 * of_model, "ms")]
        return figures

    def extract(self, name: str) -> list[Figure]:
        """Time an extractor alone, its forward pass alone, and the whole precompute."""
        extractor = ViTFeatures(name, pretrained=False, device=str(self.device))
        images = find_training_images(self.images)
        picture = read_image(images[0].path)
        size = extractor(picture)[1]
        ready = torch.rand(1, 3, *(side * extractor.patch for side in size), device=self.device)
        with torch.inference_mode():
            forward = fit_speed.seconds_of(lambda: extractor.tokens(ready), self.device, self.sizes.repeats)
        whole = fit_speed.seconds_of(lambda: extractor(picture), self.device, self.sizes.repeats)
        cost = measure(images, MergeTreeRegions(extractor), max(self.workers, 1), 1)
        return [
            Figure(f"tokens of an image, {size[0]}x{size[1]}", float(size[0] * size[1]), ""),
            Figure("forward pass of an image", 1e3 * forward, "ms"),
            Figure("extraction of an image, decoded", 1e3 * whole, "ms"),
            Figure("finding the regions of an image, one thread", 1e3 * cost["find"] / len(images), "ms"),
            Figure("precompute, images a second", len(images) / cost["pipeline"], "/s"),
            Figure("precompute against its slower stage", cost["ratio"], "x", PIPELINE_GOAL),
        ]

    def with_tf32(self, allowed: bool, section: Callable[[], list[Figure]]) -> list[Figure]:
        """Run a section with or without TF32."""
        fit_speed.set_tf32(allowed)
        try:
            return section()
        finally:
            fit_speed.set_tf32(False)

    def sections(self) -> dict[str, Callable[[], list[Figure]]]:
        """Everything that is measured, by name, what matters most first."""
        repeats = self.sizes.repeats
        fit, tf32 = self.fit, self.with_tf32
        compiled: dict[str, Callable[[], list[Figure]]] = {}
        if self.device.type == "cuda":  # for a CPU it takes minutes even at toy sizes
            compiled["training, bf16-mixed, compiled"] = partial(tf32, True, partial(fit, "bf16-mixed", True))
        return {
            "first calls, compilation included": self.first_calls,
            "training, bf16-mixed": partial(tf32, True, partial(fit, "bf16-mixed")),
            "parts of a step besides the network": lambda: fit_speed.parts(self.data, self.device, repeats),
            "training, float32 with TF32": partial(tf32, True, partial(fit, "32-true")),
            "same on CPU and GPU: sessions of mis-small": lambda: same_sessions(
                self.device, self.sizes.objects, self.sizes.clicks
            ),
            "same on CPU and GPU: the loss of a step": lambda: same_loss(
                self.data, self.network, self.device
            ),
            "evaluation, float32": partial(tf32, False, self.evaluate),
            "evaluation, float32 with TF32": partial(tf32, True, self.evaluate),
            **{
                f"extraction, {name}, float32": partial(tf32, False, partial(self.extract, name))
                for name in self.sizes.extractors
            },
            "training, float32 without TF32": partial(tf32, False, partial(fit, "32-true")),
            "loading": lambda: fit_speed.loading(self.data, repeats),
            "training, bf16-mixed, channels first": partial(
                tf32, True, partial(fit, "bf16-mixed", channels_last=False)
            ),
            **compiled,
        }

    def first_calls(self) -> list[Figure]:
        """Compile what is compiled on first use, so that no figure holds it and no worker repeats it."""
        start = time.perf_counter()
        build_merge_tree(np.random.default_rng(0).random((48, 4), np.float32), (6, 8), "grid")
        blank = np.zeros((8, 8), np.bool_)
        next_click(~blank, blank)
        compiled = time.perf_counter()
        self.data.setup("fit")
        return [
            Figure("merging and the simulated user", compiled - start, "s"),
            Figure(
                f"trees of {self.sizes.photographs} images, colour and texture, {self.workers} workers",
                time.perf_counter() - compiled,
                "s",
            ),
        ]


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench gpu``.

    Returns:
        0; 1 if a section failed or was not reached.

    Raises:
        InputError: There is no GPU and no ``--tiny``, an option is out of range, or ``--only`` names no
            section.
    """
    options = argparse.ArgumentParser(prog="mis bench gpu", description=__doc__.split("\n")[0])
    options.add_argument("--tiny", action="store_true", help="toy sizes, also without a GPU: a rehearsal")
    options.add_argument(
        "--minutes", type=float, default=12.0, help="start no section after so many (default: %(default)s)"
    )
    options.add_argument("--workers", type=int, default=4, help="loader workers (default: %(default)s)")
    options.add_argument("--only", nargs="+", metavar="WORD", help="sections whose name contains a word")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    if given.workers < 0 or given.minutes <= 0:
        raise InputError("Expected --workers of at least 0 and --minutes above 0.")
    if not torch.cuda.is_available() and not given.tiny:
        raise InputError("Expected a GPU that torch finds, but there is none; --tiny rehearses on the CPU.")
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(TINY if given.tiny else Sizes(), device, given.workers, Path(folder))
        chosen = {
            name: section
            for name, section in bench.sections().items()
            if given.only is None or any(word in name for word in given.only)
        }
        if not chosen:
            raise InputError(f"Expected --only with words out of: {'; '.join(bench.sections())}.")
        return _run(chosen, machine(device), given.minutes, given.json)


def _run(
    sections: dict[str, Callable[[], list[Figure]]], about: dict[str, Any], minutes: float, file: Path | None
) -> int:
    """Run the sections in turn, and write what is known after each."""
    began = time.perf_counter()
    content: dict[str, Any] = {"machine": about, "sections": {}}
    print(json.dumps(about), flush=True)
    for name, section in sections.items():
        start = time.perf_counter()
        entry: dict[str, Any] = {}
        if start - began > 60 * minutes:
            entry["not_run"] = f"more than {minutes:g} minutes had passed"
        else:
            try:
                figures = section()
                entry["figures"] = to_json(figures)
                print(f"\n== {name}\n{table(figures)}", flush=True)
            except Exception as error:  # the others must not be lost
                entry["failed"] = f"{type(error).__name__}: {error}"
                entry["trace"] = traceback.format_exc()
        entry["seconds"] = time.perf_counter() - start
        for reason in ("not_run", "failed"):
            if reason in entry:
                print(f"\n== {name}\n{reason}: {entry[reason]}\n{entry.get('trace', '')}", flush=True)
        content["sections"][name] = entry
        fit_speed.tidy()
        if file is not None:
            with written_whole(file) as temporary:
                temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return int(any("figures" not in entry for entry in content["sections"].values()))


def machine(device: torch.device) -> dict[str, Any]:
    """Return the card, the machine and the versions."""
    about = system()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about |= {
            "gpu": properties.name,
            "gpu_memory_GiB": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return about
