"""``mis bench quality``: how well the regions of each source fit the objects of a benchmark, untrained.

For every object the best region is looked for: among all nodes of a merge tree (in O(n) per object), or among
the masks of a set. Printed: the mean of its IoU, the share of objects above a threshold, how many regions an
image has, and how large they are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.vit import PositionTableError, ViTFeatures
from mis_lightning.merge_tree.sampling import leaf_counts
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.regions.deep_spectral import DeepSpectral
from mis_lightning.regions.free_mask import FreeMask
from mis_lightning.regions.mask_set import MaskSet
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.region_bundle import RegionBundle
from mis_lightning.regions.source import Regions, RegionSource
from mis_lightning.regions.tokencut import TokenCut
from mis_lightning.structures import Sample

THRESHOLDS = (0.5, 0.7, 0.8, 0.9)
SHARES = (0.0, 0.001, 0.01, 0.05, 0.2, 0.5, 1.0)  # of the image, limits of the histogram of sizes

SOURCES: Mapping[str, Callable[[], RegionSource]] = {
    "merge tree": lambda: MergeTreeRegions(ColourTexture()),
    "merge tree, full": lambda: MergeTreeRegions(ColourTexture(stride=8), "full"),
    "TokenCut": lambda: TokenCut(ColourTexture(stride=8)),
    "TokenCut + solver": lambda: TokenCut(ColourTexture(stride=8), bilateral=True),
    "DSM, 5 segments": lambda: DeepSpectral(ColourTexture(stride=8), segments=5),
    "DSM, 10 segments": lambda: DeepSpectral(ColourTexture(stride=8), segments=10),
    "DSM, 15 segments": lambda: DeepSpectral(ColourTexture(stride=8), segments=15),
    "Free Mask": lambda: FreeMask(ColourTexture(stride=16)),
}
"""Every source that needs no weights; the strides of all but the first keep n² in bounds."""


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench quality [--benchmark NAME --root DIR]``.

    Raises:
        InputError: There is no such benchmark or source.
    """
    options = argparse.ArgumentParser(prog="mis bench quality", description=__doc__.split("\n")[0])
    options.add_argument("--benchmark", default="bundled", choices=["bundled", *BENCHMARKS])
    options.add_argument("--root", type=Path, help="folder of the benchmark; `bundled` needs none")
    options.add_argument(
        "--sources", nargs="+", default=list(SOURCES), metavar="NAME", help=", ".join(SOURCES)
    )
    options.add_argument(
        "--extractor",
        metavar="NAME",
        help="features of this timm ViT (e.g. vit_small_patch16_dinov3.lvd1689m) for every source but Free "
        "Mask, instead of colour and texture; docs/licences.md lists some with their licences",
    )
    options.add_argument("--checkpoint", metavar="FILE", help="weights of --extractor from a file")
    options.add_argument("--device", default="cpu", help="device for --extractor (default: %(default)s)")
    options.add_argument("--count", type=int, default=None, help="use only so many objects")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    sources = (
        SOURCES if given.extractor is None else sources_of(given.extractor, given.checkpoint, given.device)
    )
    if given.extractor is not None and given.sources == list(SOURCES):
        given.sources = list(sources)
    unknown = [name for name in given.sources if name not in sources]
    if unknown:
        raise InputError(f"Expected sources among {', '.join(sources)}, but got {', '.join(unknown)}.")
    if given.benchmark != "bundled" and given.root is None:
        raise InputError(f"Expected the folder of {given.benchmark} as --root, but got none.")
    benchmark = BundledBenchmark() if given.root is None else BENCHMARKS[given.benchmark](given.root)
    samples = [benchmark[index] for index in range(min(given.count or len(benchmark), len(benchmark)))]
    titles = ["best IoU", *(f"> {t}" for t in THRESHOLDS), "regions", "s/image"]
    print(f"{benchmark.name}: {len(samples)} objects, {given.extractor or 'weights-free features'}")
    print(f"{'':<20}" + "".join(f"{title:>10}" for title in titles))
    figures: dict[str, dict[str, Any]] = {}
    for name in given.sources:
        figures[name] = row = measure(sources[name](), samples, name)
        cells = [f"{row['best_iou']:.3f}", *(f"{share:.0%}" for share in row["above"])]
        cells += [f"{row['regions']:.1f}", f"{row['seconds']:.3f}"]
        print(f"{name:<20}" + "".join(f"{cell:>10}" for cell in cells))
    print("\nregions by their share of the image, in % of all regions")
    limits = [f"< {limit:.1%}" for limit in SHARES[1:]]
    print(f"{'':<20}" + "".join(f"{limit:>10}" for limit in limits))
    for name, row in figures.items():
        print(f"{name:<20}" + "".join(f"{share:>10.1%}" for share in row["sizes"]))
    if given.json is not None:
        record = {"benchmark": benchmark.name, "objects": len(samples), "sources": figures}
        given.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


