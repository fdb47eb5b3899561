"""``mis bench alike``: how many objects are found from a few marked ones, and how many clicks that saves.

Examples are drawn by a seed from the first 12 objects of an image, whose sessions of a simulated user (clicks
to an IoU of 0.85, at most 20) are recorded. ``same``: the other objects of that image are looked for;
``other``: those of other images, from the examples of one. Average precision and recall as COCO defines them,
over all images together; proposals smaller than any object of the set count neither for nor against (small
objects are left out of the masks of some sets).

Clicks: the user looks at the proposals of a score of at least 0.5. One that has an IoU of at least 0.5 with
an object is accepted, one click; the others are rejected, one click each; what is left is clicked to 0.85, as
all objects are without proposals. ``corrected``: what was accepted is corrected to 0.85, too. ``at once``:
all are accepted by one click, and the wrong ones deleted, one click each. ``at most``: each other object has
a proposal, and there is no other. The means over the 12 objects stand for all objects of their image.
What is computed is kept in ``--folder`` and not computed again: begin a new one when the code has changed.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mis_lightning.alike.model import AlikeModel, MarkedImage
from mis_lightning.alike.proposal import Proposal
from mis_lightning.alike.propose import propose_on
from mis_lightning.bench.alike_rivals import match_templates, watershed
from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.data.labelled_images import LabelledImages
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.formats.rle import decode_rle, encode_rle
from mis_lightning.images import Reading
from mis_lightning.json_lines import append_line, read_lines
from mis_lightning.metrics.functional import iou
from mis_lightning.metrics.saving import saving
from mis_lightning.models.shipped import DEFAULT
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click, Sample

SETS = ("nuclei_fluorescence", "nuclei_tissue", "em_mitochondria", "crop_weed")
RECORDED = 12
"""Objects of an image that a simulated user clicks."""
TARGET, ACCEPTED, SCORE = 0.85, 0.5, 0.5
MAX_CLICKS = 20
WAYS = ("one by one", "corrected", "at once", "at most")
"""How proposals are accepted: see above."""


@dataclass(frozen=True)
class Scene:
    """An image and its objects."""

    name: str
    image: NDArray[np.uint8]
    masks: Mapping[str, NDArray[np.bool_]]

    @property
    def recorded(self) -> list[str]:
        """The objects that are clicked."""
        return list(self.masks)[:RECORDED]


Finder = Callable[[Scene, Sequence[NDArray[np.bool_]], Scene], list[Proposal]]
"""From a scene and masks of its objects to proposals on another scene, or the same."""


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench alike --data DIR``.

    Raises:
        InputError: The sets are not there, or an option is out of range.
    """
    parser = argparse.ArgumentParser(prog="mis bench alike", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of the sets: NAME/images and NAME/masks")
    add("--sets", nargs="+", default=list(SETS), help="(%(default)s)")
    add("--half", choices=["development", "report"], default="report", help="even or odd images (report)")
    add("--examples", type=int, nargs="+", default=[1, 3, 10], help="(%(default)s)")
    add("--seed", type=int, default=0, help="random seed of the examples (0)")
    add("--model", default=DEFAULT, help="model that sharpens proposals and answers clicks (%(default)s)")
    add("--methods", nargs="+", default=["alike", "alike, sharpened", "templates", "watershed"])
    add("--clicks", type=int, nargs="*", default=[3], help="numbers of examples whose clicks are counted")
    add("--folder", type=Path, default=Path("runs/alike"), help="what was computed (runs/alike)")
    given = parser.parse_args(argv)
    if min(given.examples) < 1:
        raise InputError(f"Expected --examples of at least 1, but got {given.examples}.")
    cv2.setNumThreads(1)
    segmenter = open_segmenter(given.model)
    finders: dict[str, Finder] = {
        "alike": _alike,
        "alike, sharpened": partial(_alike, segmenter=segmenter),
        "templates": _rival(match_templates),
        "watershed": _rival(watershed),
    }
    unknown = [name for name in given.methods if name not in finders]
    if unknown:
        raise InputError(f"Expected methods among {', '.join(finders)}, but got {', '.join(unknown)}.")
    titles = ["set, examples", "method", "AP50, same", "recall", "AP75", "recall", "AP50, other"]
    titles += [*(f"saved, {way}" if way != "at most" else way for way in WAYS), "s"]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for name in given.sets:
        scenes = list(_scenes(given.data / name, given.half))
        store = Kept(given.folder / f"{name}.{given.half}.jsonl")
        least = min(int(np.count_nonzero(mask)) for scene in scenes for mask in scene.masks.values())
        for count in given.examples:
            for method in given.methods:
                if method == "watershed" and not name.startswith("nuclei"):
                    continue
                tries = list(_tries(scenes, count, given.seed, finders[method], method, store))
                if not any(one["kind"] == "same" for one in tries):
                    continue
                saved = [""] * len(WAYS)
                if count in given.clicks:
                    named = {scene.name: scene for scene in scenes}
                    saved = [_saved(tries, named, segmenter, store, least, way) for way in WAYS]
                cells = [_ap(tries, "same", 0.5, least), _ap(tries, "same", 0.75, least)]
                other = _ap(tries, "other", 0.5, least)[0]
                seconds = np.median([one["seconds"] for one in tries if one["kind"] == "same"])
                shown = [f"{ap:.2f} | {recall:.2f}" for ap, recall in cells]
                row = [f"{name}, {count}", method, *shown, f"{other:.2f}", *saved, f"{seconds:.1f}"]
                print(f"| {' | '.join(row)} |", flush=True)
    return 0


class Kept:
    """What was computed, one line of JSON each.

    Args:
        path: The file; begun if it is missing. A line that a killed process left unfinished is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        entries = [json.loads(line) for line in read_lines(path) if line.strip()]
        self._values = {entry["key"]: entry["value"] for entry in entries}

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """The value of a key, made and kept if it is new."""
        if key not in self._values:
            self._values[key] = make()
            append_line(self.path, {"key": key, "value": self._values[key]})
        return self._values[key]


def _scenes(folder: Path, half: str) -> Iterator[Scene]:
    pairs = LabelledImages(folder / "images", folder / "masks", Reading())
    for pair in list(pairs)[("development", "report").index(half) :: 2]:
        read, objects = pairs.read(pair)
        yield Scene(pair.key, read.rgb, {name: objects.mask(name) for name in objects.areas})


def _alike(
    source: Scene,
    examples: Sequence[NDArray[np.bool_]],
    target: Scene,
    segmenter: Segmenter[Any] | None = None,
) -> list[Proposal]:
    model = AlikeModel([MarkedImage(source.image, examples)])
    return propose_on(target.image, model, examples if source is target else (), segmenter)


def _rival(find: Callable[[NDArray[np.uint8], Sequence[NDArray[np.bool_]]], list[Proposal]]) -> Finder:
    """A rival that looks on the image of the examples only."""
    return lambda source, examples, target: find(target.image, examples) if source is target else []


def _tries(
    scenes: Sequence[Scene], count: int, seed: int, find: Finder, method: str, store: Kept
) -> Iterator[dict[str, Any]]:
    """What was found: each image from its own examples, then the next two from those of one."""
    generator = np.random.default_rng(seed)
    rich = [scene for scene in scenes if len(scene.masks) >= count + 3 and len(scene.recorded) > count]
    for at, source in enumerate(tqdm(rich, desc=method, leave=False, disable=None)):
        examples = sorted(generator.choice(source.recorded, count, replace=False).tolist())
        targets = [("same", source)]
        if at == 0:
            targets += [("other", scene) for scene in rich[1:3]]
        for kind, target in targets:
            make = partial(_try, source, examples, target, find)
            key = f"{method} {count} {seed} {source.name} {target.name}"
            yield {"kind": kind, "image": target.name, "examples": examples, **store.get(key, make)}


def _try(source: Scene, examples: Sequence[str], target: Scene, find: Finder) -> dict[str, Any]:
    began = process_time()
    found = find(source, [source.masks[name] for name in examples], target)
    seconds = process_time() - began
    masks = {n: m for n, m in target.masks.items() if source is not target or n not in examples}
    areas = {name: np.count_nonzero(mask) for name, mask in masks.items()}
    proposals = []
    for one in found:
        size, ious = np.count_nonzero(one.mask), {}
        for name, mask in masks.items():
            both = np.count_nonzero(mask[one.box] & one.mask)
            if both:
                ious[name] = round(both / (size + areas[name] - both), 4)
        poor = ACCEPTED <= max(ious.values(), default=0) < TARGET  # what is corrected is needed again
        box = [one.top, one.left, *one.mask.shape, encode_rle(one.mask)] if poor else None
        proposals.append([round(one.score, 4), int(size), ious, box])
    return {"objects": list(masks), "proposals": proposals, "seconds": round(seconds, 2)}


def _matched(proposals: Sequence[Any], least_iou: float) -> list[str | None]:
    """For each proposal, best first, the object that it finds first; ``None``: none."""
    found: list[str | None] = []
    for _, _, ious, _ in proposals:
        free = {name: value for name, value in ious.items() if name not in found}
        best = max(free, key=lambda name: free[name], default=None)
        found.append(best if best is not None and free[best] >= least_iou else None)
    return found


def _ap(
    tries: Sequence[Mapping[str, Any]], kind: str, least_iou: float, least_area: int
) -> tuple[float, float]:
    """Average precision and recall over all images together."""
    scores, hits, total = [], [], 0
    for one in tries:
        if one["kind"] != kind:
            continue
        total += len(one["objects"])
        for (score, area, *_), name in zip(
            one["proposals"], _matched(one["proposals"], least_iou), strict=True
        ):
            if name is not None or area >= least_area:
                scores.append(score)
                hits.append(name is not None)
    if not hits or not total:
        return 0.0, 0.0
    right = np.array(hits)[np.argsort(-np.array(scores), kind="stable")].cumsum()
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    recall = right / total
    return float(np.diff(recall, prepend=0) @ precision), float(recall[-1])


def _saved(
    tries: Sequence[Mapping[str, Any]],
    scenes: Mapping[str, Scene],
    segmenter: Segmenter[Any],
    store: Kept,
    least_area: int,
    way: str,
) -> str:
    """Share of all clicks that is saved, with its interval over the images (95 %, bootstrap)."""
    clicks: list[tuple[float, float]] = []
    for one in tries:
        if one["kind"] != "same":
            continue
        scene = scenes[one["image"]]
        needed = {name: _clicks(scene, name, segmenter, store) for name in scene.recorded}
        shown = [proposal for proposal in one["proposals"] if proposal[0] >= SCORE]
        names = _matched(shown, ACCEPTED)
        rejected = sum(
            name is None and area >= least_area for (_, area, *_), name in zip(shown, names, strict=True)
        )
        corrected = {}
        for (*_, box), name in zip(shown, names, strict=True):
            if way == "corrected" and name in needed and box is not None:
                key = f"corrected {scene.name}#{name} {box[0]} {box[1]} {zlib.crc32(box[4].encode()):08x}"
                corrected[name] = store.get(key, partial(_corrections, scene, name, box, segmenter))
        rest = [name for name in scene.recorded if name not in one["examples"]]
        if way == "at most":
            names, rejected = [*rest], 0
        each = 0 if way == "at once" else 1
        costs = [each + corrected.get(name, 0) if name in names else needed[name] for name in rest]
        rejected += way == "at once" and any(name is not None for name in names)
        marked = sum(needed[name] for name in one["examples"])
        others = len(scene.masks) - len(one["examples"])
        clicks.append(
            (
                marked + others * np.mean(costs) + rejected,
                marked + others * np.mean([needed[n] for n in rest]),
            )
        )
    with_us, alone = np.array(clicks).T
    share, low, high = saving(alone, with_us)
    return f"{share:.0%} [{low:.0%}, {high:.0%}]"


def _clicks(scene: Scene, name: str, segmenter: Segmenter[Any], store: Kept) -> int:
    """Clicks that an object needs."""

    def make() -> int:
        sample = Sample(scene.image, np.asarray(scene.masks[name]), None, name)
        settings = EvaluationSettings(MAX_CLICKS, TARGET)
        return len(simulate_session(segmenter, sample, settings).ious)

    return int(store.get(f"session {scene.name}#{name}", make))


def _corrections(scene: Scene, name: str, box: Sequence[Any], segmenter: Segmenter[Any]) -> int:
    """Clicks that an object needs from the proposal that was accepted for it."""
    top, left, height, width, counts = box
    truth = np.asarray(scene.masks[name])
    mask = Proposal(0, decode_rle(counts, (height, width)), top, left).whole(truth.shape)
    state = segmenter.place(segmenter.begin(scene.image), mask)
    clicks: list[Click] = []
    while iou(mask, truth, None) < TARGET and len(clicks) < MAX_CLICKS:
        clicks.append(next_click(truth, mask, None, clicks))
        (state,) = segmenter.click([state], [clicks[-1:]])
        mask = segmenter.mask(state)
    return len(clicks)
