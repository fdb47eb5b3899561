"""``mis bench volume``: clicks for the objects of a volume, carried from slice to slice and slice by slice.

A simulated user works on one object at a time until its Dice over all voxels reaches a target:

* *carried*: goes to the slice with the most wrong pixels, at first the one where the object is largest;
  clicks there, where the protocol says (docs/protocol.md#simulated-user), until the slice's own Dice reaches
  the target; carries the object on from there; and goes to the next. Where the object is not on the slice at
  all, one click says so;
* *worst-slice*: the same, but nothing is carried;
* *slice-by-slice*: every slice on its own until its own Dice reaches the target.

Nobody clicks more than 20 times for each slice that the object is on; what was not reached counts as much.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from mis_lightning.annotation.propagation import Carrying
from mis_lightning.annotation.volume import VolumeSession
from mis_lightning.bench.figure import Figure, report
from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.formats.nifti import NiftiSlices
from mis_lightning.instance_maps import instance_ids
from mis_lightning.json_lines import append_line, read_lines
from mis_lightning.metrics.functional import number_of_clicks
from mis_lightning.metrics.saving import saving
from mis_lightning.models.shipped import DEFAULT
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click, Sample

TARGETS = (0.80, 0.85)
PER_SLICE = 20
LEAST_SAVED = 40.0  # percent of the clicks of slice-by-slice work
USUAL = Path("domains", "em_volume")


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench volume``.

    Raises:
        InputError: A volume cannot be read, or an option does not fit.
    """
    options = argparse.ArgumentParser(
        prog="mis bench volume", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = options.add_argument
    add("--volume", type=Path, help="NIfTI; default: $MIS_DATA_DIR/domains/em_volume/raw.nii.gz")
    add("--labels", type=Path, help="its objects, one id each; default: mitochondria.nii.gz beside it")
    add("--model", default=DEFAULT, help="segmenter (default: %(default)s)")
    add(
        "--half",
        default="all",
        choices=["even", "odd", "all"],
        help="half of the ids; settings were chosen on even ones",
    )
    add("--limit", type=int, default=10**6, help="objects at most")
    add("--modes", nargs="+", default=list(MODES), choices=list(MODES), metavar="MODE", help=", ".join(MODES))
    add(
        "--stop",
        type=float,
        default=Carrying.stop,
        help="score at which an object ends (default: %(default)s)",
    )
    add("--sessions", type=Path, metavar="FILE", help="keep each session in FILE, and go on from what it has")
    add("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    folder = Path(os.environ.get("MIS_DATA_DIR", "."), USUAL)
    slices = NiftiSlices(given.volume if given.volume is not None else folder / "raw.nii.gz")
    labels = slices.read_labels(given.labels if given.labels is not None else folder / "mitochondria.nii.gz")
    ids = [id for id in instance_ids(labels.voxels) if given.half in ("all", ("even", "odd")[id % 2])]
    ids = ids[: given.limit]
    if not ids:
        raise InputError("Expected objects in the labels, but there is none of that half.")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    truth = np.stack([labels[k] for k in range(len(slices))])
    images = [slices[k] for k in range(len(slices))]
    segmenter, how = open_segmenter(given.model), Carrying(stop=given.stop)
    sessions: dict[str, dict[int, dict[str, Any]]] = {mode: {} for mode in given.modes}
    for line in read_lines(given.sessions) if given.sessions is not None else []:
        known = json.loads(line)
        sessions.setdefault(known["mode"], {})[known["id"]] = known
    work = [(id, mode) for id in ids for mode in given.modes if id not in sessions[mode]]
    for id, mode in tqdm(work, desc="objects", disable=None):
        done = {"id": id, "mode": mode, **MODES[mode](images, truth == id, segmenter, how)}
        sessions[mode][id] = done
        if given.sessions is not None:
            append_line(given.sessions, done)
    halves = {"even": [id for id in ids if id % 2 == 0], "odd": [id for id in ids if id % 2], "all": ids}
    figures: list[Figure] = []
    for name, part in halves.items():
        if part and (name == "all" or len(part) < len(ids)):
            figures += _figures(name, {mode: [sessions[mode][id] for id in part] for mode in given.modes})
    report(figures, vars(given), given.json)
    return 0


def with_carrying(
    images: Sequence[NDArray[np.uint8]], truth: NDArray[np.bool_], segmenter: Segmenter[Any], how: Carrying
) -> dict[str, Any]:
    """One object, carried on from every slice that is done.

    Args:
        images: The slices, RGB, uint8, ``(H, W, 3)``.
        truth: The object, bool, ``(slices, H, W)``.
        segmenter: Answers the clicks.
        how: When an object ends.

    Returns:
        As JSON values: ``clicks`` to each of :data:`TARGETS`, ``dice`` after each click, ``places`` clicked,
        as ``[slice, row, col, positive]``, and ``seconds``.
    """

    def carry_on(volume: VolumeSession, k: int) -> None:
        for _ in volume.propagate(1, k, how=how):
            pass

    return _worst_slice_first(images, truth, segmenter, carry_on)


def without_carrying(
    images: Sequence[NDArray[np.uint8]], truth: NDArray[np.bool_], segmenter: Segmenter[Any], how: Carrying
) -> dict[str, Any]:
    """One object, the worst slice first, as in :func:`with_carrying`, but nothing is carried."""
    return _worst_slice_first(images, truth, segmenter, lambda volume, k: None)


def slice_by_slice(
    images: Sequence[NDArray[np.uint8]], truth: NDArray[np.bool_], segmenter: Segmenter[Any], how: Carrying
) -> dict[str, Any]:
    """One object, each slice on its own until its Dice reaches the target; as :func:`with_carrying`."""
    began, counts = time.perf_counter(), np.zeros(len(TARGETS), int)
    enough = EvaluationSettings(max_clicks=PER_SLICE, target_iou=_iou(max(TARGETS)))
    for k in map(int, np.flatnonzero(truth.any(axis=(1, 2)))):
        sample = Sample(images[k], truth[k], None, str(k))
        ious = simulate_session(segmenter, sample, enough).ious
        counts += [number_of_clicks(ious, _iou(target), PER_SLICE) for target in TARGETS]
    return {"clicks": counts.tolist(), "seconds": round(time.perf_counter() - began, 2)}


MODES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "carried": with_carrying,
    "worst-slice": without_carrying,
    "slice-by-slice": slice_by_slice,
}


def _worst_slice_first(
    images: Sequence[NDArray[np.uint8]],
    truth: NDArray[np.bool_],
    segmenter: Segmenter[Any],
    carry_on: Callable[[VolumeSession, int], None],
) -> dict[str, Any]:
    began, volume = time.perf_counter(), VolumeSession(images, segmenter)
    budget = PER_SLICE * int(truth.any(axis=(1, 2)).sum())
    places: list[list[Any]] = []
    curve: list[float] = []
    while len(curve) < budget and (not curve or curve[-1] < max(TARGETS)):
        wrong = (truth ^ (volume.labels() == 1)).sum(axis=(1, 2))
        k = int(wrong.argmax())
        for click in _clicks(volume, truth[k], k):
            if click is None:
                volume.act(k, lambda session: session.load_mask(np.zeros(session.shape, np.bool_)))
            else:
                volume.click(k, *click)
            places.append([k, *(click or ())])
            curve.append(_dice(volume.labels() == 1, truth))
        carry_on(volume, k)
        curve[-1] = _dice(volume.labels() == 1, truth)
    return {
        "clicks": [next((n for n, one in enumerate(curve, 1) if one >= t), budget) for t in TARGETS],
        "dice": [round(one, 4) for one in curve],
        "places": places,
        "seconds": round(time.perf_counter() - began, 2),
    }


def _clicks(volume: VolumeSession, truth: NDArray[np.bool_], k: int) -> Iterator[Click | None]:
    """What the user does on one slice until it is good enough, at least once; ``None``: it is not there."""
    if not truth.any():
        yield None
        return
    for _ in range(PER_SLICE):
        mask = volume.labels()[k] == 1
        clicked = next((one.clicks for one in volume.open(k).objects if one.id == 1), ())
        yield next_click(truth, mask, None, clicked)
        if _dice(volume.labels()[k] == 1, truth) >= max(TARGETS):
            return


def _dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return 2 * int(np.count_nonzero(mask & truth)) / int(np.count_nonzero(mask) + np.count_nonzero(truth))


def _iou(dice: float) -> float:
    return dice / (2 - dice)


def _figures(half: str, sessions: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Figure]:
    clicks = {mode: np.array([one["clicks"] for one in kept], float) for mode, kept in sessions.items()}
    count = len(next(iter(clicks.values())))
    figures = [
        Figure(f"{half}, {count} objects, Dice {target:.2f}, {mode}", float(values[:, t].mean()), "clicks")
        for t, target in enumerate(TARGETS)
        for mode, values in clicks.items()
    ]
    if "carried" not in clicks:
        return figures
    carried = clicks.pop("carried")
    for t, target in enumerate(TARGETS):
        for mode, values in clicks.items():
            saved, low, high = (100 * share for share in saving(values[:, t], carried[:, t]))
            goal = LEAST_SAVED if mode == "slice-by-slice" else None
            what = f"{half}, Dice {target:.2f}, saved against {mode}"
            figures += [
                Figure(what, saved, "%", goal, at_least=True),
                Figure("  95 % interval, from", low, "%"),
                Figure("  to", high, "%"),
            ]
    return figures
