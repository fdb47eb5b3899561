"""Train the small preset on the regions of every source, equally long, and test each on GrabCut.

    MIS_DATA_DIR=data python experiments/compare_sources.py --images data/bsds_unlabelled

For each source of ``configs/sources/`` that needs no weights: ``mis precompute``, ``mis fit``, ``mis test``,
one after another, with the same options; only the source's config differs. True masks need images with masks:
those are the bundled photographs and the outlines on them, so merge trees are run on these photographs, too.
GrabCut is looked for in ``MIS_DATA_DIR``, as ``configs/cpu.yaml`` has it.

Started again it goes on where it was: what is done is kept, training continues from its last checkpoint.
``--dry-run`` prints the commands. What follows ``--`` is given to every ``fit`` and ``test``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mis_lightning.commands.region_quality import region_shares
from mis_lightning.data.bundled import BundledBenchmark, bundled_images
from mis_lightning.images import list_images
from mis_lightning.regions.store import SUFFIX, RegionStore

ROOT = Path(__file__).parents[1]
MIS = (sys.executable, "-m", "mis_lightning")
ON_PHOTOGRAPHS = ("--data.regions_per_image=32",)  # seven images make batches as large as many images do


@dataclass(frozen=True)
class Row:
    """One row of the table: a source's config, and the images it is trained on."""

    source: str
    photographs: bool = False

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.source}_photographs" if self.photographs else self.source


ROWS = (
    Row("segment_unions"),
    Row("merge_tree"),
    Row("tokencut"),
    Row("deep_spectral"),
    Row("free_mask"),
    Row("merge_tree", photographs=True),
    Row("true_masks", photographs=True),
)
TITLES = ("source", "regions/image", "images/s", "NoC@85", "NoC@90", "IoU@1", "IoU@5", "IoU@10")


def main(args: Sequence[str] | None = None) -> int:
    """Run what is left to do; the exit status is that of the first command that failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of unlabelled images")
    parser.add_argument("--count", type=int, default=150, help="images used (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("runs/sources"), help="where everything goes")
    parser.add_argument("--only", nargs="+", choices=[row.name for row in ROWS], help="rows (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands")
    words = list(sys.argv[1:] if args is None else args)
    cut = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:cut])
    folder: Path = given.folder.resolve()
    rows = [row for row in ROWS if given.only is None or row.name in given.only]
    if not given.dry_run:
        write_lists(folder, list_images(given.images)[: given.count])
    for number, row in enumerate(rows, 1):
        print(f"[{number}/{len(rows)}] {row.name}", flush=True)
        for command in commands(row, folder, words[cut + 1 :]):
            print(f"$ {shlex.join(command)}", flush=True)
            if given.dry_run:
                continue
            if command[len(MIS)] == "precompute":  # from the start, so that its speed means something
                shutil.rmtree(folder / row.name / "store", ignore_errors=True)
            status = subprocess.run(command, check=False).returncode
            if status:
                print(f"{row.name} failed; start again to go on.", file=sys.stderr)
                return status
            if command[len(MIS)] == "fit":
                (folder / row.name / "trained").touch()
            if command[len(MIS)] == "precompute":
                note = describe(folder / row.name / "store")
                (folder / row.name / "store.json").write_text(json.dumps(note) + "\n", encoding="utf-8")
    if not given.dry_run:
        text = table(folder, rows)
        (folder / "table.md").write_text(text + "\n", encoding="utf-8")
        print(text)
    return 0


def write_lists(folder: Path, images: Sequence[Path]) -> None:
    """Write the list of images, and the photographs with a map of the objects beside them.

    An outline that lies on a larger one, a part of it, has no place in a map and is left out.
    """
    photographs, maps = folder / "photographs", folder / "photographs-masks"
    for place in (photographs, maps):
        place.mkdir(parents=True, exist_ok=True)
    (folder / "images.txt").write_text("".join(f"{path.resolve()}\n" for path in images), encoding="utf-8")
    benchmark = BundledBenchmark()
    samples = [benchmark[index] for index in range(len(benchmark))]
    for path in bundled_images():
        shutil.copyfile(path, photographs / path.name)
        masks = [sample.mask for sample in samples if sample.name.startswith(f"{path.name}#")]
        labels = np.zeros(masks[0].shape, np.uint8)
        for mask in sorted(masks, key=np.count_nonzero, reverse=True):
            if not labels[mask].any():
                labels[mask] = labels.max() + 1
        Image.fromarray(labels).save(maps / f"{path.stem}.png")


def commands(row: Row, folder: Path, extra: Sequence[str]) -> list[list[str]]:
    """The commands left to do for a row, in order."""
    place = folder / row.name
    images = folder / ("photographs" if row.photographs else "images.txt")
    configs = ("cpu", ROOT / "experiments" / "few_minutes.yaml", f"sources/{row.source}")
    options = [f"--config={config}" for config in configs]
    options += [f"--data.images={images}", f"--data.store={place / 'store'}"]
    logger = "--trainer.logger.init_args."
    trained = [*options, *(ON_PHOTOGRAPHS if row.photographs else ())]
    trained += [f"--trainer.default_root_dir={place}", f"{logger}save_dir={place}", f"{logger}version="]
    last = place / "checkpoints" / "last.ckpt"
    todo = []
    if not (place / "store.json").is_file():
        todo.append([*MIS, "precompute", *options])
    if not (place / "trained").is_file():
        resume = [f"--ckpt_path={last}"] if last.is_file() else []
        todo.append([*MIS, "fit", *trained, f"{logger}name=fit", *extra, *resume])
    if not (place / "test" / "results.json").is_file():
        todo.append([*MIS, "test", *trained, f"{logger}name=test", *extra, f"--ckpt_path={last}"])
    return todo


def describe(store: Path) -> dict[str, float]:
    """Say what a store holds.

    Returns:
        ``regions`` of an image on average (of a tree all nodes but the root), share of images ``without``
        any, ``images``, and ``images_per_second`` between the first record and the last.
    """
    regions = RegionStore(store)
    keys = regions.keys()
    counts = [len(region_shares(regions.load(key))) for key in keys]
    times = sorted(path.stat().st_mtime for path in store.rglob(f"*{SUFFIX}"))
    return {
        "regions": float(np.mean(counts)),
        "without": float(np.mean(np.equal(counts, 0))),
        "images": len(counts),
        "images_per_second": (len(times) - 1) / max(times[-1] - times[0], 1e-9),
    }


def table(folder: Path, rows: Sequence[Row]) -> str:
    """The rows that are done, in Markdown."""
    lines = [f"| {' | '.join(TITLES)} |", f"|{'---|' * len(TITLES)}"]
    for row in rows:
        note = json.loads((folder / row.name / "store.json").read_text(encoding="utf-8"))
        result = json.loads((folder / row.name / "test" / "results.json").read_text(encoding="utf-8"))
        values = result["benchmarks"]["GrabCut"]["values"]
        label = row.name.replace("_photographs", f", {note['images']} photographs").replace("_", " ")
        regions = f"{note['regions']:.1f}" + (f" ({note['without']:.0%} none)" if note["without"] else "")
        cells = [label, regions, f"{note['images_per_second']:.1f}"]
        cells += [f"{values[name]:.2f}" for name in ("noc@85", "noc@90")]
        cells += [f"{values[name]:.3f}" for name in ("iou@1", "iou@5", "iou@10")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
