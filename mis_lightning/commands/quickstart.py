"""``mis quickstart``: the whole method on photographs that scikit-image ships, in minutes.

Merge trees, training on regions sampled from them, NoC before and after, pictures. Seven images are enough to
see the method work; the images of the benchmark are those of the training, their outlines are never used.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mis_lightning.commands import options
from mis_lightning.commands.lightning import MISCLI, run
from mis_lightning.data.bundled import BundledBenchmark, bundled_images
from mis_lightning.figures.click_sequence import click_sequence, simulated_steps
from mis_lightning.figures.merge_levels import merge_levels
from mis_lightning.figures.save import save
from mis_lightning.images import read_image
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.metrics.report import BenchmarkSummary, format_table
from mis_lightning.models.pretrained import save_pretrained
from mis_lightning.training.datamodule import MISDataModule
from mis_lightning.training.noc_evaluation import NoCEvaluation

CONFIG = "quickstart"
PICTURED = "chelsea.png#cat"
SHOWN_CLICKS = (1, 2, 3, 5, 8, 12, 20)


def main(args: Sequence[str]) -> int:
    """Run ``mis quickstart [--folder DIR] [--steps N]``."""
    given = options.quickstart().parse_args(args)
    started = time.monotonic()
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    photographs = folder / "photographs.txt"
    photographs.write_text("\n".join(str(path) for path in bundled_images()) + "\n", encoding="utf-8")

    print(f"1/4  merge trees of {len(bundled_images())} photographs, and a small ViT with random weights")
    cli = _build(folder, photographs, given.steps)
    data = cli.datamodule
    data.setup("fit")

    print("2/4  NoC of the untrained network: 20 clicks of a simulated user on each object")
    before = _evaluate(cli, "untrained")
    print("3/4  training on regions of the merge trees; no label is read")
    cli.trainer.fit(cli.model, data)
    print("4/4  NoC of the trained network")
    after = _evaluate(cli, "trained")

    model = save_pretrained(cli.model.model, folder / "model")
    print()
    print(format_table([before, after]))
    print(f"\n{(time.monotonic() - started) / 60:.1f} minutes. Look at:")
    for path in _pictures(cli, data, folder / "pictures"):
        print(f"  {path}")
    print(f"The model is in {model}, tables and curves are in {folder / 'evaluation'}.")
    return 0


def _build(folder: Path, photographs: Path, steps: int | None) -> MISCLI:
    options = [f"--config={CONFIG}", f"--data.images={photographs}", f"--trainer.default_root_dir={folder}"]
    options.append(f"--trainer.logger.init_args.save_dir={folder}")
    if steps is not None:
        options += [
            f"--trainer.max_steps={steps}",
            f"--model.lr_scheduler.init_args.warmup_steps={max(1, steps // 12)}",
        ]
    return run(options, run=False)


def _evaluate(cli: MISCLI, label: str) -> BenchmarkSummary:
    callback = _evaluation(cli)
    callback.folder = str(Path(cli.trainer.default_root_dir) / "evaluation" / label)
    callback.show = False
    cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    return replace(callback.rows[0], benchmark=label)


def _evaluation(cli: MISCLI) -> NoCEvaluation:
    callbacks: list[object] = cli.trainer.callbacks  # type: ignore[attr-defined]
    return next(callback for callback in callbacks if isinstance(callback, NoCEvaluation))


def _pictures(cli: MISCLI, data: MISDataModule, folder: Path) -> list[Path]:
    benchmark = BundledBenchmark()
    sample = next(
        sample for sample in (benchmark[i] for i in range(len(benchmark))) if sample.name == PICTURED
    )
    if data.training_set is None:
        raise RuntimeError("The regions are gone; `setup('fit')` must come first.")
    shown = next(image for image in data.training_set.images if image.path.name == PICTURED.split("#")[0])
    tree = data.training_set.store.load(shown.key)
    if not isinstance(tree, MergeTree):
        raise RuntimeError("The quickstart shows merge trees; its config has another source of regions.")
    callback = _evaluation(cli)
    steps = simulated_steps(cli.model.segmenter, sample, callback.settings)
    return [
        save(merge_levels(read_image(shown.path), tree), folder / "merge_levels")[0],
        save(click_sequence(sample.image, sample.mask, steps, shown=SHOWN_CLICKS), folder / "clicks")[0],
    ]
