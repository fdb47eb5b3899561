"""The eight sets of objects, each in two halves by image: one to decide on, one to report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mis_lightning.data.benchmarks import GrabCut
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.data.held_back import evenly
from mis_lightning.images import read_image
from mis_lightning.instance_maps import instance_ids, read_instances
from mis_lightning.structures import Sample

DATA = Path(os.environ.get("MIS_DATA_DIR", "."))
DOMAINS = ("nuclei_fluorescence", "nuclei_tissue", "em_mitochondria", "wounds", "magnetic_tiles", "crop_weed")
SETS = ("GrabCut", "bundled", *DOMAINS)


def some(name: str, half: str, most: int) -> list[Sample]:
    """At most so many objects of the images of one half, evenly spaced; see :func:`samples`."""
    objects = list(samples(name, half))
    return [objects[index] for index in evenly(len(objects), most)]


def samples(name: str, half: str, per_image: int = 4) -> Iterator[Sample]:
    """Objects of the images of one half.

    Args:
        name: One of :data:`SETS`; all but ``bundled`` lie in ``$MIS_DATA_DIR``.
        half: ``"development"`` (even images, in the order of their names) or ``"report"`` (odd ones).
        per_image: Objects of an image at most, of the six domains.
    """
    wanted = ("development", "report").index(half)
    if name == "bundled":
        benchmark = BundledBenchmark()
        objects = [benchmark[index] for index in range(len(benchmark))]
        images = sorted({sample.name.split("#")[0] for sample in objects})
        yield from (s for s in objects if images.index(s.name.split("#")[0]) % 2 == wanted)
    elif name == "GrabCut":
        grabcut = GrabCut(DATA)
        yield from (grabcut[index] for index in range(wanted, len(grabcut), 2))
    else:
        folder = DATA / "domains" / name
        for path in sorted((folder / "images").iterdir())[wanted::2]:
            image, labels = read_image(path), read_instances(folder / "masks" / f"{path.stem}.png")
            for instance in instance_ids(labels)[:per_image]:
                yield Sample(image, labels == instance, None, f"{path.stem}#{instance}")
