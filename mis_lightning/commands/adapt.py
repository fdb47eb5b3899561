"""``mis adapt IMAGES``: a model for one's own images, with masks where there are some, without labels if not.

The module and the data module of ``mis fit`` with the configs ``cpu`` and ``adapt/own_images``. Around it:
what is learned from and what is held back, NoC on that before and after, and the model folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.commands import options
from mis_lightning.commands.adapt_task import Task, report, write_json
from mis_lightning.console import counted, told
from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.bundled import bundled_images
from mis_lightning.data.held_back import Part, RegionsAsObjects, evenly, held_back
from mis_lightning.data.labelled_folder import LabelledFolder
from mis_lightning.data.training_images import TrainingImage, find_training_images
from mis_lightning.errors import DatasetNotFoundError, Interrupted
from mis_lightning.evaluation.simulation import EvaluationSettings, SimulatedSession, simulate_sessions
from mis_lightning.export.model_card import CardFacts, model_card
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.files import written_whole
from mis_lightning.images import Reading
from mis_lightning.learning.appearance import Appearance
from mis_lightning.learning.look_choice import LookChoice
from mis_lightning.learning.versions import learned_settings
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.interpolate import between
from mis_lightning.models.precision import has_tiles
from mis_lightning.models.pretrained import load_pretrained, save_pretrained
from mis_lightning.regions.segment_unions import SegmentUnions
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings

if TYPE_CHECKING:
    from mis_lightning.commands.lightning import MISCLI

CONFIGS = ("cpu", "adapt/own_images")
STEPS_WITH_MASKS = 400
"""Training steps where there are masks; merge trees alone bear only those of the config."""
TREES_BESIDE_MASKS = 0.25
"""How often a region of an unlabelled image is drawn, for each time a mask is."""
REPLAYED = 1 / 3
"""How often a region of the images to be remembered is drawn, for each time one of the user's is."""
LOOKED_AT = 32
"""Objects at most that the first look and the looks of pixels are learned from."""
LOOKS_KEPT = 40.0
"""How many looks the recommended first look is worth: fewer fit the images better and forget photographs."""


def main(args: Sequence[str]) -> int:
    """Run ``mis adapt IMAGES [--masks MASKS] --out MODEL [--KEY VALUE of mis fit …]``.

    Raises:
        InputError: There is nothing to learn from, an option does not fit, or the folder holds other things.
        Interrupted: The run was stopped; the same command goes on with it.
    """
    given, extra = options.adapt().parse_known_args(args)
    task = Task(given, extra)
    task.begin()
    if task.record.is_file():
        print(f"{task.out} is adapted already.")
    else:
        _adapt(task)
    print(report(task, json.loads(task.record.read_text(encoding="utf-8"))))
    return 0


@dataclass(frozen=True)
class Material:
    """What is learned from and what is held back.

    Attributes:
        objects: With true masks, to learn from; ``None``: there are none.
        images: To draw regions from; ``None``: from none.
        measured: Objects that are held back; ``None``: no images or masks can be spared.
        said: What it is, for the user.
    """

    objects: Benchmark | None
    images: list[TrainingImage]
    measured: Callable[[MISCLI], Benchmark] | None
    said: str


def _adapt(task: Task) -> None:
    start = load_pretrained(task.model)
    prediction = PredictionSettings.from_json(start.recommended)
    material = _with_masks(task, task.masks) if task.masks is not None else _without_masks(task)
    print(f"{task.model} learns from {material.said}; the model goes to {task.out}.", flush=True)
    cli = _cli(task, start, material)
    objects = None if material.measured is None else material.measured(cli)
    before = _measured(task, "before", start, prediction, objects)
    try:
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=task.last if task.last.is_file() else None)
    except Interrupted as stop:
        raise Interrupted(f"saved {task.last}; run the same command again to continue", stop.status) from stop
    model = cli.model.model
    model.load_state_dict(between(start.state_dict(), model.state_dict(), task.share))
    model.eval().recommended = start.recommended
    if material.objects is not None:
        prediction = _with_own_settings(model, prediction, material.objects)
    after = _measured(task, "after", model, prediction, objects)
    save_pretrained(model, task.out)
    facts = CardFacts(data=f"{task.model}, adapted to {material.said}", recipe=_newest_config(task.folder))
    with written_whole(task.out / "README.md") as temporary:
        temporary.write_text(model_card(model, task.out.name, facts), encoding="utf-8")
    write_json(task.record, {"learned_from": material.said, "before": before, "after": after})


