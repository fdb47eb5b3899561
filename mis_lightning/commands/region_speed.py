"""``mis bench proposals``: images a second of TokenCut, DSM and merging (the paper's Table IV).

All work on the same features of the same images, at one patch per 8×8 and per 16×16 pixels, one thread each,
in turn; the time of the features is not counted. Seconds are those of the processor, which on an idle machine
are those of the clock, and on a busy one leave out what others take.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.features.vit import ViTFeatures
from mis_lightning.images import list_images, read_image
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.metrics.paper_tables import paper_tables
from mis_lightning.regions.deep_spectral import segment, spectral_embedding
from mis_lightning.regions.source import Features
from mis_lightning.regions.tokencut import token_cut

REGIONS = 5
COLOUR_WEIGHT = 10.0
"""Of deep spectral methods, as MIS was compared with them."""

Seen = tuple[Features, NDArray[np.uint8]]
"""Features of an image, and the image."""

WAYS: Mapping[str, Callable[[Seen], object]] = {
    "MIS": lambda seen: build_merge_tree(*seen[0]),
    "MIS, any two": lambda seen: build_merge_tree(*seen[0], "full"),
    "TokenCut": lambda seen: token_cut(*seen[0]),
    "DSM": lambda seen: segment(
        spectral_embedding(*seen[0], seen[1], REGIONS, COLOUR_WEIGHT),
        seen[0][1],
        REGIONS,
        np.random.default_rng(0),
    ),
}
"""Merging of neighbours, or of any two regions; one object; 5 regions with the colour graph."""


def published() -> dict[int, dict[str, float]]:
    """Images a second in the paper, by pixels a patch and name of the way."""
    tables = {table.name: {row.name: row.values for row in table.rows} for table in paper_tables()}
    return {
        stride: {name: values["images/s"] for name, values in tables["IV"][f"{stride}x"].items()}
        for stride in (8, 16)
    }


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench proposals --images DIR``.

    Raises:
        InputError: An option is out of range, or there are no images.
    """
    options = argparse.ArgumentParser(prog="mis bench proposals", description=__doc__.split("\n")[0])
    options.add_argument("--images", required=True, help="folder of images")
    options.add_argument("--count", type=int, default=8, help="images used (default: %(default)s)")
    options.add_argument("--repeats", type=int, default=3, help="rounds (default: %(default)s)")
    options.add_argument(
        "--strides", type=int, nargs="+", default=[8, 16], help="sides of a patch in pixels: 8, 16"
    )
    options.add_argument(
        "--vit", action="store_true", help="features of a ViT-S with random weights, 384 channels"
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    if min(given.count, given.repeats, *given.strides) < 1:
        raise InputError("Expected --count, --repeats and --strides of at least 1.")
    paths = list_images(given.images)[: given.count]
    kind = "ViT-S, random weights, 384 channels" if given.vit else "colours, 128 channels"
    print(
        f"{len(paths)} images, {kind}, one thread, processor time, medians of {given.repeats} rounds, "
        "features not counted"
    )
    print(f"{'images/s':<22}" + "".join(f"{f'at {s}x{s}':>12}{'paper':>8}" for s in given.strides))
    rates: dict[str, dict[int, float]] = {name: {} for name in WAYS}
    paper = published()
    with threadpool_limits(1):
        for stride in given.strides:
            extractor = _extractor(stride, given.vit)
            images = [read_image(path) for path in paths]
            seen = [(extractor(image), image) for image in tqdm(images, desc="features", leave=False)]
            for name, seconds in _timed(seen, given.repeats).items():
                rates[name][stride] = len(seen) / seconds
    for name, rate in rates.items():
        cells = [(f"{rate[s]:.2f}", paper.get(s, {}).get(name)) for s in given.strides]
        print(
            f"{name:<22}"
            + "".join(f"{ours:>12}{'' if theirs is None else theirs:>8}" for ours, theirs in cells)
        )
    connected, full = rates["MIS"], rates["MIS, any two"]
    gains = ", ".join(f"{connected[s] / full[s]:.2f} at {s}x{s}" for s in given.strides)
    print(f"gain from connectivity: {gains} (paper, Table I: 3.39)")
    if given.json is not None:
        record = {"images": len(paths), "features": kind, "images_per_second": rates, "paper": paper}
        given.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


def _extractor(stride: int, vit: bool) -> PatchExtractor:
    if not vit:
        return ColourTexture(stride=stride)
    if stride not in (8, 16):
        raise InputError("A ViT-S comes with patches of 8 or 16 pixels; --strides must be among them.")
    # ViT-S/8 and S/16 give one grid for MIS's scaling; cropped, the grid is one patch per `stride` pixels.
    return ViTFeatures(f"vit_small_patch{stride}_224.dino", pretrained=False, output="keys", scaling="crop")


def _timed(features: Sequence[Seen], repeats: int) -> dict[str, float]:
    """Median seconds of each way for all images, in turn; a first round does not count."""
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for round_number in range(repeats + 1):
        for name, way in tqdm(WAYS.items(), desc=f"round {round_number}", leave=False):
            start = time.process_time()
            for one in features[: 1 if round_number == 0 else None]:
                way(one)
            if round_number:
                times[name].append(time.process_time() - start)
    return {name: median(seconds) for name, seconds in times.items()}
