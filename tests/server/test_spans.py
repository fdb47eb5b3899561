"""Runs of pixels against a walk over them, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.server.spans import label_spans, mask_spans


def walk(labels):
    spans: dict[int, list[list[int]]] = {}
    for place, label in enumerate(labels.ravel().tolist()):
        if not label:
            continue
        runs = spans.setdefault(label, [])
        if runs and runs[-1][1] == place:
            runs[-1][1] += 1
        else:
            runs.append([place, place + 1])
    return spans


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_those_of_a_walk(seed):
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 12, 2))
    labels = random.integers(0, 4, shape).astype(np.uint16) * np.uint16(100)
    found = {label: spans.tolist() for label, spans in label_spans(labels).items()}
    assert found == walk(labels)
    mask = labels == 100
    assert mask_spans(mask).tolist() == walk(mask).get(1, [])


def test_nothing_and_everything():
    assert label_spans(np.zeros((3, 4), np.uint16)) == {}
    assert mask_spans(np.zeros((3, 4), bool)).shape == (0, 2)
    assert mask_spans(np.ones((3, 4), bool)).tolist() == [[0, 12]]
    assert mask_spans(np.ones((3, 4), bool)).dtype == np.uint32