def _with_masks(task: Task, masks: Path) -> Material:
    """Masks of some of the images; those of the others are for measuring. Trees of images without masks."""
    labelled = LabelledFolder(
        task.images,
        masks,
        objects_per_image=None,
        min_area=task.min_area,
        seed=task.seed,
        reading=task.reading,
        axis=task.axis,
        ignore_label=task.ignore_label,
    )
    files = [str(path) for path in labelled.paths()]
    out = held_back(files, task.hold_back, task.seed)
    kept = [index for index, held in enumerate(out) if held]
    used = [index for index, held in enumerate(out) if not held]
    others = _unlabelled(task.images, masks, set(files))
    said = f"{counted(len(used), 'mask')} on {counted(len({files[i] for i in used}), 'image')}"
    if others:
        said += f" and the merge trees of {counted(len(others), 'other image')}"
    measured = Part(labelled, [kept[index] for index in evenly(len(kept), task.measured)])
    return Material(Part(labelled, used), others, (lambda cli: measured) if kept else None, said)


def _unlabelled(images: Path, masks: Path, labelled: set[str]) -> list[TrainingImage]:
    """The images without masks; none where masks lie among them, or where there are volumes alone."""
    if masks.is_dir() and images.is_dir() and masks.samefile(images):
        return []
    try:
        found = find_training_images(images)
    except DatasetNotFoundError:
        return []
    own = masks.resolve()
    return [i for i in found if str(i.path) not in labelled and own not in i.path.resolve().parents]


