"""A bias that was planted is found and taken out; what is content stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.features.positional_bias import WithoutPositionalBias
from mis_lightning.merge_tree.ward import build_merge_tree


class Planted:
    """Mean colours of patches of 8 pixels in 3 of 12 channels; the place, strongly, in 2 others."""

    def __init__(self, bias: float = 300.0) -> None:
        self.mixing = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0].astype(np.float32)
        self.bias = bias

    def __call__(self, image):
        grid = (image.shape[0] // 8, image.shape[1] // 8)
        colours = cv2.resize(image, grid[::-1], interpolation=cv2.INTER_AREA).reshape(-1, 3)
        rows, cols = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
        place = np.stack([rows / grid[0], cols / grid[1]], axis=1) * self.bias
        plain = np.concatenate([colours, place, np.zeros((len(place), 7))], axis=1).astype(np.float32)
        return plain @ self.mixing, grid

    def settings(self):
        return {"extractor": "planted"}


def two_halves() -> tuple[np.ndarray, np.ndarray]:
    """Stripes of two greys: each grey is in all places, so that the bias hides the greys."""
    image = np.full((128, 128, 3), 90, np.uint8)
    image[:, 32:64] = image[:, 96:] = 130
    return image, (image[::8, ::8, 0] > 100)


def split(extractor) -> np.ndarray:
    features, grid = extractor(two_halves()[0])
    return build_merge_tree(features, grid, "full").cut(2).reshape(grid)


def agreement(labels: np.ndarray) -> float:
    same = (labels == two_halves()[1]).mean()
    return float(max(same, 1 - same))


@pytest.mark.parametrize("photographs", [False, True])
def test_a_planted_bias_is_taken_out(tmp_path, photographs) -> None:
    images = None
    if photographs:
        for number in range(6):
            noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
            cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.resize(noise, (96, 64)))
        images = str(tmp_path)
    free = WithoutPositionalBias(Planted(), components=2, images=images, count=6, size=(96, 96))
    assert agreement(split(Planted())) < 0.9  # the place decides
    assert agreement(split(free)) == 1.0
    # Both planted directions are found.
    hidden = np.eye(12, dtype=np.float32)[3:5] @ Planted().mixing
    assert np.linalg.norm(hidden @ free.directions.T, axis=1).min() > 0.97


def test_without_a_bias_content_stays() -> None:
    plain = Planted(bias=0.0)
    free = WithoutPositionalBias(plain, components=1, count=8, size=(64, 64))
    assert agreement(split(free)) == 1.0
    assert free.directions.shape == (1, 12)


def test_settings_and_bad_numbers() -> None:
    free = WithoutPositionalBias(Planted(), components=3)
    assert free.settings()["extractor"] == "planted"
    assert free.settings()["without_positional_bias"]["components"] == 3
    assert free.settings() != WithoutPositionalBias(Planted(), components=4).settings()
    with pytest.raises(InputError, match="`components` >= 1"):
        WithoutPositionalBias(Planted(), components=0)
