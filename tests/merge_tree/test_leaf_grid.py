from __future__ import annotations

import numpy as np
import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.leaf_grid import (
    clicked_leaves,
    leaf_evidence,
    leaf_extractor,
    leaf_pixels,
    obey,
)
from mis_lightning.structures import Click


@pytest.mark.parametrize("shape", [(160, 160), (240, 320), (200, 31), (5, 400)])
def test_evidence_at_the_rois_own_resolution_is_the_aligned_resize_of_the_protocol(shape) -> None:
    logits = np.random.default_rng(0).normal(size=(16, 20)).astype(np.float32)
    pasted = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None, None], size=shape, mode="bilinear", align_corners=True
    )[0, 0].numpy()
    np.testing.assert_allclose(leaf_evidence(logits, shape, shape, 100.0), pasted, atol=2e-5)


def test_a_leaf_reads_the_middle_of_its_pixels() -> None:
    ramp = np.tile(np.arange(12, dtype=np.float32), (12, 1))  # of an ROI of 12 x 12 pixels: the column
    read = leaf_evidence(ramp, (12, 12), (3, 4), 100.0)
    np.testing.assert_allclose(read, np.tile([1.0, 4.0, 7.0, 10.0], (3, 1)), atol=1e-5)


def test_evidence_is_clipped() -> None:
    read = leaf_evidence(np.float32([[-9, 9]]), (4, 6), (4, 6), 2.0)
    assert read.dtype == np.float32
    assert (read.min(), read.max()) == (-2, 2)
    with pytest.raises(InputError, match="`clip`"):
        leaf_evidence(np.float32([[-9, 9]]), (4, 6), (4, 6), 0.0)


def test_an_answer_and_an_roi_of_one_pixel() -> None:
    assert leaf_evidence(np.float32([[3]]), (1, 1), (1, 1), 9.0).tolist() == [[3]]
    assert leaf_evidence(np.float32([[3, 5]]), (1, 1), (1, 1), 9.0).tolist() == [[3]]


def test_every_pixel_has_the_leaf_that_covers_it() -> None:
    shape, grid = (7, 10), (3, 10)
    for row in range(7):
        labels = clicked_leaves([Click(row + 0.9, 4.2, True)], shape, grid)
        (leaf,), (col,) = np.nonzero(labels)
        assert col == 4
        assert leaf * 7 / 3 <= row + 0.9 < (leaf + 1) * 7 / 3 or leaf == row * 3 // 7


def test_the_later_of_two_clicks_in_a_leaf_counts() -> None:
    clicks = [Click(0, 0, True), Click(1, 1, False), Click(3, 0, True), Click(-1, 0, True), Click(0, 4, True)]
    assert clicked_leaves(clicks, (4, 4), (2, 2)).tolist() == [[-1, 0], [1, 0]]
    assert clicked_leaves(clicks[1::-1], (4, 4), (2, 2)).tolist() == [[1, 0], [0, 0]]


def test_pixels_take_the_label_of_their_leaf_away_from_borders() -> None:
    labels = np.zeros((4, 4), bool)
    labels[:, 2:] = True
    pixels = leaf_pixels(labels, (40, 20))
    assert not pixels[:, :10].any()
    assert pixels[:, 10:].all()
    same = leaf_pixels(labels, (4, 4))
    same[0] = True
    assert not labels[0, 0]


def test_a_slanted_border_is_no_staircase() -> None:
    def disc(side: int) -> np.ndarray:
        rows, cols = (np.mgrid[0:side, 0:side] + 0.5) / side
        return (rows - 0.5) ** 2 + (cols - 0.5) ** 2 < 0.3**2

    labels, true = disc(64), disc(512)
    steps = np.repeat(np.repeat(labels, 8, 0), 8, 1)
    assert (leaf_pixels(labels, (512, 512)) != true).sum() < 0.8 * (steps != true).sum()


def test_every_click_is_obeyed() -> None:
    mask = np.zeros((5, 5), bool)
    obey(mask, [Click(1.9, 2.2, True), Click(0, 0, True), Click(0.5, 0.5, False), Click(5, 0, True)])
    assert mask.sum() == 1
    assert mask[1, 2]


def test_the_extractor_sees_an_roi_at_its_own_resolution_up_to_the_limit(recwarn) -> None:
    image = np.zeros((300, 200, 3), np.uint8)
    assert leaf_extractor()(image[:250])[1] == (250, 200)
    assert leaf_extractor()(image)[1] == (256, 171)
    assert leaf_extractor(64)(image)[1] == (64, 43)
    assert not recwarn.list
