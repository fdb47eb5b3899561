"""``mis figure KIND``: the paper's figures for your images, models and results, as PNG and PDF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from matplotlib.figure import Figure

from mis_lightning.commands.compare import open_benchmark
from mis_lightning.commands.config_files import with_config_files
from mis_lightning.commands.options import FIGURES, figure_help
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings
from mis_lightning.figures.click_sequence import click_sequence, simulated_steps
from mis_lightning.figures.drawn_regions import drawn_regions
from mis_lightning.figures.learning_curve import learning_curves
from mis_lightning.figures.merge_levels import merge_levels, merging_step, shallow_nodes
from mis_lightning.figures.noc_curve import iou_curves
from mis_lightning.figures.save import save
from mis_lightning.figures.style import COLUMN_WIDTH, PAGE_WIDTH
from mis_lightning.images import read_image
from mis_lightning.metrics.curves import read_curves
from mis_lightning.metrics.training_log import TrainingLog, join_logs, read_training_log
from mis_lightning.models.shipped import DEFAULT
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.source import RegionSource
from mis_lightning.segmenters.names import NAMES_HELP
from mis_lightning.segmenters.registry import open_segmenter


def main(args: Sequence[str]) -> int:
    """Run ``mis figure KIND …``; ``mis figure KIND --help`` lists the options of a kind.

    Raises:
        InputError: There is no such kind, or what it needs is not there.
    """
    if not args:
        print(figure_help())
        return 0
    if args[0] not in FIGURES:
        raise InputError(f"Expected one of {', '.join(FIGURES)}, but got {args[0]!r}.")
    options, draw = _OTHERS.get(args[0], _tree)(args[0])
    options.add_argument(
        "--out", type=str, required=True, help="path of the PNG and the PDF, without a suffix"
    )
    try:
        given = options.parse_args(with_config_files(args[1:]))
    except ArgumentError as error:
        raise InputError(str(error)) from error
    print("\n".join(str(path) for path in save(draw(given), given.out)))
    return 0


Draw = Callable[[Namespace], Figure]


def _parser(kind: str, width: float, **options: Any) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"mis figure {kind}", description=FIGURES[kind], exit_on_error=False, **options
    )
    parser.add_argument("--width", type=float, default=width, help="width of the figure in inches")
    return parser


def _tree(kind: str) -> tuple[ArgumentParser, Draw]:
    """Pictures of a merge tree, which is made on the spot."""
    draw: Any = {"merging": merging_step, "levels": merge_levels, "shallow": shallow_nodes}[kind]
    counts = [-128, -32, -8, -1] if kind == "merging" else [2, 4, 8, 16, 32, 64]
    parser = _parser(kind, PAGE_WIDTH)
    parser.add_argument("image", type=str, help="an image file")
    what = "which merges, -1 the last" if kind == "merging" else "how many regions in each picture"
    parser.add_argument("--counts", type=list[int], default=counts, help=f"{what}, e.g. [2,8,32]")
    parser.add_class_arguments(MergeTreeRegions, "tree")

    def drawn(given: Namespace) -> Figure:
        source: MergeTreeRegions = parser.instantiate_classes(given).tree
        image = read_image(given.image)
        tree = source.find(image, given.image, source.extractor(image))
        counts = [count for count in given.counts if abs(count) < tree.n_leaves]
        figure: Figure = draw(image, tree, counts, width=given.width)
        return figure

    return parser, drawn


def _drawn(kind: str) -> tuple[ArgumentParser, Draw]:
    """Regions drawn from a source, which finds them on the spot."""
    parser = _parser(kind, PAGE_WIDTH, parser_mode="omegaconf")
    parser.add_argument("image", type=str, help="an image file")
    parser.add_argument("--count", type=int, default=7, help="how many regions")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the draw")
    parser.add_argument("--config", action="config", help="e.g. sources/tokencut")
    source = "mis_lightning.regions.merge_tree.MergeTreeRegions"
    parser.add_subclass_arguments(RegionSource, "data.regions", default={"class_path": source})

    def drawn(given: Namespace) -> Figure:
        if given.count < 1 or given.seed < 0:
            raise InputError("Expected --count of at least 1 and --seed of at least 0.")
        source: RegionSource = parser.instantiate_classes(given).data.regions
        image = read_image(given.image)
        size = (image.shape[0], image.shape[1])
        features = None if source.extractor is None else source.extractor(image)
        regions = source.find(image, Path(given.image).name, features)
        generator = np.random.default_rng(given.seed)
        masks = [source.draw(regions, size, generator) for _ in range(given.count)]
        return drawn_regions(image, masks, width=given.width)

    return parser, drawn


def _clicks(kind: str) -> tuple[ArgumentParser, Draw]:
    """A simulated user on one object."""
    parser = _parser(kind, PAGE_WIDTH)
    parser.add_argument("--model", type=str, default=DEFAULT, help=f"the segmenter: {NAMES_HELP}")
    parser.add_argument("--benchmark", type=str, default="bundled", help="as in `mis compare`")
    parser.add_argument("--root", type=str, default=None, help="folder of the benchmark")
    parser.add_argument(
        "--object", type=str, default=None, help="name of the object, or the start of it; default: the first"
    )
    parser.add_argument(
        "--shown", type=list[int], default=[1, 2, 3, 5, 8, 12, 20], help="clicks with a picture"
    )

    def drawn(given: Namespace) -> Figure:
        benchmark = open_benchmark(given.benchmark, None if given.root is None else Path(given.root))
        samples = (benchmark[index] for index in range(len(benchmark)))
        sample = next((s for s in samples if s.name.startswith(given.object or "")), None)
        if sample is None:
            raise InputError(f"{benchmark.name} has no object whose name starts with {given.object!r}.")
        segmenter = open_segmenter(given.model)
        settings = EvaluationSettings(max_clicks=max(given.shown), target_iou=None)
        steps = simulated_steps(segmenter, sample, settings)
        shown = [number for number in given.shown if number <= len(steps)]
        return click_sequence(sample.image, sample.mask, steps, shown=shown, width=given.width)

    return parser, drawn


def _curves(kind: str) -> tuple[ArgumentParser, Draw]:
    """Curves of result files."""
    parser = _parser(kind, COLUMN_WIDTH)
    parser.add_argument("runs", nargs="+", help="LABEL=FILE: a curves.csv of `mis test` or `mis compare`")
    parser.add_argument(
        "--benchmark", type=str, default=None, help="which benchmark, if the files hold several"
    )
    parser.add_argument("--max_clicks", type=int, default=20, help="length of the axis")

    def drawn(given: Namespace) -> Figure:
        runs = {}
        for entry in given.runs:
            label, equals, file = entry.rpartition("=")
            path = Path(file) / "curves.csv" if Path(file).is_dir() else Path(file)
            curves = read_curves(path)
            name = given.benchmark or next(iter(curves), None)
            if name not in curves or (given.benchmark is None and len(curves) > 1):
                raise InputError(f"{path} holds {', '.join(curves) or 'nothing'}; name one with --benchmark.")
            runs[label if equals else path.parent.name] = curves[name]
        return iou_curves(runs, given.max_clicks, width=given.width)

    return parser, drawn


def _training(kind: str) -> tuple[ArgumentParser, Draw]:
    """Logs of training runs."""
    parser = _parser(kind, PAGE_WIDTH)
    what = "LABEL=RUN: a metrics.csv or the folder of a run; the stages of one training have one label"
    parser.add_argument("runs", nargs="+", help=what)
    parser.add_argument(
        "--benchmark", type=str, default=None, help="which benchmark's NoC, if a run has several"
    )
    parser.add_argument("--smooth", type=int, default=5, help="how many logged losses are averaged")

    def drawn(given: Namespace) -> Figure:
        stages: dict[str, list[TrainingLog]] = {}
        for entry in given.runs:
            label, equals, path = entry.rpartition("=")
            stages.setdefault(label if equals else Path(path).name, []).append(read_training_log(path))
        runs = {label: join_logs(logs) for label, logs in stages.items()}
        return learning_curves(runs, given.benchmark, given.smooth, width=given.width)

    return parser, drawn


_OTHERS = {"drawn": _drawn, "clicks": _clicks, "curves": _curves, "training": _training}
