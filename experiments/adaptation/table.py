"""What adaptation does on six domains, and to photographs: one row per run, and the table of all rows.

    python experiments/adaptation/table.py --domains nuclei_tissue --conditions frozen "20 masks"

Adapted to even images (masks) or to `unlabelled/`, tested on objects of odd images and on GrabCut, as the
model recommends. Rows go to --folder, one line of JSON each; what is there already is not run again, and a
run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "refinement"))
from sets import DATA, DOMAINS, some

from mis_lightning.cli import main as mis
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_sessions
from mis_lightning.images import list_images
from mis_lightning.instance_maps import instance_ids, read_instances
from mis_lightning.json_lines import append_line, read_lines
from mis_lightning.metrics.functional import number_of_clicks
from mis_lightning.metrics.report import bootstrap_intervals
from mis_lightning.segmenters.registry import open_segmenter

CONDITIONS = ("frozen", "label-free", "5 masks", "20 masks", "all masks")
PHOTOGRAPHS = "GrabCut"
TARGET = 0.85


def main(args: Sequence[str] | None = None) -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--domains", nargs="+", default=list(DOMAINS), choices=DOMAINS)
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--objects", type=int, default=10, help="of a domain, evenly spaced")
    parser.add_argument("--photographs", type=int, default=25, help="objects of GrabCut")
    parser.add_argument("--folder", type=Path, default=Path("runs/adaptation"))
    given, extra = parser.parse_known_args(args)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    file = given.folder / "rows.jsonl"
    rows = [json.loads(line) for line in read_lines(file)]
    for domain in given.domains:
        for condition in given.conditions:
            for seed in [0] if condition == "frozen" else given.seeds:
                model = "mis-small" if condition == "frozen" else None
                for tested, count in ((domain, given.objects), (PHOTOGRAPHS, given.photographs)):
                    learned = None if condition == "frozen" and tested == PHOTOGRAPHS else domain
                    key = {"tested": tested, "domain": learned, "condition": condition, "seed": seed}
                    key |= {"objects": count, "more": extra if learned and condition != "frozen" else []}
                    if any(all(row[name] == key[name] for name in key) for row in rows):
                        continue
                    model = model or adapted(given.folder, domain, condition, seed, extra)
                    rows.append({**key, "ious": sessions(model, tested, count)})
                    append_line(file, rows[-1])
    print(table(rows, given.domains, given.conditions))


def adapted(folder: Path, domain: str, condition: str, seed: int, extra: Sequence[str]) -> str:
    """Run ``mis adapt`` as a user would; the model's folder."""
    name = f"{domain}.{condition}.{seed}".replace(" ", "-")
    out, source = folder / name, DATA / "domains" / domain
    more = ["--out", str(out), "--seed", str(seed), "--hold-back", "0", "--data.num_workers=0", *extra]
    if condition == "label-free":
        images = [str(source / "unlabelled")]
    else:
        count = None if condition == "all masks" else int(condition.split()[0])
        given = folder / f"{name}.given"
        give(source, given, count, seed)
        images = [str(given / "images"), "--masks", str(given / "masks")]
    status = mis(["adapt", *images, *more])
    if status:
        sys.exit(status)
    return str(out)


def give(source: Path, target: Path, count: int | None, seed: int) -> None:
    """Write what a user would have: some objects of even images, drawn by seed, on the images they are on."""
    maps = {path: read_instances(source / "masks" / f"{path.stem}.png") for path in even(source)}
    objects = [(path, instance) for path, labels in maps.items() for instance in instance_ids(labels)]
    order = np.random.default_rng(seed).permutation(len(objects))[:count]
    chosen = [objects[index] for index in order]
    for name in ("images", "masks"):
        (target / name).mkdir(parents=True, exist_ok=True)
    for path in {path for path, _ in chosen}:
        kept = np.isin(maps[path], [instance for other, instance in chosen if other == path])
        labels = np.where(kept, maps[path], 0).astype(np.uint16)
        Image.fromarray(labels).save(target / "masks" / f"{path.stem}.png")
        link = target / "images" / path.name
        if not link.is_symlink():
            os.symlink(path, link)


def even(source: Path) -> list[Path]:
    """The images to adapt to, in the order of their names."""
    return list_images(source / "images")[::2]


def sessions(model: str, tested: str, count: int) -> dict[str, list[float]]:
    """IoU after each click on objects of odd images, until TARGET is reached."""
    chosen = some(tested, "report", count)
    done = simulate_sessions(open_segmenter(model), chosen, EvaluationSettings(target_iou=TARGET), 4)
    return {one.name: [round(float(iou), 5) for iou in one.ious] for one in done}


def table(rows: Sequence[dict[str, Any]], domains: Sequence[str], conditions: Sequence[str]) -> str:
    """One row for each domain and condition: clicks, and what they are less those of the frozen model."""
    lines = [
        "| adapted to | with | runs | NoC@80 / 85 | change @85 | IoU@1 | GrabCut @80 / 85 | change @85 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for domain in domains:
        for condition in conditions:
            cells = [domain.replace("_", " "), condition]
            for tested in (domain, PHOTOGRAPHS):
                frozen = [r for r in rows if r["condition"] == "frozen" and r["tested"] == tested]
                here = [r for r in rows if r["condition"] == condition and r["tested"] == tested]
                if condition != "frozen":
                    here = [r for r in here if r["domain"] == domain]
                if tested == domain:
                    cells.append(str(len(here)))
                cells += cells_of(here, frozen[-1] if frozen else None, tested == domain)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cells_of(rows: Sequence[dict[str, Any]], frozen: dict[str, Any] | None, whole: bool) -> list[str]:
    """Cells of runs that were tested on the same objects: means over runs, then over objects."""
    if not rows:
        return ["", "", ""] if whole else ["", ""]
    names = list(rows[0]["ious"])
    noc = {
        t: np.array([[number_of_clicks(row["ious"][n], t) for n in names] for row in rows], float).mean(0)
        for t in (0.80, TARGET)
    }
    cells = [f"{noc[0.80].mean():.2f} / {noc[TARGET].mean():.2f}"]
    change = ""
    if frozen is not None and set(names) <= set(frozen["ious"]) and rows[0] is not frozen:
        base = np.array([number_of_clicks(frozen["ious"][n], TARGET) for n in names], float)
        low, high = bootstrap_intervals({"d": noc[TARGET] - base}, np.random.default_rng(0))["d"]
        mean = (noc[TARGET] - base).mean()
        change = f"{mean:+.2f} ({mean / base.mean():+.0%}) [{low:+.2f}, {high:+.2f}]"
    cells.append(change)
    if whole:
        cells.append(f"{np.mean([row['ious'][n][0] for row in rows for n in names]):.3f}")
    return cells


if __name__ == "__main__":
    main()