def _without_masks(task: Task) -> Material:
    """Merge trees of some of the images; those of the others are for measuring."""
    found = find_training_images(task.images)
    out = held_back([image.key for image in found], task.hold_back, task.seed)
    kept = [image for image, held in zip(found, out, strict=True) if held]
    used = [image for image, held in zip(found, out, strict=True) if not held]

    def measured(cli: MISCLI) -> Benchmark:
        """Regions of the images held back, as those that are learned from."""
        data = cli.datamodule
        regions = data.region_dataset(
            _listed(task, "held_back", [image.path for image in kept]), data.regions, data.store
        )
        regions.regions_per_image = -(-task.measured // len(kept))
        whole = RegionsAsObjects(regions)
        return Part(whole, range(min(task.measured, len(whole))))

    said = f"the merge trees of {counted(len(used), 'image')}, without labels"
    return Material(None, used, measured if kept else None, said)


def _cli(task: Task, start: ClickNetwork, material: Material) -> MISCLI:
    """Everything that ``mis fit`` would make, for this start and this material."""
    # Lightning takes seconds to import; what is wrong with the images has been said by now.
    from mis_lightning.commands.lightning import run
    from mis_lightning.training.datamodule import ImagesBeside, default_store

    kind = type(start)
    model = {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": start.config}
    words = [f"--config={name}" for name in CONFIGS]
    words += [
        f"--seed_everything={task.seed}",
        f"--trainer.default_root_dir={task.folder}",
        "--trainer.enable_model_summary=false",
        f"--trainer.enable_progress_bar={str(sys.stderr.isatty()).lower()}",  # else there are lines
        f"--trainer.precision={'bf16-mixed' if has_tiles() else '32-true'}",
        f"--model.initial_weights={task.model}",
        f"--model.model={json.dumps(model)}",
        f"--data.augment.init_args.size={list(start.input_size)}",
    ]
    steps = task.steps or (STEPS_WITH_MASKS if material.objects is not None else None)
    reading = task.reading.settings().get("reading")
    if reading:
        words.append(f"--data.reading={json.dumps(reading)}")
    if steps is not None:
        words.append(f"--trainer.max_steps={steps}")
        words.append(f"--model.lr_scheduler.init_args.warmup_steps={max(1, steps // 10)}")
    cli = run([*words, *task.extra], run=False)
    data = cli.datamodule
    settings = {**data.regions.settings(), **data.reading.settings()}
    data.store = data.store or str(default_store(str(task.images), settings))
    if material.objects is not None:
        objects = material.objects
        data.objects, data.share = [lambda: objects], TREES_BESIDE_MASKS
    if material.images:
        data.images = _listed(task, "images", [image.path for image in material.images])
    general = SegmentUnions(ColourTexture(stride=2, max_side=400), min_share=0.02)  # as of configs/cpu.yaml
    own = (data.objects_share if data.objects else 0) + (data.share if data.images else 0)
    if task.replay is not None:
        known = place = str(task.replay)
    else:
        photographs = bundled_images()
        known, place = _listed(task, "replay", photographs), str(photographs[0].parent)
    store = str(default_store(place, general.settings()))
    data.beside = [*data.beside, ImagesBeside(known, general, REPLAYED * own, store, Reading())]
    return cli


def _listed(task: Task, name: str, images: Sequence[Path]) -> str:
    """A list file of images."""
    with written_whole(task.folder / f"{name}.txt") as temporary:
        lines = [f"{path.absolute()}\n" for path in images]
        temporary.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
    return str(task.folder / f"{name}.txt")


def _with_own_settings(
    model: ClickNetwork, prediction: PredictionSettings, objects: Benchmark
) -> PredictionSettings:
    """Learn from objects what their pixels look like and which first look to trust; the model recommends it.

    An object that is partly unknown teaches the first look alone.
    """
    appearance, choice = Appearance(prediction.appearance), None
    if prediction.first_look is not None:
        choice = LookChoice(prediction.first_look, LOOKS_KEPT, with_sizes=False)
    segmenter = ClickModelSegmenter(model, prediction)
    chosen = evenly(len(objects), LOOKED_AT)
    for index in told(chosen, len(chosen), "learning where to look and what to look for", "object"):
        sample = objects[index]
        if sample.ignore is None or not sample.ignore.any():
            appearance.accept(sample.image, sample.mask)
        if choice is not None:
            click = next_click(sample.mask, np.zeros_like(sample.mask), sample.ignore, [])
            choice.accept(segmenter, sample.image, sample.mask, click)
    learned = replace(
        prediction,
        appearance=appearance.prior,
        first_look=choice.first_look if choice is not None else None,
    )
    known = {name: one for name, one in learned_settings(learned).items() if one is not None}
    model.recommended = {**model.recommended, **known}
    return learned


def _measured(
    task: Task,
    when: str,
    model: ClickNetwork,
    prediction: PredictionSettings,
    objects: Benchmark | None,
) -> list[dict[str, Any]]:
    """IoU after each click on each object that is held back; what was measured already is read again."""
    if objects is None:
        return []
    file = task.folder / f"{when}.json"
    if when == "before" and file.is_file():
        found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return found
    samples = (objects[index] for index in range(len(objects)))
    segmenter = ClickModelSegmenter(model, prediction)
    sessions = simulate_sessions(segmenter, samples, EvaluationSettings(), batch_size=4)
    curves = [_curve(one) for one in told(sessions, len(objects), f"measuring {when}", "object")]
    write_json(file, curves)
    return curves


def _curve(session: SimulatedSession) -> dict[str, Any]:
    return {"name": session.name, "ious": [round(float(iou), 5) for iou in session.ious]}


def _newest_config(folder: Path) -> Path | None:
    """The config of the run, which the trainer keeps beside its log."""
    found = sorted(folder.rglob("config.yaml"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None
