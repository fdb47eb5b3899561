"""``mis predict``: segment images from a file of clicks.

There are two ways to call it. ``mis predict --clicks FILE`` needs no config; with ``--config`` it is the verb
of the Lightning CLI, whose options ``mis predict --config FILE --help`` lists.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import get_args

from tqdm import tqdm

from mis_lightning.annotation.clicks_file import ClickRequests
from mis_lightning.annotation.export import Format
from mis_lightning.annotation.mask_folder import MaskFolder
from mis_lightning.commands import lightning
from mis_lightning.formats.overlap import Overlap
from mis_lightning.formats.slice_view import Axis
from mis_lightning.images import Reading
from mis_lightning.models.shipped import DEFAULT
from mis_lightning.segmenters.registry import NAMES_HELP, open_segmenter


def main(args: Sequence[str]) -> int:
    """Run ``mis predict --clicks FILE [--model MODEL] [--images DIR] [--out DIR] …``, or the Lightning verb.

    Raises:
        InputError: The options or the clicks do not fit, or some images failed; the others are done.
    """
    if any(arg.startswith(("--config", "--data", "--ckpt_path", "--trainer")) for arg in args):
        return lightning.main(args)
    given = _parser().parse_args(list(args[1:]))
    reading = Reading(
        tuple(given.window) if given.window else None,
        channels=tuple(given.channels) if given.channels else None,
    )
    requests = ClickRequests(given.clicks, given.images, reading, given.axis, given.overlap)
    requests.check_images()
    segmenter = open_segmenter(given.model, device=given.device, threshold=given.threshold)
    masks = MaskFolder(given.out, given.format)
    for index in tqdm(range(len(requests)), unit="image", desc=f"answers by {segmenter.identity}"):
        masks.look_up(requests[index], segmenter)
        masks.keep(requests[index].answer(segmenter))
    masks.finish()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mis predict",
        description="Segment images from a file of clicks. When restarted, it skips finished images.",
        epilog="With --config it is a verb of the Lightning CLI: `mis predict --config FILE --help`.",
    )
    add = parser.add_argument
    add("--clicks", required=True, help="JSON, or CSV with image,row,col[,positive,object,slice]")
    add("--images", help="folder that its paths are relative to (default: the folder of the file)")
    add("--model", default=DEFAULT, metavar="NAME", help=f"the segmenter ({DEFAULT}): {NAMES_HELP}")
    add("--out", default="masks", help="folder of the masks (masks)")
    add("--format", default="png", choices=get_args(Format))
    add("--overlap", default="allow", choices=get_args(Overlap), help="how overlaps are resolved")
    add("--threshold", type=float, help="least probability in a mask; default: that of the segmenter")
    add("--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="values that become 0 and 255")
    add("--channels", type=int, nargs="+", help="use one or three channels of the files")
    add("--axis", default="axial", choices=get_args(Axis), help="axis along which volumes are sliced (axial)")
    add("--device", help="where a model computes: cpu, cuda, mps (cpu)")
    return parser
