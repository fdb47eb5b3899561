"""Runs of pixels against a walk over them, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.server.pixel_runs import label_runs, mask_runs


def walk(labels):
    found: dict[int, list[list[int]]] = {}
    for place, label in enumerate(labels.ravel().tolist()):
        if not label:
            continue
        runs = found.setdefault(label, [])
        if runs and runs[-1][1] == place:
            runs[-1][1] += 1
        else:
            runs.append([place, place + 1])
    return found


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_those_of_a_walk(seed):
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 12, 2))
    labels = random.integers(0, 4, shape).astype(np.uint16) * np.uint16(100)
    found = {label: runs.tolist() for label, runs in label_runs(labels).items()}
    assert found == walk(labels)
    mask = labels == 100
    assert mask_runs(mask).tolist() == walk(mask).get(1, [])


def test_nothing_and_everything():
    assert label_runs(np.zeros((3, 4), np.uint16)) == {}
    assert mask_runs(np.zeros((3, 4), bool)).shape == (0, 2)
    assert mask_runs(np.ones((3, 4), bool)).tolist() == [[0, 12]]
    assert mask_runs(np.ones((3, 4), bool)).dtype == np.uint32
