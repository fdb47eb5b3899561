from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.grey_levels import to_rgb

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def repeat(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def test_to_rgb_leaves_uint8_alone() -> None:
    np.testing.assert_array_equal(to_rgb(RGB), RGB)
    np.testing.assert_array_equal(to_rgb(GREY), repeat(GREY))
    np.testing.assert_array_equal(to_rgb(GREY[..., None]), repeat(GREY))
    np.testing.assert_array_equal(to_rgb(np.dstack([GREY, 255 - GREY])), repeat(GREY))
    np.testing.assert_array_equal(to_rgb(np.dstack([RGB, GREY])), RGB)


def test_to_rgb_bool() -> None:
    np.testing.assert_array_equal(to_rgb(GREY > 9), repeat(np.where(GREY > 9, 255, 0)))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float16", "float32", "float64", "uint8"])
def test_to_rgb_window(dtype: str) -> None:
    values = np.array([[0, 50, 100, 150, 200]]).astype(dtype)
    np.testing.assert_array_equal(to_rgb(values, window=(50, 150))[0, :, 1], [0, 0, 128, 255, 255])


def test_to_rgb_ignores_hot_pixels() -> None:
    values = RNG.integers(1000, 2000, (100, 100), dtype=np.uint16)
    hot = values.copy()
    hot[:4, :10] = 65535  # 0.4 %
    assert np.abs(to_rgb(hot)[10:].astype(int) - to_rgb(values)[10:]).max() <= 3
    naive = (hot / hot.max() * 255).astype(np.uint8)
    assert naive[10:].max() < 10 < 250 < to_rgb(hot)[10:].max()


def test_to_rgb_keeps_hues_but_scales_chosen_channels_alone() -> None:
    stack = np.stack(
        [np.linspace(0, peak, 1000).reshape(20, 50) for peak in (100.0, 1000.0, 10.0, 7.0, 3.0)], -1
    )
    together = to_rgb(stack[..., :3])
    assert together[-1, -1].tolist() == [26, 255, 3]  # the 99.5 % of all values is about 985
    alone = to_rgb(stack, channels=(4, 0, 1))
    assert alone[-1, -1].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(to_rgb(stack, channels=[3]), to_rgb(stack[..., 3]))
    assert (
        to_rgb(stack.astype(np.uint8), channels=(2, 1, 0)).tolist()
        == stack[..., [2, 1, 0]].astype(np.uint8).tolist()
    )


def test_to_rgb_not_finite_values() -> None:
    values = np.linspace(0, 1, 1000).reshape(10, 100)
    values[0, :3] = np.nan, np.inf, -np.inf
    rgb = to_rgb(values)
    assert rgb[0, :3, 0].tolist() == [0, 255, 0]
    np.testing.assert_array_equal(rgb[1:], to_rgb(np.where(np.isfinite(values), values, 0.5))[1:])
    with pytest.raises(InputError, match="no finite value"):
        to_rgb(np.full((3, 3), np.nan))


def test_to_rgb_constant_and_almost_constant() -> None:
    assert to_rgb(np.full((5, 5), 77, dtype=np.uint16)).max() == 0
    sparse = np.zeros((100, 100), dtype=np.float32)
    sparse[50, 50] = 3
    assert to_rgb(sparse)[50, 50].tolist() == [255, 255, 255]


def test_to_rgb_large_offset_is_exact() -> None:
    values = 1e6 + np.linspace(0, 1, 256).reshape(16, 16)
    np.testing.assert_array_equal(to_rgb(values, window=(1e6, 1e6 + 1))[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((4, 4, 7)), {}, "7 channels.*channels=.*moveaxis"),
        (np.zeros((4, 4, 7)), {"channels": (0, 7, 1)}, r"0\.\.6"),
        (np.zeros((4, 4, 7)), {"channels": (0, 1)}, "1 or 3"),
        (np.zeros(4), {}, r"\(4,\)"),
        (np.zeros((0, 4)), {}, r"\(0, 4\)"),
        (np.zeros((2, 3, 4, 5)), {}, "shape"),
        (np.zeros((4, 4), dtype=complex), {}, "complex"),
        (np.zeros((4, 4)), {"window": (3, 3)}, "window"),
        (np.zeros((4, 4)), {"window": (0, np.nan)}, "window"),
        (np.zeros((4, 4)), {"percentile": (50, 20)}, "percentile"),
    ],
)
def test_to_rgb_errors(array: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_rgb(array, **options)


def test_holes_are_said_once_by_all_processes() -> None:
    program = """
import multiprocessing, numpy as np
from mis_lightning.grey_levels import to_rgb
image = np.linspace(0, 1, 90).reshape(9, 10)
def work(_):
    to_rgb(np.where(image < 0.1, np.nan, image))
    to_rgb(np.where(image < 0.1, -9999, image), nodata=-9999)
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        pool.map(work, range(30))
    work(0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert done.stderr.count("Pixels without data") == 1
