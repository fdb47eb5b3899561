"""The GPU's way to choose clicks against the CPU's, with OpenCV's depths and with the kernels interpreted."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch

from mis_lightning.bench.simulate import workload
from mis_lightning.clicks.corrective import add_corrective_clicks, split_errors
from mis_lightning.clicks.corrective_on_gpu import choose_clicks, works_on, write_clicks


def opencv_depths(errors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    padded = [np.pad(error, 1) for error in errors.numpy()]
    depths = np.stack([cv2.distanceTransform(p, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1] for p in padded])
    depths = torch.from_numpy(depths)
    return depths, depths.flatten(1).amax(1)


def test_the_choice_is_that_of_the_cpu():
    points, probability, mask = workload(12, 60, 5)
    probability[3] = mask[3].float()  # nothing to click
    probability[4] = 0.2 * probability[4]  # nothing predicted
    for order in (1, 3):
        expected = add_corrective_clicks(points, probability, mask, order, torch.Generator().manual_seed(1))
        uniform = torch.rand(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        errors = torch.cat(split_errors(probability, mask, 0.49), dim=1)
        position, positive, clicked = choose_clicks(errors, uniform, opencv_depths)
        assert clicked.tolist() == [sample != 3 for sample in range(12)]
        before = points.clone()
        assert torch.equal(write_clicks(points, position, positive, clicked, order), expected)
        assert torch.equal(points, before)


INTERPRETED = """
import cv2, numpy as np, torch
from mis_lightning.clicks.depth_on_gpu import SCALE, depth_inside
generator = np.random.default_rng(0)
for size in [(9, 13), (1, 6), (7, 1)]:
    noise = [cv2.GaussianBlur(generator.standard_normal(size), (0, 0), 1.5) for _ in range(2)]
    error = np.stack([*(n > -0.1 for n in noise), np.ones(size, bool), np.zeros(size, bool)]).view(np.uint8)
    depth, deepest = depth_inside(torch.from_numpy(error))
    for one, found in zip(error, depth.numpy() * SCALE):
        expected = cv2.distanceTransform(np.pad(one, 1), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
        assert abs(found - expected).max() < 1e-4, (size, found, expected)
    assert deepest.tolist() == depth.flatten(1).amax(1).tolist()
depth, deepest = depth_inside(torch.ones(1, 19, 21, dtype=torch.uint8))  # deeper than the steps between looks
assert int(deepest) == int(depth[0, 9, 10]) == 10 * 65536
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton, which torch brings on Linux")
def test_depths_are_opencvs():
    run = [sys.executable, "-c", INTERPRETED]
    subprocess.run(run, check=True, env={**os.environ, "TRITON_INTERPRET": "1"})


def test_a_gpu_that_cannot_leaves_it_to_the_cpu():
    assert not works_on(torch.device("cpu"))
    if not torch.cuda.is_available():
        with pytest.warns(UserWarning, match="chosen on the CPU"):
            assert not works_on(torch.device("cuda:7"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    points, probability, mask = workload(32, 448, 24)
    expected = add_corrective_clicks(points, probability, mask, 1, torch.Generator().manual_seed(0))
    moved = (part.cuda() for part in (points, probability, mask))
    found = add_corrective_clicks(*moved, 1, torch.Generator().manual_seed(0)).cpu()
    # OpenCV's rounding may decide a tie
    assert (found == expected).flatten(1).all(1).sum() >= 30
