"""Corrective clicks against the loop of docs/protocol.md#corrective-clicks and hand-drawn errors."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from mis_lightning.bench.simulate import workload
from mis_lightning.clicks.corrective import add_corrective_clicks, choose_click, depth_bound, depth_inside
from mis_lightning.errors import InputError

UNUSED = torch.full((1, 48, 3), -1.0)


def literal_candidates(probability: np.ndarray, mask: np.ndarray) -> tuple[bool, np.ndarray]:
    """Whether the click is positive, and its candidates: docs/protocol.md#corrective-clicks."""
    depths = []
    for error in (mask & (probability < 0.49), ~mask & (probability > 0.49)):
        padded = np.pad(error, 1).astype(np.uint8)
        depths.append(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1])
    positive = depths[0].max() > depths[1].max()
    return positive, depths[0 if positive else 1] > max(depths[0].max(), depths[1].max()) / 2


def random_maps(seed: int, batch: int = 24, size: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(seed)
    maps = []
    for blur in generator.uniform(0.3, 6, (2 * batch)):
        noise = generator.standard_normal((size, size + 7))
        smooth = cv2.GaussianBlur(noise, (0, 0), blur)
        maps.append(smooth / smooth.std() + generator.normal())
    maps = torch.from_numpy(np.stack(maps).astype(np.float32))[:, None]
    return torch.sigmoid(maps[:batch]), maps[batch:] > 0.3


@pytest.mark.parametrize("seed", range(6))
def test_choice_matches_the_specification(seed):
    probability, mask = random_maps(seed)
    before = torch.full((24, 48, 3), -1.0)
    after = add_corrective_clicks(before, probability, mask, 2, torch.Generator().manual_seed(seed))
    uniform = torch.rand(24, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for sample in range(24):
        positive, candidates = literal_candidates(probability[sample, 0].numpy(), mask[sample, 0].numpy())
        every = np.argwhere(candidates)
        expected = before[sample].clone()
        if len(every):
            row, col = every[int(uniform[sample] * len(every))]
            expected[24 - 2 if positive else 48 - 2] = torch.tensor([row, col, 2])
        assert torch.equal(after[sample], expected)
    assert (before == -1).all()


def test_cropped_depth_is_exact_and_bounded():
    generator = np.random.default_rng(0)
    for _ in range(200):
        blur = generator.uniform(0.3, 5)
        error = cv2.GaussianBlur(generator.standard_normal((33, 37)), (0, 0), blur) > generator.uniform(
            -0.1, 0.1
        )
        error[:, : generator.integers(20)] = False
        padded = np.pad(error, 1).astype(np.uint8)
        full = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
        left, top, width, height = cv2.boundingRect(error.view(np.uint8))
        np.testing.assert_array_equal(depth_inside(error), full[top : top + height, left : left + width])
        assert full.max() <= depth_bound(error)


@pytest.mark.parametrize(
    ("error", "bound"),
    [(np.zeros((5, 5), bool), 0), (np.eye(9, dtype=bool), 2), (np.ones((9, 30), bool), 5)],
)
def test_depth_bound(error, bound):
    assert depth_bound(error) == bound


def test_shallow_error_is_not_measured(monkeypatch):
    missed, wrong = np.zeros((2, 64, 64), bool)
    missed[5:25, 5:25] = True
    wrong[40:44] = True
    measured = []
    monkeypatch.setattr(
        "mis_lightning.clicks.corrective.depth_inside",
        lambda error: measured.append(error) or depth_inside(error),
    )
    assert choose_click(missed, wrong, 0.0)[2]
    assert len(measured) == 1


def test_index_layout_and_order():
    mask = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    mask[0, :, 4:20, 4:20] = True
    probability = torch.zeros(2, 1, 32, 32)
    probability[1, :, 10:21, 10:21] = 1
    points = UNUSED.repeat(2, 1, 1)
    for order in (1, 2, 3):
        points = add_corrective_clicks(points, probability, mask, order, torch.Generator().manual_seed(order))
    assert points[0, 21:24, 2].tolist() == [3, 2, 1]
    assert points[1, 45:48, 2].tolist() == [3, 2, 1]
    assert (points[0, :21] == -1).all()
    assert (points[0, 24:] == -1).all()
    assert (points[1, :45] == -1).all()
    # candidates are deeper than half the depth, 8 and 6
    assert ((points[0, 21:24, :2] >= 8) & (points[0, 21:24, :2] <= 15)).all()
    assert ((points[1, 45:48, :2] >= 13) & (points[1, 45:48, :2] <= 17)).all()


def test_no_click_without_error():
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., 3:9, 3:9] = True
    after = add_corrective_clicks(UNUSED, mask.float(), mask, 1, torch.Generator())
    assert torch.equal(after, UNUSED)
    empty = torch.zeros(1, 1, 16, 16)
    assert torch.equal(add_corrective_clicks(UNUSED, empty, empty.bool(), 1, torch.Generator()), UNUSED)
    exact = torch.full((1, 1, 16, 16), 0.49)  # neither below nor above the threshold
    assert torch.equal(add_corrective_clicks(UNUSED, exact, mask, 1, torch.Generator()), UNUSED)


def test_tie_gives_a_negative_click():
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., 2:7, 2:7] = True
    probability = torch.zeros(1, 1, 16, 16)
    probability[..., 9:14, 9:14] = 1
    after = add_corrective_clicks(UNUSED, probability, mask, 1, torch.Generator())
    assert (after[0, :24] == -1).all()
    assert after[0, 47, 2] == 1


