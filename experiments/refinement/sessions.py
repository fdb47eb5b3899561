"""Simulated users on the eight sets, with and without each part of the recommended settings.

    python experiments/refinement/sessions.py --half report --limit 12

Sessions go to --folder, one line of JSON an object; what is there already is not asked again. The table has
the difference to the first variant with its paired bootstrap interval (95 %).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sets import SETS, some

from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.json_lines import append_line, read_lines
from mis_lightning.metrics.functional import number_of_clicks, regressions
from mis_lightning.metrics.summary import THRESHOLDS
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.registry import open_segmenter

VARIANTS: Mapping[str, Callable[[], Any]] = {
    "published": lambda: open_segmenter("mis-small:published"),
    "no-tree": lambda: open_segmenter("mis-small", refinement=None),
    "recommended": lambda: open_segmenter("mis-small"),
    "no closer look": lambda: open_segmenter("mis-small", closer_look=None),
    "no colour cut": lambda: open_segmenter("mis-small", colour_cut=None),
    "looks once": lambda: _looking_once(),
    "everywhere": lambda: open_segmenter("mis-small", refinement=Refinement()),
    **{
        f"feedback {share}": lambda share=share: open_segmenter(
            "mis-small", refinement=Refinement(feedback=share)
        )
        for share in (0.0, 0.5, 1.0)
    },
    "cv2.grabCut": lambda: open_segmenter("cv2.grabCut"),
    "merge-tree": lambda: open_segmenter("merge-tree"),
}
"""What is compared: the published protocol; first look and small crops alone; with the tree, as recommended;
that without a closer look, a colour cut, a second look, and where a click may change everything; other shares
of feedback; the baselines. Older figures are without what came later."""


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS)[:3], choices=list(VARIANTS))
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--half", default="report", choices=["development", "report"])
    parser.add_argument("--limit", type=int, default=10**6, help="objects of a set at most, evenly spaced")
    parser.add_argument("--folder", type=Path, default=Path("runs/refinement"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for name in options.sets:
        chosen = some(name, options.half, options.limit)
        done = {}
        for variant in options.variants:
            file = options.folder / f"{name}.{options.half}.{variant}.jsonl"
            by_name = {line["name"]: line for line in map(json.loads, read_lines(file))}
            segmenter = VARIANTS[variant]()
            for sample in chosen:
                if sample.name in by_name:
                    continue
                session = simulate_session(segmenter, sample, EvaluationSettings(target_iou=None))
                line = {
                    "name": sample.name,
                    "ious": [round(float(value), 5) for value in session.ious],
                    "far": [None if np.isnan(share) else round(float(share), 4) for share in session.far],
                    "ms": round(1e3 * session.model_seconds / len(session.ious), 1),
                }
                append_line(file, line)
                by_name[sample.name] = line
            done[variant] = [by_name[sample.name] for sample in chosen]
        print(f"\n{name}, {options.half}: {len(chosen)} objects\n{table(done)}", flush=True)


def _looking_once() -> Any:
    """As recommended, but that a click on a gross error does not look again."""
    segmenter = open_segmenter("mis-small")
    once = replace(segmenter.prediction.first_look, again=0.0)
    return open_segmenter("mis-small", first_look=once)


def table(done: Mapping[str, list[dict[str, Any]]]) -> str:
    """One row a variant."""
    rows, base = [], None
    for variant, lines in done.items():
        noc = np.array([[number_of_clicks(line["ious"], t) for t in THRESHOLDS] for line in lines], float)
        far = [share for line in lines for share in line["far"][1:] if share is not None]
        ious = np.array([line["ious"] for line in lines])
        row = f"{variant:14s} NoC@80/85/90 " + " / ".join(f"{value:5.2f}" for value in noc.mean(0))
        row += f"  never {int((noc[:, 2] >= 20).sum()):2d}  IoU@1/5/10 "
        row += " ".join(f"{ious[:, k - 1].mean():.3f}" for k in (1, 5, 10))
        row += f"  regressions {np.mean([regressions(line['ious']) for line in lines]):.2f}"
        row += f" (above 0.002: {(np.diff(ious, axis=1) < -0.002).sum(1).mean():.2f})"
        row += f"  far {np.mean(far):.3f}  ms {np.median([line['ms'] for line in lines]):.0f}"
        if base is None:
            base = noc
        else:
            generator, change = np.random.default_rng(0), noc - base
            drawn = [change[generator.integers(len(change), size=len(change))].mean(0) for _ in range(2000)]
            low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
            row += "  difference " + ", ".join(
                f"@{100 * t:g} {change[:, k].mean():+.2f} [{low[k]:+.2f}, {high[k]:+.2f}]"
                for k, t in enumerate(THRESHOLDS)
                if k
            )
        rows.append(row)
    return "\n".join(rows)


if __name__ == "__main__":
    main()
