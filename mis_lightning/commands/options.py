"""The options of the verbs whose work needs PyTorch, here so that ``mis VERB --help`` does not.

:mod:`~mis_lightning.commands.help_pages` prints them; each verb parses with its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from mis_lightning.annotation.export import Format
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.formats.overlap import Overlap
from mis_lightning.formats.slice_view import Axis
from mis_lightning.images import Reading
from mis_lightning.models.shipped import DEFAULT
from mis_lightning.segmenters.names import NAMES_HELP

NONE = "none"
"""Of `mis propose`, in place of a segmenter: proposals stay as they were found."""
FIGURES = {
    "merging": "single merges, the two regions that join outlined (Figure II)",
    "levels": "the regions left when the last merges are undone",
    "shallow": "the regions of the nodes nearest to the root, which training favours (Figure III)",
    "drawn": "regions of an image as training draws them, from any source",
    "clicks": "one object of a benchmark, click by click (Figures IV and V)",
    "curves": "mean IoU against clicks of several runs (Figure I)",
    "training": "loss and NoC against the steps of training runs",
}
"""Kinds of figures."""


def reading(given: argparse.Namespace) -> Reading:
    """How images are read, by the options of a verb."""
    return Reading(
        tuple(given.window) if given.window else None,
        channels=tuple(given.channels) if given.channels else None,
    )


def _add_reading(add: Callable[..., argparse.Action]) -> None:
    """Add the options of :func:`reading`."""
    add("--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="values that become 0 and 255")
    add("--channels", type=int, nargs="+", help="use one or three channels of the files")


def _add_axis(add: Callable[..., argparse.Action], default: Axis | None = "axial") -> None:
    said = "axis along which NIfTI volumes are sliced (axial)"
    add("--axis", default=default, choices=get_args(Axis), help=said)


def _add_ignored(add: Callable[..., argparse.Action]) -> None:
    add("--ignore-label", type=int, metavar="N", help="label of pixels that do not count, in label maps")


def propose() -> argparse.ArgumentParser:
    """Of `mis propose`."""
    parser = argparse.ArgumentParser(
        prog="mis propose",
        description="Find the objects that look like a few marked ones. When restarted, it skips finished "
        "images unless the examples have changed.",
        epilog="`mis annotate IMAGES --masks OUT/coco.json` opens the proposals as objects to be corrected.",
    )
    add = parser.add_argument
    add("images", type=Path, help="a folder, an image, a volume, or a text file with one path per line")
    add(
        "--examples",
        type=Path,
        required=True,
        metavar="MASKS",
        help="masks of marked objects: the folder that `mis annotate` saves, a COCO file, or label maps",
    )
    add("--out", type=Path, default=Path("proposals"), help="folder of coco.json (proposals)")
    add("--score", type=float, default=0.5, help="lowest score that is written, in [0, 1] (0.5)")
    add(
        "--model",
        default=NONE,
        metavar="NAME",
        help=f"sharpens the proposals ({NONE}): {DEFAULT}; {NAMES_HELP}",
    )
    add("--device", help="where a model computes: cpu, cuda, mps (cpu)")
    _add_reading(add)
    _add_axis(add)
    _add_ignored(add)
    add("--seed", type=int, default=0, help="random seed (0)")
    return parser


def adapt() -> argparse.ArgumentParser:
    """The options of ``mis adapt``."""
    made = argparse.ArgumentParser(
        prog="mis adapt",
        description="Adapt a model to your own images, with masks of some of them or without labels.",
        epilog="Options of `mis fit` may be added, e.g. --model.optimizer.init_args.lr 1e-4. To continue "
        "after a stop, run the same command again.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add("images", type=Path, help="a folder, or a text file with one path per line")
    add(
        "--masks",
        type=Path,
        help="masks of some of the images: label maps, binary PNGs, COCO JSON, what "
        "`mis annotate` saves; without them, only the images are used",
    )
    add("--out", type=Path, required=True, metavar="MODEL", help="new folder for the model and the run")
    add("--model", default=DEFAULT, help=f"model to start from ({DEFAULT})")
    add(
        "--replay",
        type=Path,
        metavar="IMAGES",
        help="images of other kinds that must not be forgotten (the seven bundled photographs)",
    )
    add("--steps", type=int, help="training steps (400 with masks, 60 without)")
    add(
        "--share",
        type=float,
        default=0.5,
        help="how far the weights move from the start to the trained ones: less forgets less (%(default)s)",
    )
    add(
        "--hold-back",
        type=float,
        default=0.25,
        metavar="SHARE",
        help="share of the images that is held back, to measure with (%(default)s)",
    )
    add("--measured", type=int, default=12, metavar="N", help="measure with at most N objects (%(default)s)")
    add("--min-area", type=int, default=30, metavar="PIXELS", help="smallest area of an object (%(default)s)")
    _add_ignored(add)
    _add_reading(add)
    _add_axis(add)
    add(
        "--seed",
        type=int,
        default=0,
        help="random seed of what is held back, and of the training (%(default)s)",
    )
    return made


def annotate() -> argparse.ArgumentParser:
    """Of `mis annotate`."""
    parser = argparse.ArgumentParser(
        prog="mis annotate", description="Annotate images in the browser by clicking."
    )
    add = parser.add_argument
    add(
        "images",
        type=Path,
        help="a folder, an image, a volume (NIfTI, TIFF stack), or a text file with one path per line",
    )
    add("--model", default=DEFAULT, metavar="NAME", help=f"the segmenter ({DEFAULT}): {NAMES_HELP}")
    add("--device", help="where a model computes: cpu, cuda, mps (cpu)")
    add("--out", type=Path, help="folder of the masks; default: IMAGES_masks")
    add(
        "--masks",
        type=Path,
        metavar="PATH",
        help="masks to correct: a COCO file, or a folder of label maps, masks or what `mis annotate` saved",
    )
    add("--classes", type=Path, metavar="FILE", help="text file of class names, one a line")
    add("--overlap", default="keep", choices=get_args(Overlap), help="how overlaps are resolved")
    _add_reading(add)
    _add_axis(add)
    _add_ignored(add)
    add("--port", type=int, default=8765, help="0 picks a free one (8765)")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; any but this machine's own needs a token (127.0.0.1)",
    )
    add("--token", help="token that browsers must enter; generated and printed if one is needed")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that browsers use for a proxy in front of the server, e.g. lab.example.org; repeatable",
    )
    add("--root-path", default="", metavar="/PATH", help="path below which a proxy shows the page")
    add(
        "--learn",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="learn from what is saved; the page has a switch for it, too (on)",
    )
    add("--open", action="store_true", help="open the page in the browser")
    return parser


def compare() -> argparse.ArgumentParser:
    """Of `mis compare`."""
    parser = argparse.ArgumentParser(
        prog="mis compare",
        description="Evaluate several segmenters with the same simulated user; all 20 clicks are made.",
        epilog="On the bundled photographs unless --benchmark or --images names others.",
    )
    parser.add_argument(
        "what",
        nargs="+",
        metavar="NAME",
        help=f"{NAMES_HELP}; LABEL=NAME gives it another name in the table",
    )
    parser.add_argument(
        "--folder", type=Path, help="output folder of the reports; default: runs/compare/BENCHMARK"
    )
    parser.add_argument("--batch-size", type=int, default=8, help="objects evaluated together (8)")
    published = parser.add_argument_group("a benchmark")
    published.add_argument("--benchmark", choices=["bundled", *BENCHMARKS])
    published.add_argument("--root", type=Path, help="its folder; `bundled` needs none")
    published.add_argument(
        "--incomplete", action="store_true", help="accept a part of it; figures are then not comparable"
    )
    own = parser.add_argument_group("your own images").add_argument
    own("--images", help="folder of images or volumes, or a text file with one path per line")
    own("--masks", help="their masks: a folder, what `mis annotate` saves, a COCO file, a label volume")
    own("--objects-per-image", type=int, metavar="N", help="draw at most N objects of each image (4)")
    own("--limit", type=int, metavar="N", help="draw at most N objects in all (all)")
    own("--min-area", type=int, metavar="PIXELS", help="smallest area of an object (80)")
    own("--seed", type=int, help="random seed of the draws (0)")
    _add_ignored(own)
    _add_reading(own)
    _add_axis(own, None)  # only what is given counts
    return parser


def predict() -> argparse.ArgumentParser:
    """Of `mis predict`."""
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
    _add_reading(add)
    _add_axis(add)
    add("--device", help="where a model computes: cpu, cuda, mps (cpu)")
    return parser


def export() -> argparse.ArgumentParser:
    """Of `mis export`."""
    parser = argparse.ArgumentParser(
        prog="mis export",
        description="Write a click model for other programs: image (B, 3, H, W) in [0, 1], previous_mask "
        "(B, 1, H, W) and points (B, 2K, 3) -> logits (B, 1, H, W). The clicks are drawn inside the graph; B "
        "and K are free, H and W are the model's input size. The file is written only if its answers agree "
        "with the model's.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="a model folder, a .ckpt of `mis fit`, or owner/name on the hub")
    parser.add_argument(
        "--format",
        required=True,
        choices=("onnx", "torchscript", "pt2", "safetensors"),
        help="onnx: for onnxruntime, and ClickPredictor.from_pretrained reads it; torchscript: for libtorch "
        "(torch.jit is deprecated); pt2: its successor, for torch.export.load; safetensors: a model folder",
    )
    parser.add_argument(
        "--out", required=True, type=Path, help="the file; for safetensors a folder or a file"
    )
    parser.add_argument("--opset", type=int, help="ONNX operator set version, 18 to 23 (default: 20)")
    return parser


def push() -> argparse.ArgumentParser:
    """Of `mis push`."""
    parser = argparse.ArgumentParser(
        prog="mis push",
        description="Publish a model on the hub: model.safetensors, config.json and a model card. Afterwards "
        "ClickPredictor.from_pretrained('owner/name') works anywhere.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="a model folder, a .ckpt of `mis fit`, or owner/name on the hub")
    parser.add_argument("name", metavar="owner/name", help="name of the repository on the hub")
    parser.add_argument(
        "--licence", metavar="ID", help="licence of the weights, e.g. apache-2.0, cc-by-nc-4.0"
    )
    parser.add_argument("--data", metavar="TEXT", help="what the model was trained on")
    parser.add_argument(
        "--recipe", type=Path, metavar="CONFIG", help="config.yaml of the training run; paths are shortened"
    )
    parser.add_argument(
        "--results", type=Path, metavar="JSON", help="results.json of `mis test` with this model"
    )
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--message", help="commit message")
    parser.add_argument(
        "--dry-run", type=Path, metavar="DIR", help="write to DIR what would be uploaded, and stop"
    )
    return parser


def import_checkpoint() -> argparse.ArgumentParser:
    """Of `mis import-checkpoint`."""
    parser = argparse.ArgumentParser(
        prog="mis import-checkpoint",
        description="Convert a published SimpleClick or MIS .pth to a model folder.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, help="the published .pth; nothing in it is executed")
    parser.add_argument("out", type=Path, help="a model folder, or a .safetensors with config.json beside it")
    return parser


def quickstart() -> argparse.ArgumentParser:
    """Of `mis quickstart`."""
    parser = argparse.ArgumentParser(
        prog="mis quickstart",
        description="The whole method on photographs that scikit-image ships, in minutes.",
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/quickstart"), help="output folder")
    parser.add_argument("--steps", type=int, default=None, help="training steps (default: the config's)")
    return parser


def figure_help() -> str:
    """What `mis figure --help` prints; the options of a kind are those of what draws it."""
    lines = [f"  {kind:<8} {text}" for kind, text in FIGURES.items()]
    return "\n".join(["usage: mis figure KIND [options] --out FILE\n\nkinds:", *lines])
