"""The bilateral solver against a dense solution of the same system, built pixel by pixel."""

from __future__ import annotations

import numpy as np

from mis_lightning.regions.bilateral_solver import bilateral_grid, bilateral_solve


def image_of(seed, size=(9, 11)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def cells_of(image, space=4, luma=32, chroma=16):
    """Grid coordinates of each pixel, one by one, from docs/protocol.md#bilateral-solver."""
    cells = []
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            r, g, b = (int(v) for v in image[row, column])
            y = 0.299 * r + 0.587 * g + 0.114 * b
            u = -0.168736 * r - 0.331264 * g + 0.5 * b + 128
            v = 0.5 * r - 0.418688 * g - 0.081312 * b + 128
            cells.append(
                (int(column / space), int(row / space), int(y / luma), int(u / chroma), int(v / chroma))
            )
    return cells


def test_cells_and_neighbours_are_those_of_the_spec():
    image = image_of(0)
    splat, blur = bilateral_grid(image, (4, 32, 16))
    cells = cells_of(image)
    names = sorted(set(cells), key=lambda cell: cell[::-1])
    assert splat.shape == (len(names), 99)
    number = {cell: int(splat[:, pixel].nonzero()[0][0]) for pixel, cell in enumerate(cells)}
    assert len(set(number.values())) == len(names)
    dense = blur.toarray()
    for a in names:
        for b in names:
            apart = sum(abs(x - y) for x, y in zip(a, b, strict=True))
            assert dense[number[a], number[b]] == {0: 10, 1: 1}.get(apart, 0)


def test_the_solution_is_that_of_a_dense_system():
    image = image_of(1)
    image[:, :5] //= 8
    target = np.random.default_rng(2).random(image.shape[:2])
    splat, blur = (part.toarray() for part in bilateral_grid(image, (4, 32, 16)))
    mass, scale = splat.sum(1), np.ones(len(splat))
    for _ in range(10):
        scale = np.sqrt(scale * mass / (blur @ scale))
    blurred = scale * (blur @ scale)
    system = 256 * (np.diag(blurred) - np.diag(scale) @ blur @ np.diag(scale)) + np.diag(0.999 * mass)
    expected = splat.T @ np.linalg.solve(system, splat @ (0.999 * target.ravel()))
    solved = bilateral_solve(target, image, (4, 32, 16))
    np.testing.assert_allclose(solved.ravel(), expected, atol=2e-3)  # conjugate gradients stop at 25 steps


def test_a_map_that_is_the_same_everywhere_stays_so():
    solved = bilateral_solve(np.full((20, 30), 0.7), image_of(3, (20, 30)))
    np.testing.assert_allclose(solved, 0.7, atol=1e-12)