def test_the_image_border_bounds_the_error():
    mask = torch.ones(1, 1, 21, 21, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        row, col, _ = add_corrective_clicks(UNUSED, torch.zeros(1, 1, 21, 21), mask, 1, generator)[
            0, 23
        ].tolist()
        assert 5 <= row <= 15  # depth 11 in the centre; candidates deeper than 5.5 from the outside
        assert 5 <= col <= 15


def test_candidates_are_equally_likely():
    mask = np.zeros((14, 14), bool)
    mask[2:12, 3:11] = True
    nothing = np.zeros_like(mask)
    _, candidates = literal_candidates(nothing.astype(np.float32), mask)
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(4000, generator=generator, dtype=torch.float64).tolist()
    counts = np.zeros(mask.shape)
    for number in uniform:
        row, col, positive = choose_click(mask, nothing, number)
        counts[row, col] += 1
        assert positive
    assert (counts[~candidates] == 0).all()
    assert chisquare(counts[candidates]).pvalue > 0.01


def test_result_does_not_depend_on_threads_layout_or_type():
    points, probability, mask = workload(6, 64, 24)
    results = []
    threads = torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        results.append(add_corrective_clicks(points, probability, mask, 1, torch.Generator().manual_seed(1)))
    torch.set_num_threads(threads)
    flat = (probability[:, 0].requires_grad_(), mask[:, 0].float())
    results.append(add_corrective_clicks(points, *flat, 1, torch.Generator().manual_seed(1)))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert not torch.equal(results[0], points)


def test_order_out_of_range():
    maps = torch.zeros(1, 1, 8, 8)
    for order in (0, 25):
        with pytest.raises(InputError, match=f"1..24, but got {order}"):
            add_corrective_clicks(UNUSED, maps, maps.bool(), order, torch.Generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_equals_cpu():
    points, probability, mask = workload(6, 64, 24)
    expected = add_corrective_clicks(points, probability, mask, 1, torch.Generator().manual_seed(1))
    on_gpu = (points.cuda(), probability.cuda(), mask.cuda())
    got = add_corrective_clicks(*on_gpu, 1, torch.Generator().manual_seed(1))
    assert torch.equal(got.cpu(), expected)
