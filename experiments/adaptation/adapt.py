"""Does ten minutes of label-free adaptation to a few images lower NoC on them?

    python experiments/adaptation/adapt.py --folder runs/adaptation

Tissue, a cell and an eye's background, which scikit-image carries in its package and the shipped model has
never seen; outlines.json has 8 objects on them, drawn by hand for this question alone. The images are also
what is adapted to, as someone with a folder of them would; the outlines play no part in it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.bundled import fill_outlines
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_sessions
from mis_lightning.images import read_image
from mis_lightning.metrics.report import format_table, write_report
from mis_lightning.segmenters.registry import PUBLISHED, open_segmenter
from mis_lightning.structures import Sample

HERE = Path(__file__).parent


class Outlined(Benchmark):
    """The outlined objects; what scikit-image carries is checked by its being there."""

    name = "outlined"
    expected_count = 8
    comparable = False

    def __init__(self) -> None:
        found = importlib.util.find_spec("skimage")
        if found is None or found.origin is None:
            raise SystemExit("scikit-image is missing: pip install scikit-image")
        folder = Path(found.origin).parent / "data"
        images = json.loads((HERE / "outlines.json").read_text(encoding="utf-8"))["images"]
        self.paths = [folder / name for name in images]
        self.objects = [
            (folder / image, name, rings) for image in images for name, rings in images[image].items()
        ]

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> Sample:
        path, name, rings = self.objects[index]
        image = read_image(path)
        return Sample(image, fill_outlines(rings, image.shape[:2]), None, f"{path.name}#{name}")


def main(args: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/adaptation"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given, extra = parser.parse_known_args(args)
    benchmark = Outlined()
    given.folder.mkdir(parents=True, exist_ok=True)
    images = given.folder / "images.txt"
    images.write_text("".join(f"{path}\n" for path in benchmark.paths), encoding="utf-8")
    models = {"before": "mis-small"}
    for seed in given.seeds:
        run = given.folder / f"seed{seed}"
        last = run / "checkpoints" / "last.ckpt"
        if not last.is_file():
            configs = ["--config=cpu", "--config=adapt/own_images"]
            options = [
                f"--data.images={images}",
                f"--seed_everything={seed}",
                f"--trainer.default_root_dir={run}",
            ]
            command = [sys.executable, "-m", "mis_lightning", "fit", *configs, *options, *extra]
            subprocess.run(command, check=True)
        models[f"after, seed {seed}"] = str(last)
    settings = EvaluationSettings(target_iou=None)
    rows = []
    for label, source in models.items():
        samples = (benchmark[index] for index in range(len(benchmark)))
        sessions = list(simulate_sessions(open_segmenter(f"{source}{PUBLISHED}"), samples, settings, 4))
        (row,) = write_report(
            given.folder / label.replace(", ", "-").replace(" ", ""),
            {benchmark.name: sessions},
            {"evaluation": settings, "model": source, "comparable": {benchmark.name: False}},
        )
        rows.append(replace(row, benchmark=label))
    print(format_table(rows))


if __name__ == "__main__":
    main()
