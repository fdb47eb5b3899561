"""Initial points: count laws by chi-square, regions by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.errors import InputError


def blob(height: int = 60, width: int = 70) -> np.ndarray:
    row, col = np.mgrid[:height, :width]
    return ((row - 25) / 14) ** 2 + ((col - 30) / 20) ** 2 < 1


def halves(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = len(points) // 2
    return tuple(part[part[:, 2] >= 0] for part in (points[:half], points[half:]))


def draw_many(sampler: InitialPoints, mask: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray]:
    """All positive and all negative pixels of many draws."""
    generator = np.random.default_rng(3)
    drawn = [halves(sampler(mask, generator)) for _ in range(times)]
    return tuple(np.concatenate(parts)[:, :2].astype(int) for parts in zip(*drawn, strict=True))


def seen(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    found = np.zeros(shape, bool)
    found[tuple(pixels.T)] = True
    return found


def ring(mask: np.ndarray) -> np.ndarray:
    """Pixels within Chebyshev distance ceil(0.1 sqrt(area)) of the mask, by looking at each."""
    radius = int(np.ceil(0.1 * np.sqrt(mask.sum())))
    near = np.zeros_like(mask)
    for row, col in np.ndindex(mask.shape):
        near[row, col] = mask[
            max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1
        ].any()
    return near & ~mask


def interior(mask: np.ndarray, reach: int = 3) -> np.ndarray:
    inside = np.zeros_like(mask)
    for row, col in np.ndindex(mask.shape):
        inside[row, col] = mask[
            max(row - reach, 0) : row + reach + 1, max(col - reach, 0) : col + reach + 1
        ].all()
    return inside


def test_layout():
    points = InitialPoints()(blob(), np.random.default_rng(0))
    assert points.shape == (48, 3)
    assert points.dtype == np.float32
    for half in (points[:24], points[24:]):
        used = half[:, 2] == 100
        assert (half[~used] == -1).all()
        assert not (used[1:] & ~used[:-1]).any()  # filled rows come first
    assert points[0, 2] == 100


def test_same_generator_same_points():
    first, second = (InitialPoints()(blob(), np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_count_laws():
    sampler, mask, times = InitialPoints(), blob(), 2500
    generator = np.random.default_rng(0)
    counts = np.array([[len(part) for part in halves(sampler(mask, generator))] for _ in range(times)])
    for column, lowest, choices in ((0, 1, 24), (1, 0, 25)):
        law = 0.8 ** np.arange(choices)
        observed = np.bincount(counts[:, column] - lowest, minlength=choices)
        assert len(observed) == choices
        assert chisquare(observed, times * law / law.sum()).pvalue > 0.01
    assert counts[:, 0].mean() == pytest.approx(4.89, abs=0.3)
    assert (counts[:, 1] == 0).mean() == pytest.approx(0.201, abs=0.03)


def test_positive_points_are_uniform_in_the_eroded_object():
    mask = blob()
    positive, _ = draw_many(InitialPoints(erode_probability=1), mask, 1500)
    inside = interior(mask)
    np.testing.assert_array_equal(seen(positive, mask.shape), inside)
    counts = np.zeros(mask.shape)
    np.add.at(counts, tuple(positive.T), 1)
    assert chisquare(counts[inside]).pvalue > 0.01


def test_the_image_border_does_not_erode():
    mask = np.zeros((12, 12), bool)
    mask[:6, :6] = True
    positive, _ = draw_many(InitialPoints(erode_probability=1), mask, 200)
    expected = np.zeros_like(mask)
    expected[:3, :3] = True
    # 9 pixels are too few: the whole object is used
    np.testing.assert_array_equal(seen(positive, mask.shape), mask)
    positive, _ = draw_many(InitialPoints(erode_probability=1, min_eroded=8), mask, 200)
    np.testing.assert_array_equal(seen(positive, mask.shape), expected)


@pytest.mark.parametrize(("rows", "cols", "kept"), [(8, 11, False), (7, 17, True)])
def test_eroded_object_needs_more_than_10_pixels(rows, cols, kept):
    mask = np.zeros((24, 24), bool)
    mask[5 : 5 + rows, 5 : 5 + cols] = True
    eroded = interior(mask)
    assert eroded.sum() == (11 if kept else 10)
    positive, _ = draw_many(InitialPoints(erode_probability=1), mask, 300)
    np.testing.assert_array_equal(seen(positive, mask.shape), eroded if kept else mask)


def test_erosion_happens_nine_times_in_ten():
    mask, generator = blob(), np.random.default_rng(5)
    edge = mask & ~interior(mask)
    share_in_edge = edge.sum() / mask.sum()
    first = np.array([InitialPoints()(mask, generator)[0, :2].astype(int) for _ in range(2000)])
    observed = edge[tuple(first.T)].mean()
    assert observed == pytest.approx(0.1 * share_in_edge, abs=3 * np.sqrt(0.1 * share_in_edge / 2000))


def test_negative_points_come_half_from_the_ring():
    mask = blob()
    around = ring(mask)
    _, negative = draw_many(InitialPoints(background_probability=0), mask, 1000)
    np.testing.assert_array_equal(seen(negative, mask.shape), around)
    _, negative = draw_many(InitialPoints(background_probability=1), mask, 1500)
    found = seen(negative, mask.shape)
    assert not found[mask].any()
    assert found[~mask].mean() == pytest.approx(1 - np.exp(-len(negative) / (~mask).sum()), abs=0.02)
    _, negative = draw_many(InitialPoints(), mask, 1000)
    share = 0.5 + 0.5 * around.sum() / (~mask).sum()
    observed = around[tuple(negative.T)].mean()
    assert observed == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(negative)))


def test_ring_at_the_image_border():
    mask = np.zeros((30, 20), bool)
    mask[:12, 9:] = True
    _, negative = draw_many(InitialPoints(background_probability=0), mask, 500)
    np.testing.assert_array_equal(seen(negative, mask.shape), ring(mask))


def test_empty_mask_has_negative_points_everywhere():
    for probability in (0, 1):
        sampler = InitialPoints(background_probability=probability)
        positive, negative = draw_many(sampler, np.zeros((9, 8), bool), 300)
        assert len(positive) == 0
        assert seen(negative, (9, 8)).all()


def test_full_mask_has_no_negative_points():
    positive, negative = draw_many(InitialPoints(), np.ones((9, 8), bool), 100)
    assert len(negative) == 0
    assert len(positive) > 0


def test_options_out_of_range():
    with pytest.raises(InputError, match="max_points"):
        InitialPoints(max_points=0)
    with pytest.raises(InputError, match="gamma"):
        InitialPoints(gamma=1.5)
