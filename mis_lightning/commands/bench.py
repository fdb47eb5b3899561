"""``mis bench PART``: time one part against its peers, interleaved, with a table and JSON."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence

from mis_lightning.errors import InputError

IN_THE_WHEEL = {
    "quality": "mis_lightning.commands.region_quality",
    "proposals": "mis_lightning.commands.region_speed",
}
"""They say which source of regions to choose; the others measure the code, with what a clone has."""

PARTS = {
    "merging": "merge trees against scikit-learn and SciPy, and their growth",
    "sampling": "drawing a region of a merge tree, and loading a stored one, against the plain way",
    "precompute": "extraction, merging and saving of a folder against each stage alone",
    "refine": "a click on the merge tree and the tree of a new ROI, against OpenCV and scikit-image",
    "proposals": "images a second of TokenCut, deep spectral methods and merging",
    "quality": "the best region for each object of a benchmark, by source of regions",
    "augment": "the paper's augmentation against albumentations",
    "simulate": "click simulation of a training batch against the plain OpenCV loop",
    "loss": "smoothness loss against the unfold formulation",
    "volume": "clicks for the objects of a volume, carried from slice to slice and slice by slice",
    "evaluate": "objects evaluated together against one by one, and the simulated user's own cost",
    "gpu": "training, evaluation and extraction at the paper's sizes on one GPU",
    "startup": "how long a fresh process takes to its first result",
    "memory": "peak memory of precompute and training, on n and on 4n images",
    "campaign": "a simulated annotator works through a folder, with a model that learns or does not",
    "page": "memory of mis annotate with a photograph of 12 megapixels open, and the time of its clicks",
    "alike": "objects found from a few marked ones, and the clicks that they save, against rivals",
    "all": "every part with goals, then one table of the goals and one JSON",
}


def main(args: Sequence[str]) -> int:
    """Run ``mis bench PART [options]``; ``mis bench PART --help`` lists the part's options.

    Raises:
        InputError: There is no such part, or it is not in the wheel.
    """
    if not args or args[0] in ("-h", "--help"):
        print("usage: mis bench PART [options]\n\nparts:")
        for part, text in PARTS.items():
            print(f"  {part:<10} {text}")
        return 0
    if args[0] not in PARTS:
        raise InputError(f"Expected one of {', '.join(PARTS)}, but got {args[0]!r}.")
    if args[0] not in IN_THE_WHEEL and importlib.util.find_spec("mis_lightning.bench") is None:
        raise InputError(
            f"`mis bench {args[0]}` needs a clone of the repository: `pip install -e '.[dev]'`. "
            f"This is an installed wheel; it has {' and '.join(IN_THE_WHEEL)}."
        )
    module = IN_THE_WHEEL.get(args[0], f"mis_lightning.bench.{args[0]}")
    return int(importlib.import_module(module).main(args[1:]))
