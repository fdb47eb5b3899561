"""Interpolation of position tables, written out by hand: docs/protocol.md#extractor-positions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import interpolate

from mis_lightning.errors import InputError
from mis_lightning.features.position_table import interpolate_reference, sincos_table


def cubic(x, a=-0.75):
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def sampling_matrix(side, wanted):
    """``(wanted, side)``: the weight of each stored row in each wanted one; the step is 1 / scale."""
    scale = (wanted + 0.1) / side
    matrix = torch.zeros(wanted, side, dtype=torch.float64)
    for i in range(wanted):
        source = (i + 0.5) / scale - 0.5
        for k in range(math.floor(source) - 1, math.floor(source) + 3):
            matrix[i, min(max(k, 0), side - 1)] += cubic(source - k)
    return matrix


def by_hand(table, grid):
    side = math.isqrt(table.shape[1])
    square = table.double().reshape(side, side, -1)
    rows, columns = sampling_matrix(side, grid[0]), sampling_matrix(side, grid[1])
    return torch.einsum("ir,jc,rcd->ijd", rows, columns, square).reshape(1, grid[0] * grid[1], -1)


def random_table(side, channels=3):
    return torch.randn(1, side * side, channels, generator=torch.Generator().manual_seed(side))


@pytest.mark.parametrize(
    ("side", "grid"),
    [(14, (47, 63)), (28, (47, 63)), (37, (47, 63)), (37, (9, 80)), (4, (1, 1)), (4, (2, 8)), (5, (5, 6))],
)
def test_table_is_resampled_as_written_in_the_spec(side, grid):
    table = random_table(side)
    resized = interpolate_reference(table, grid)
    assert resized.shape == (1, grid[0] * grid[1], 3)
    torch.testing.assert_close(resized.double(), by_hand(table, grid), atol=2e-5, rtol=0)


def test_sampling_positions_of_one_axis():
    # Row 3 of 8 from a table of side 4: 3.5 / (8.1 / 4) - 0.5 = 1.228395, so 0.228395 past stored row 1;
    # without the +0.1 it would be 3.5 / 2 - 0.5 = 1.25.
    weights = [interpolate_reference(one_row(k, side=4), (8, 5))[0].reshape(8, 5)[3, 2] for k in range(4)]
    t = 0.228395
    expected = [
        -0.75 * ((1 + t) ** 3 - 5 * (1 + t) ** 2 + 8 * (1 + t) - 4),
        1.25 * t**3 - 2.25 * t**2 + 1,
        1.25 * (1 - t) ** 3 - 2.25 * (1 - t) ** 2 + 1,
        -0.75 * ((2 - t) ** 3 - 5 * (2 - t) ** 2 + 8 * (2 - t) - 4),
    ]
    assert [float(w) for w in weights] == pytest.approx(expected, abs=1e-5)


def one_row(k, side):
    """A table with one channel, 1 in row ``k`` and 0 elsewhere; columns sum to 1 whatever their weights."""
    table = torch.zeros(1, side, side, 1)
    table[:, k] = 1
    return table.reshape(1, side * side, 1)


def test_the_added_tenth_matters():
    table = random_table(28)
    plain = interpolate(table.reshape(1, 28, 28, 3).permute(0, 3, 1, 2), size=(47, 63), mode="bicubic")
    plain = plain.flatten(2).transpose(1, 2)
    assert (interpolate_reference(table, (47, 63)) - plain).abs().max() > 1e-2


def test_rows_use_the_first_side_of_the_grid():
    table = torch.arange(4.0).repeat_interleave(4).reshape(1, 16, 1)  # grows from row to row only
    resized = interpolate_reference(table, (6, 3)).reshape(6, 3)
    assert (resized.diff(dim=0) > 0.1).all()
    torch.testing.assert_close(resized[:, :1].expand(6, 3), resized)


def test_a_square_grid_of_the_same_side_is_the_stored_table():
    table = random_table(14)
    assert interpolate_reference(table, (14, 14)) is table


def test_the_type_comes_back():
    table = random_table(14).to(torch.bfloat16)
    resized = interpolate_reference(table, (20, 11))
    assert resized.dtype == torch.bfloat16
    torch.testing.assert_close(resized.double(), by_hand(table, (20, 11)), atol=2e-2, rtol=1e-2)


def test_a_table_that_is_no_square_is_refused():
    with pytest.raises(InputError, match=r"square position table, but got 15 .*interpolation='timm'"):
        interpolate_reference(torch.zeros(1, 15, 2), (3, 5))


def test_the_sine_table_of_moco_by_hand():
    table = sincos_table(14, 384)
    assert table.shape == (1, 197, 384)
    assert (table[0, 0] == 0).all()
    for row, col, k in ((0, 0, 0), (3, 5, 0), (13, 2, 40), (7, 11, 95)):
        entry, omega = table[0, 1 + 14 * row + col], 10_000 ** (-k / 96)
        expected = [f(place * omega) for place in (row, col) for f in (math.sin, math.cos)]
        assert entry[[k, 96 + k, 192 + k, 288 + k]].tolist() == pytest.approx(expected, abs=1e-6)
