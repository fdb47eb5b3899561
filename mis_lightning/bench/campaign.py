"""``mis bench campaign``: a simulated annotator works through a folder, with a model that learns or not.

Each object is clicked until the IoU reaches 0.85, with 20 clicks at most; what reaches it is accepted, and
what was accepted is learned from: the mask of then, not the true one. Objects come in random order. A
campaign that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.labelled_folder import LabelledFolder
from mis_lightning.errors import InputError
from mis_lightning.figures.campaign import campaign_curves
from mis_lightning.figures.save import save
from mis_lightning.files import written_whole
from mis_lightning.learning.campaign import WAYS, WorkedObject, read_campaign, work_through
from mis_lightning.metrics.saving import saving
from mis_lightning.models.shipped import DEFAULT
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.registry import open_segmenter


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench campaign --images DIR --masks DIR``, or ``--benchmark NAME --root DIR``.

    Raises:
        InputError: The options or the objects do not fit.
    """
    given = _parser().parse_args(argv)
    if given.draw:
        _draw({Path(folder).name: Path(folder) for folder in given.draw}, given.out)
        return 0
    benchmark = _benchmark(given)
    segmenter = open_segmenter(given.model)
    if not isinstance(segmenter, ClickModelSegmenter):
        raise InputError(f"Expected a click model, whose weights can learn, but got {given.model}.")
    order = np.random.default_rng(given.seed).permutation(len(benchmark))[: given.objects]
    for way in given.ways:
        settings = replace(WAYS[way], seed=given.seed)
        samples = (benchmark[int(index)] for index in order)
        done = work_through(segmenter, samples, settings, given.out / f"{way}.jsonl")
        for _ in tqdm(done, total=len(order), desc=f"{benchmark.name}, {way}", unit="object"):
            pass
    _draw({benchmark.name: given.out}, given.out)
    return 0


def table(ways: Mapping[str, Sequence[WorkedObject]]) -> str:
    """A row for each way: clicks in all and over the last half, and what they save against the first way."""
    head = (
        "way",
        "objects",
        "clicks",
        "last half",
        "saved in all",
        "saved, last half",
        "IoU@1",
        "seconds of learning",
    )
    rows = [head, tuple("---" for _ in head)]
    base: Sequence[WorkedObject] | None = None
    for way, objects in ways.items():
        base = objects if base is None else base
        half = len(objects) // 2
        saved = ["", ""]
        if objects is not base:
            saved = [_saved(base, objects, start) for start in (0, half)]
        first = np.mean([one.ious[0] for one in objects])
        learned = np.mean([one.learning_seconds for one in objects])
        clicks, last = (sum(one.clicks for one in objects[start:]) for start in (0, half))
        rows.append(
            (way, str(len(objects)), str(clicks), str(last), *saved, f"{first:.3f}", f"{learned:.1f}")
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _saved(base: Sequence[WorkedObject], objects: Sequence[WorkedObject], start: int) -> str:
    before = [one.clicks for one in base[start : len(objects)]]
    mean, low, high = saving(before, [one.clicks for one in objects[start : len(base)]])
    return f"{mean:.0%} [{low:.0%}, {high:.0%}]"


def _draw(folders: Mapping[str, Path], out: Path) -> None:
    """Print and write the tables of campaigns, and draw them."""
    campaigns = {name: dict(_ways(folder)) for name, folder in folders.items()}
    parts = [f"**{name}**\n\n{table(ways)}\n" for name, ways in campaigns.items()]
    print("\n".join(parts))
    with written_whole(out / "table.md") as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    clicks = {
        name: {way: [one.clicks for one in objects] for way, objects in ways.items()}
        for name, ways in campaigns.items()
    }
    print("\n".join(str(path) for path in save(campaign_curves(clicks), out / "campaign")))


def _ways(folder: Path) -> Iterator[tuple[str, list[WorkedObject]]]:
    """What a folder holds of each way, those that have begun."""
    found = [(way, read_campaign(folder / f"{way}.jsonl")) for way in WAYS]
    if not any(objects for _, objects in found):
        raise InputError(f"Expected a campaign in {folder}, but it holds no lines of one.")
    yield from ((way, objects) for way, objects in found if objects)


def _benchmark(given: argparse.Namespace) -> Benchmark:
    if given.benchmark is not None:
        if given.root is None or given.images is not None or given.masks is not None:
            raise InputError("Expected --root, and neither --images nor --masks, beside --benchmark.")
        return BENCHMARKS[given.benchmark](given.root)
    if given.images is None or given.masks is None:
        raise InputError("Expected --images and --masks, or --benchmark and --root.")
    return LabelledFolder(
        given.images, given.masks, objects_per_image=given.objects_per_image, seed=given.seed
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mis bench campaign",
        description="Clicks of a simulated annotator on a folder, with a model that learns while they work.",
        epilog="Each object is clicked until the IoU is 0.85, 20 times at most. To continue a stopped "
        "campaign, run the command again.",
    )
    add = parser.add_argument
    add("--images", type=Path, help="a folder of images")
    add("--masks", type=Path, help="their masks (mis compare --help)")
    add("--benchmark", choices=list(BENCHMARKS), help="a published benchmark instead")
    add("--root", type=Path, help="its folder")
    add("--model", default=DEFAULT, metavar="NAME", help="the click model to start from (%(default)s)")
    add("--ways", nargs="+", default=["frozen", "learning"], choices=list(WAYS), help="(frozen learning)")
    add("--objects", type=int, default=24, help="objects at most, in random order (%(default)s)")
    add("--objects-per-image", type=int, default=4, help="objects of each image at most (%(default)s)")
    add("--seed", type=int, default=0, help="random seed of the order and the learning (%(default)s)")
    add(
        "--out",
        type=Path,
        default=Path("runs/campaign"),
        help="folder of lines, table and picture (%(default)s)",
    )
    add("--draw", nargs="+", metavar="DIR", help="only draw the campaigns of these folders in one picture")
    return parser
