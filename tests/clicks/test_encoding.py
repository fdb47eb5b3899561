"""Disk maps against counted pixels, brute force and the traced formulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mis_lightning.bench.simulate import plain_disks
from mis_lightning.clicks.encoding import encode_points, pack_points
from mis_lightning.errors import InputError
from mis_lightning.structures import Click


def brute_force(points: np.ndarray, size: tuple[int, int], radius: float) -> np.ndarray:
    half = points.shape[1] // 2
    maps = np.zeros((len(points), 2, *size), np.float32)
    for (sample, channel, row, col), _ in np.ndenumerate(maps):
        for r, c, _ in points[sample, half * channel : half * (channel + 1)]:
            if max(r, c) >= 0 and (row - r) ** 2 + (col - c) ** 2 <= radius**2:
                maps[sample, channel, row, col] = 1
    return maps


def test_radius_5_disk_has_81_pixels():
    maps = encode_points(pack_points([[Click(10, 10, True)]]), (32, 40))
    assert maps.shape == (1, 2, 32, 40)
    assert maps.dtype == torch.float32
    assert maps[0, 0].sum() == 81
    assert maps[0, 0, 5:16, 5:16].sum() == 81
    assert maps[0, 1].sum() == 0


def test_unused_rows_are_ignored():
    assert encode_points(torch.full((2, 6, 3), -1.0), (16, 16)).sum() == 0


@pytest.mark.parametrize(
    ("position", "pixels"),
    [
        ((-1.0, 3.0), 32),  # outside, but valid: max(row, col) >= 0; rows 0..4 of the disk
        ((-1.0, -1.0), 0),
        ((-0.5, -0.25), 0),
        ((-30.0, 4.0), 0),
        ((1e30, 4.0), 0),
    ],
)
def test_positions_outside_the_image(position, pixels):
    points = torch.tensor([[[*position, 0.0], [-1.0, -1.0, -1.0]]])
    maps = encode_points(points, (16, 16))
    assert maps[0, 1].sum() == 0
    # (-1, 3): half-widths 4, 4, 4, 3, 0 in rows 0..4, the left ones cut at column 0
    expected = sum(min(3 + w, 15) - max(3 - w, 0) + 1 for w in (4, 4, 4, 3, 0)) if pixels == 32 else pixels
    assert maps[0, 0].sum() == expected


@pytest.mark.parametrize("radius", [5.0, 2.5, 0.0])
def test_fractional_positions_match_brute_force(radius):
    generator = np.random.default_rng(0)
    points = generator.uniform(-8, 40, (3, 6, 3)).astype(np.float32)
    points[:, :, :2] = (
        np.round(points[:, :, :2] * 4) / 4
    )  # exact in float32, and lets distances equal the radius
    points[0, 1] = points[2, 4] = -1
    expected = brute_force(points, (31, 29), radius)
    drawn = encode_points(torch.from_numpy(points), (31, 29), radius)
    np.testing.assert_array_equal(drawn.numpy(), expected)


def test_plain_comparison_agrees_on_many_random_points():
    points = torch.rand(4, 48, 3, generator=torch.Generator().manual_seed(1)) * 120 - 20
    assert torch.equal(encode_points(points, (90, 70)), plain_disks(points, (90, 70)))


def published_disk(row, col, size, radius):
    """The published map of one click: float32 rows and columns, less a float64 position, in place."""
    rows, cols = (torch.arange(side, dtype=torch.float32) for side in size)
    rows.add_(torch.tensor([-row], dtype=torch.float64))
    cols.add_(torch.tensor([-col], dtype=torch.float64))
    return (rows.square()[:, None] + cols.square()[None] <= radius**2).float()


def test_positions_are_rounded_only_as_distances():
    """Crops of any size for a network of 448 pixels; at two clicks float32 positions move a pixel."""
    random = np.random.default_rng(0)
    clicks = [(random.integers(200, 640, 2), random.random(2)) for _ in range(150)]
    places = [(448 * int(h * y) / h, 448 * int(w * x) / w) for (h, w), (y, x) in clicks]
    crafted = [(448 * 35 / 200, 448 * 133 / 245), (448 * 154 / 385, 448 * 224 / 280)]
    differs = 0
    for row, col in places + crafted:
        points = pack_points([[Click(row, col, True)]])
        found = encode_points(points, (448, 448))
        assert torch.equal(found[0, 0], published_disk(row, col, (448, 448), 5.0))
        differs += not torch.equal(found, encode_points(points.float(), (448, 448)))
    assert differs >= len(crafted)


def test_graphs_leave_batch_and_clicks_free():
    class Draw(torch.nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return encode_points(points, (20, 24))

    example = pack_points([[Click(4, 5, True)], []], half=3)
    batch, half = torch.export.Dim("batch"), torch.export.Dim("half")
    shapes = ({0: batch, 1: 2 * half},)
    with pytest.warns(FutureWarning, match="deprecated"):
        traced = torch.jit.trace(Draw(), example)
    for graph in (traced, torch.export.export(Draw(), (example,), dynamic_shapes=shapes).module()):
        for count, half_rows in ((1, 1), (3, 7)):
            clicks = [Click(9, 2, False), Click(3, 11, True), Click(5, 12.5, True), Click(-1, 23.5, False)]
            points = pack_points([clicks[: half_rows + 1]] * count, half=half_rows)
            assert torch.equal(graph(points), encode_points(points, (20, 24)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_equals_cpu():
    points = torch.rand(4, 48, 3) * 120 - 20
    assert torch.equal(encode_points(points.cuda(), (90, 70)).cpu(), encode_points(points, (90, 70)))


def test_pack_points_layout():
    first = [Click(1, 2, False), Click(3.5, 4, True), Click(5, 6, True)]
    points = pack_points([first, []])
    assert points.dtype == torch.float64
    unused = [-1.0, -1.0, -1.0]
    assert points[0].tolist() == [[3.5, 4, 1], [5, 6, 2], [1, 2, 0], unused]
    assert points[1].tolist() == [unused] * 4
    assert pack_points([[]]).shape == (1, 2, 3)
    assert pack_points([first], half=5).shape == (1, 10, 3)
    assert pack_points([first], half=5)[0, 5].tolist() == [1, 2, 0]


def test_pack_points_of_several_samples():
    clicks = [
        [Click(1, 2, True), Click(3, 4, False), Click(5, 6.5, True)],
        [Click(7, 8, np.False_)],  # as it comes out of an array
        [],
    ]
    none = [-1, -1, -1]
    assert pack_points(clicks).tolist() == [
        [[1, 2, 0], [5, 6.5, 2], [3, 4, 1], none],
        [none, none, [7, 8, 0], none],
        [none, none, none, none],
    ]
    assert pack_points([[Click(1, 2, True)]]).dtype == torch.float64


def test_pack_points_without_room():
    with pytest.raises(InputError, match="at most 1 clicks of a kind per image, but got 2"):
        pack_points([[Click(0, 0, True), Click(1, 1, True)]], half=1)