def sources_of(model: str, checkpoint: str | None, device: str) -> dict[str, Callable[[], RegionSource]]:
    """The sources on features of a timm ViT, each made as its method was published.

    Args:
        model: Its name.
        checkpoint: Weights from a file; ``None``: timm's.
        device: Where it runs.
    """
    tokens = partial(features_of, model, checkpoint, device)
    keys = partial(tokens, output="keys")
    return {
        "merge tree": lambda: MergeTreeRegions(tokens()),
        "merge tree, full": lambda: MergeTreeRegions(tokens(), "full"),
        "TokenCut": lambda: TokenCut(keys(scaling="nearest")),
        "TokenCut + solver": lambda: TokenCut(keys(scaling="nearest"), bilateral=True),
        "DSM, 5 segments": lambda: DeepSpectral(keys(scaling="crop"), segments=5, colour_weight=10.0),
    }


def features_of(model: str, checkpoint: str | None, device: str, **options: Any) -> ViTFeatures:
    """A timm ViT as an extractor; timm's interpolation where the published rule has no table to work on."""
    make = partial(ViTFeatures, model, checkpoint, device=device, **options)
    try:
        return make()
    except PositionTableError:
        return make(interpolation="timm")


def measure(source: RegionSource, samples: Sequence[Sample], name: str = "") -> dict[str, Any]:
    """Measure one source.

    Args:
        source: Finds the regions.
        samples: The objects; an image that comes several times in a row is worked on once.
        name: For the progress bar.

    Returns:
        ``best_iou`` (mean over the objects), ``above`` (share of objects for each of ``THRESHOLDS``),
        ``regions`` (mean per image), ``seconds`` (mean per image, features included), ``sizes`` (share of the
        regions between the limits ``SHARES``), ``ious`` (by object).
    """
    ious: dict[str, float] = {}
    counts, shares, seconds = [], [], []
    last, regions = None, None
    for sample in tqdm(samples, desc=name, unit="object", leave=False, disable=None):
        if regions is None or last is None or not np.array_equal(sample.image, last):
            start = time.perf_counter()
            features = None if source.extractor is None else source.extractor(sample.image)
            regions, last = source.find(sample.image, sample.name, features), sample.image
            seconds.append(time.perf_counter() - start)
            sizes = region_shares(regions)
            counts.append(len(sizes))
            shares.append(sizes)
        ious[sample.name] = best_iou(regions, sample)
    values = np.array(list(ious.values()))
    histogram = np.histogram(np.concatenate(shares), SHARES)[0]
    return {
        "best_iou": float(values.mean()),
        "above": [float((values > threshold).mean()) for threshold in THRESHOLDS],
        "regions": float(np.mean(counts)),
        "seconds": float(np.mean(seconds)),
        "sizes": (histogram / max(histogram.sum(), 1)).tolist(),
        "ious": ious,
    }


def best_iou(regions: Regions, sample: Sample) -> float:
    """Return the IoU of the object with the region that fits it best; ignored pixels do not count."""
    counted = np.ones_like(sample.mask) if sample.ignore is None else ~sample.ignore
    inside = sample.mask & counted
    if isinstance(regions, RegionBundle):
        return max(best_iou(part, sample) for part in regions.parts)
    if isinstance(regions, MergeTree):
        total = leaf_counts(counted, regions.grid)
        return regions.best_node(leaf_counts(inside, regions.grid), total)[1]
    return max(
        (_iou(regions.mask(k, inside.shape) & counted, inside) for k in range(len(regions))), default=0.0
    )


def region_shares(regions: Regions) -> NDArray[np.float64]:
    """Return the share of the image that each region covers, the whole image left out."""
    if isinstance(regions, RegionBundle):
        return np.concatenate([region_shares(part) for part in regions.parts])
    if isinstance(regions, MaskSet):
        return regions.unpack().mean(axis=(1, 2)) if len(regions) else np.zeros(0)
    return regions.sizes[: regions.root] / regions.n_leaves


def _iou(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    either = np.count_nonzero(mask | truth)
    return float(np.count_nonzero(mask & truth) / either) if either else 0.0
