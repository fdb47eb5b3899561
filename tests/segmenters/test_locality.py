"""A click changes the mask near the click."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter, label

from mis_lightning.segmenters.locality import keep_near
from mis_lightning.structures import Click


def smooth(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return gaussian_filter(random.standard_normal(shape), 2) > 0


@pytest.mark.parametrize("seed", range(30))
def test_it_is_the_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (int(random.integers(1, 50)), int(random.integers(2, 150)))
    before, after = smooth(random, shape), smooth(random, shape)
    before[0, 0] = True
    row, col = int(random.integers(shape[0])), int(random.integers(shape[1]))
    positive, limit, reach = bool(random.random() < 0.5), float(random.choice([0, 1, 5, 20])), 2.5
    after[row, col] = positive
    kept = keep_near(before, after, [Click(row, col, positive)], limit, reach)

    changed = (before != after) & (after == positive)
    depth = distance_transform_edt(before != positive)[row, col] if (before == positive).any() else np.inf
    limit *= 0.5 if positive else 1
    if depth < limit:
        rows, cols = np.ogrid[: shape[0], : shape[1]]
        changed &= np.hypot(rows - row, cols - col) <= reach * depth / (1 - depth / limit)
        pieces, _ = label(changed, np.ones((3, 3)))
        changed &= pieces == pieces[row, col]
    np.testing.assert_array_equal(kept, np.where(changed, positive, before))


def test_a_scribble_reaches_from_each_of_its_clicks() -> None:
    before, after = np.zeros((3, 60), bool), np.ones((3, 60), bool)
    before[0] = True
    clicks = [Click(2, 10, True), Click(2, 40, True)]
    kept = keep_near(before, after, clicks, limit=1e9, reach=3)
    assert kept[2].nonzero()[0].tolist() == [*range(4, 17), *range(34, 47)]


def test_clicks_outside_change_nothing_and_both_labels_do() -> None:
    before, after = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    before[:2], after[1:3] = True, True
    assert (keep_near(before, after, [Click(-1, 0, True)], 1, 3) == before).all()
    clicks = [Click(0, 1, False), Click(2, 2, True)]
    assert (keep_near(before, after, clicks, 1, 3) == after).all()
