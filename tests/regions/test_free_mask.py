"""Free Mask: planted objects, the filters, and a plain computation of every step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.regions import free_mask
from mis_lightning.regions.free_mask import FreeMask, free_masks, passes_filters


def planted(grid=(12, 16)):
    truth = np.zeros(grid, int)
    truth[5:9, 3:8], truth[7:11, 10:14] = 1, 2
    rng = np.random.default_rng(0)
    return (np.eye(3)[truth.ravel()] + 0.03 * rng.standard_normal((truth.size, 3))).astype(np.float32), truth


def test_planted_objects_are_among_the_first_masks():
    features, truth = planted()
    soft, scores = free_masks(features, truth.shape)
    assert (np.diff(scores) <= 0).all()
    for value in (1, 2):
        there = truth == value
        assert any(np.array_equal(answer >= 0.5, there) for answer in soft[:4])


def test_every_step_plainly():
    rng = np.random.default_rng(1)
    grid = (7, 9)
    features = np.zeros((63, 6), np.float32)
    features[:, :5] = rng.standard_normal((63, 5))
    features[0] = 0, 0, 0, 0, 0, 9  # like no other
    few, best = free_masks(features, grid, kept=15)
    soft, scores = free_masks(features, grid, kept=100)
    dense = torch.from_numpy(features.T.reshape(1, 6, *grid).copy())
    vectors = [features[i] for i in range(63)]
    for scale in (0.5, 0.25):
        small = interpolate(dense, scale_factor=scale, mode="bilinear", align_corners=False)[0]
        vectors += [small[:, r, c].numpy() for r in range(small.shape[1]) for c in range(small.shape[2])]
    assert len(vectors) == 63 + 3 * 4 + 1 * 2
    keys = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = []
    for vector in vectors:
        cosine = keys @ (vector / np.linalg.norm(vector))
        answer = (cosine - cosine.min()) / (cosine.max() - cosine.min())
        mask = answer >= 0.5
        if mask.sum() > 1:
            found.append((answer[mask].mean(), answer, mask))
    assert len(found) < len(vectors)  # a query alone is no mask
    found.sort(key=lambda item: -item[0])
    iou = [[(a[2] & b[2]).sum() / (a[2] | b[2]).sum() for b in found] for a in found]
    decayed = []
    for j, (score, _, _) in enumerate(found):
        worst = [max((iou[k][i] for k in range(i)), default=0) for i in range(len(found))]
        better = [iou[i][j] if i < j else 0 for i in range(len(found))]
        factors = [np.exp(-2 * a**2 + 2 * b**2) for a, b in zip(better, worst, strict=True)]
        decayed.append(score * min(factors))
    order = sorted(range(len(found)), key=lambda j: -decayed[j])
    assert len(scores) == len(found)
    np.testing.assert_array_equal(best, scores[:15])
    np.testing.assert_array_equal(few, soft[:15])
    np.testing.assert_allclose(scores, [decayed[j] for j in order], rtol=1e-5)
    np.testing.assert_allclose(soft.reshape(len(found), -1), [found[j][1] for j in order], atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "columns", "passes"),
    [
        ((20, 60), (10, 50), True),
        ((0, 30), (10, 50), False),  # centre 14.5, not below 20
        ((0, 41), (10, 50), False),  # centre 20: must be more
        ((0, 42), (10, 50), True),  # centre 20.5
        ((20, 60), (2, 97), False),  # 95 of 100 columns
        ((20, 60), (2, 96), True),
    ],
)
def test_filters(rows, columns, passes):
    mask = np.zeros((100, 100), bool)
    mask[slice(*rows), slice(*columns)] = True
    assert passes_filters(mask) is passes


def test_the_width_is_that_of_the_projection():
    mask = np.zeros((100, 100), bool)
    mask[50, ::2] = True  # from the first to the last column, but only 50 occupied
    assert passes_filters(mask)
    assert not passes_filters(np.zeros((100, 100), bool))


def photograph():
    image = np.full((96, 128, 3), (40, 90, 40), np.uint8)
    image[40:72, 24:64] = (220, 60, 40)
    return image


def test_masks_of_an_image_come_at_its_size_with_their_scores():
    source = FreeMask(ColourTexture(stride=8))
    image = photograph()
    masks = source.find(image, "a", source.extractor(image))
    assert masks.size == (96, 128)
    assert len(masks) >= 1
    assert (masks.scores >= 0.7).all()
    truth = image[:, :, 0] == 220
    best = max((m & truth).sum() / (m | truth).sum() for m in masks.unpack())
    assert best > 0.8


def test_an_image_without_a_good_mask_has_none():
    source = FreeMask(ColourTexture(stride=8), least_score=1.0, top=0.99)
    image = photograph()
    masks = source.find(image, "a", source.extractor(image))
    assert len(masks) == 0
    assert not source.draw(masks, (96, 128), np.random.default_rng(0)).any()


def test_grids_too_fine_are_refused(monkeypatch):
    monkeypatch.setattr(free_mask, "MAX_QUERIES", 100)
    with pytest.raises(InputError, match="larger stride"):
        free_masks(np.ones((192, 3), np.float32), (12, 16))
    with pytest.raises(InputError, match="kept"):
        FreeMask(ColourTexture(), kept=0)
