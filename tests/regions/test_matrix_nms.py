"""Matrix NMS by hand and by loops."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.regions.matrix_nms import matrix_nms


def test_three_masks_by_hand():
    masks = np.zeros((3, 8), bool)
    masks[0, :4] = masks[1, 2:6] = masks[2, 6:8] = True  # IoU of the first two: 2 / 6
    scores = matrix_nms(masks, np.array([0.9, 0.8, 0.7]))
    assert scores.tolist() == pytest.approx([0.9, 0.8 * np.exp(-2 / 9), 0.7])


def test_a_mask_decayed_itself_decays_less():
    masks = np.zeros((3, 6), bool)
    masks[0, :4], masks[1, :4], masks[2, :3] = True, True, True
    scores = matrix_nms(masks, np.ones(3))
    # The second is the first again: decay exp(-2). The third overlaps both by 3/4; by the first it decays
    # exp(-2 * 9/16), by the second, itself fully decayed, exp(-2 * 9/16) / exp(-2): the lesser counts.
    assert scores.tolist() == pytest.approx([1, np.exp(-2), np.exp(-9 / 8)])


def test_loops():
    rng = np.random.default_rng(0)
    masks = rng.random((12, 40)) < 0.4
    masks[:, 0] = True
    given = np.sort(rng.random(12))[::-1]
    iou = [[(a & b).sum() / (a | b).sum() for b in masks] for a in masks]
    expected = []
    for j in range(12):
        decays = [1.0]
        for i in range(j):
            worst = max((iou[k][i] for k in range(i)), default=0.0)
            decays.append(np.exp(-2 * iou[i][j] ** 2) / np.exp(-2 * worst**2))
        others = [1 / np.exp(-2 * max((iou[k][i] for k in range(i)), default=0.0) ** 2) for i in range(j, 12)]
        expected.append(given[j] * min(decays + others))  # rows i >= j have IoU 0
    np.testing.assert_allclose(matrix_nms(masks, given), expected, rtol=1e-6)


def test_no_masks():
    assert matrix_nms(np.zeros((0, 5), bool), np.zeros(0)).shape == (0,)
