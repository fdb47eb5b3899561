"""Boxes, crops and click positions by hand, and each quirk of docs/protocol.md#zoom-in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.segmenters.zoom_in import (
    ROI,
    ZoomIn,
    box_iou,
    candidate_roi,
    choose_roi,
    crop,
    expand,
    full_roi,
    grow,
    paste,
    paste_within,
    to_crop,
    touches_border,
)
from mis_lightning.structures import Click

BIG = (1000, 1000)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (100, 199, (50, 250)),  # 149.5 -+ 100: 49.5 and 249.5 go to the even 50 and 250
        (101, 200, (50, 250)),  # 150.5 -+ 100: 50.5 and 250.5 go to the even 50 and 250
        (102, 201, (52, 252)),  # 151.5 -+ 100: 51.5 and 251.5
        (300, 300, (200, 400)),  # one pixel: the least size, one more than 200 long
        (100, 399, (40, 460)),  # 300 rows: 1.4 times, 249.5 -+ 210 = 39.5 and 459.5
        (0, 9, (0, 104)),  # clamped: 4.5 + 100 = 104.5
        (990, 999, (894, 999)),  # 994.5 - 100 = 894.5
    ],
)
def test_expand_rounds_half_to_even_and_clamps(low, high, expected) -> None:
    roi = expand(ROI(low, high, 500, 500), BIG, ZoomIn())
    assert (roi.row_min, roi.row_max) == expected
    assert (roi.col_min, roi.col_max) == (400, 600)
    roi = expand(ROI(500, 500, low, high), BIG, ZoomIn())
    assert (roi.col_min, roi.col_max) == expected


def test_expand_other_settings() -> None:
    assert expand(ROI(10, 19, 10, 19), BIG, ZoomIn(expansion=2.0, min_size=1)) == ROI(4, 24, 4, 24)


def test_box_iou_is_the_product_of_the_axes() -> None:
    a, b = ROI(0, 9, 0, 9), ROI(5, 14, 5, 14)
    assert box_iou(a, b) == pytest.approx((5 / 15) ** 2)  # the IoU of the areas would be 25 / 175
    assert box_iou(a, a) == 1
    assert box_iou(a, ROI(9, 12, 0, 9)) == pytest.approx(1 / 13)  # bounds are inclusive: one shared row
    assert box_iou(a, ROI(10, 12, 0, 9)) == 0


def test_box_iou_takes_the_hull_as_union() -> None:
    # Disjoint on the rows: the intersection is empty whatever lies between.
    assert box_iou(ROI(0, 1, 0, 9), ROI(8, 9, 0, 9)) == 0
    rows = 2 / 10
    assert box_iou(ROI(0, 9, 0, 9), ROI(4, 5, 0, 9)) == pytest.approx(rows)


def probability(shape: tuple[int, int], *boxes: ROI) -> torch.Tensor:
    result = torch.zeros(shape)
    for box in boxes:
        result[box.row_min : box.row_max + 1, box.col_min : box.col_max + 1] = 0.9
    return result


def test_candidate_is_the_whole_image_before_anything_is_predicted() -> None:
    clicks = [Click(5, 5, True)]
    assert candidate_roi(None, clicks, (300, 400), ZoomIn()) == ROI(0, 299, 0, 399)
    assert candidate_roi(torch.full((300, 400), 0.5), clicks, (300, 400), ZoomIn()) == ROI(0, 299, 0, 399)


def test_candidate_holds_prediction_and_the_integer_part_of_positive_clicks() -> None:
    tight = ZoomIn(expansion=1.0, min_size=1)
    predicted = probability((300, 400), ROI(100, 109, 200, 219))

    def candidate(*clicks: Click) -> ROI:
        return candidate_roi(predicted, clicks, (300, 400), tight)

    def around(*box: int) -> ROI:
        return expand(ROI(*box), (300, 400), tight)

    assert candidate() == around(100, 109, 200, 219)
    assert candidate(Click(50.9, 250.9, True)) == around(50, 109, 200, 250)
    assert candidate(Click(50.0, 250.0, False)) == around(100, 109, 200, 219)


def test_threshold_is_exclusive() -> None:
    predicted = torch.zeros(300, 300)
    predicted[10, 10] = 0.3
    assert candidate_roi(predicted, [], (300, 300), ZoomIn(threshold=0.3)) == full_roi((300, 300))
    assert candidate_roi(predicted, [], (300, 300), ZoomIn(threshold=0.29)) == ROI(0, 110, 0, 110)


def test_roi_is_kept_until_the_candidate_differs_enough() -> None:
    current = ROI(0, 99, 0, 99)
    assert choose_roi(None, current, [], ZoomIn()) == current
    half = ROI(0, 49, 0, 99)  # box IoU exactly 0.5: not below
    assert choose_roi(current, half, [], ZoomIn()) == current
    less = ROI(0, 48, 0, 99)
    assert choose_roi(current, less, [], ZoomIn()) == less


@pytest.mark.parametrize(
    ("row", "col", "inside"),
    [
        (10, 10, True),
        (18, 28, True),
        (18.9, 28.9, True),
        (19, 20, False),  # the last row is part of the ROI, yet counts as outside
        (15, 29, False),
        (9.9, 20, False),
        (15, 9, False),
    ],
)
def test_click_test_is_half_open_and_only_for_positive_clicks(row, col, inside) -> None:
    current, candidate = ROI(10, 19, 10, 29), ROI(10, 19, 10, 30)
    assert choose_roi(current, candidate, [Click(row, col, True)], ZoomIn()) == (
        current if inside else candidate
    )
    assert choose_roi(current, candidate, [Click(row, col, False)], ZoomIn()) == current


def bilinear(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corner to corner, in float64, from the definition."""
    rows = np.arange(size[0]) * (plane.shape[0] - 1) / max(size[0] - 1, 1)
    cols = np.arange(size[1]) * (plane.shape[1] - 1) / max(size[1] - 1, 1)
    r, c = np.floor(rows).astype(int), np.floor(cols).astype(int)
    r2, c2 = np.minimum(r + 1, plane.shape[0] - 1), np.minimum(c + 1, plane.shape[1] - 1)
    fr, fc = (rows - r)[:, None], (cols - c)[None]
    top = plane[np.ix_(r, c)] * (1 - fc) + plane[np.ix_(r, c2)] * fc
    bottom = plane[np.ix_(r2, c)] * (1 - fc) + plane[np.ix_(r2, c2)] * fc
    return top * (1 - fr) + bottom * fr


def test_crop_of_bytes_equals_the_float_image_cropped_and_resized() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (3, 40, 50), dtype=np.uint8)
    roi = ROI(5, 24, 10, 46)
    result = crop(torch.from_numpy(image), roi, (32, 64)).numpy()
    for channel in range(3):
        np.testing.assert_allclose(
            result[channel], bilinear(image[channel, 5:25, 10:47] / 255, (32, 64)), atol=1e-5
        )
    exact = crop(torch.from_numpy(image) / 255, roi, (32, 64)).numpy()
    np.testing.assert_array_equal(result, exact)


@pytest.mark.parametrize("size", [(448, 448), (128, 128), (33, 47)])
def test_image_and_mask_are_those_of_one_map_of_four_channels(size) -> None:
    """To the bit, as the published code resizes them; three channels alone would take another kernel."""
    generator = torch.Generator().manual_seed(0)
    differs = 0
    for height, width in torch.randint(40, 500, (12, 2), generator=generator).tolist():
        image = torch.randint(256, (3, height, width), dtype=torch.uint8, generator=generator)
        mask = torch.rand(1, height, width, generator=generator)
        roi = ROI(height // 5, height - 3, 2, width - width // 4)
        both = torch.cat([image.float() / 255, mask])[None]
        part = both[:, :, roi.row_min : roi.row_max + 1, roi.col_min : roi.col_max + 1]
        expected = torch.nn.functional.interpolate(part, size=size, mode="bilinear", align_corners=True)[0]
        assert torch.equal(crop(image, roi, size), expected[:3])
        assert torch.equal(crop(mask, roi, size), expected[3:])
        alone = torch.nn.functional.interpolate(part[:, :3], size=size, mode="bilinear", align_corners=True)
        differs += not torch.equal(alone[0], expected[:3])
    assert differs > 3 or size == (33, 47)


def test_crop_and_paste_keep_the_corners() -> None:
    image = torch.arange(12.0).reshape(1, 3, 4) / 12
    resized = crop(image, full_roi((3, 4)), (7, 9))[0]
    assert [resized[0, 0], resized[0, -1], resized[-1, 0], resized[-1, -1]] == [
        image[0, 0, 0], image[0, 0, 3], image[0, 2, 0], image[0, 2, 3]
    ]  # fmt: skip
    np.testing.assert_allclose(paste(resized, full_roi((3, 4)), (3, 4)), image[0], atol=1e-6)


def answer(top: int, bottom: int, left: int, right: int, size: tuple[int, int] = (100, 100)) -> torch.Tensor:
    """A block of certainty with inclusive bounds."""
    probability = torch.zeros(size)
    probability[top : bottom + 1, left : right + 1] = 1
    return probability


@pytest.mark.parametrize(
    ("block", "touching"),
    [
        ((30, 50, 30, 50), False),
        ((20, 50, 30, 50), True),  # the first row
        ((30, 60, 30, 50), True),  # the last row
        ((30, 50, 15, 50), True),  # the first column
        ((30, 50, 30, 75), True),  # the last column
        ((21, 59, 16, 74), False),  # one pixel short on all sides
        ((20, 20, 30, 30), False),  # a speck of one pixel, below 2 % of 61
        ((20, 20, 30, 31), True),
    ],
)
def test_a_mask_touches_a_side_of_its_crop(block: tuple[int, int, int, int], touching: bool) -> None:
    assert touches_border(answer(*block), ROI(20, 60, 15, 75), (100, 100), ZoomIn()) is touching


def test_the_image_s_own_border_is_no_side_to_grow_over() -> None:
    whole = answer(0, 99, 0, 99)
    assert not touches_border(whole, full_roi((100, 100)), (100, 100), ZoomIn())
    assert touches_border(whole[:, :80], ROI(0, 99, 0, 79), (100, 100), ZoomIn())
    assert not touches_border(answer(0, 50, 0, 50), ROI(0, 60, 0, 60), (100, 100), ZoomIn())


def test_a_crop_grows_where_the_published_rule_keeps_it() -> None:
    zoom, shape, current = ZoomIn(), BIG, ROI(300, 600, 300, 600)
    cut_off = answer(352, 600, 350, 550, BIG)  # goes on below
    candidate = candidate_roi(cut_off, [], shape, zoom)
    assert choose_roi(current, candidate, [], zoom) == current
    grown = grow(current, cut_off, [], shape, zoom)
    assert grown == ROI(300, 650, 300, 600)  # 476 + 0.7 * 249, and only downwards
    inside = answer(350, 590, 350, 550, BIG)
    assert grow(current, inside, [], shape, zoom) == current


def test_growing_comes_to_an_end_at_the_image() -> None:
    roi = ROI(40, 60, 40, 60)
    for _ in range(20):
        filled = answer(roi.row_min, roi.row_max, roi.col_min, roi.col_max)
        roi = grow(roi, filled, [], (100, 100), ZoomIn(min_size=1))
    assert roi == full_roi((100, 100))


@pytest.mark.parametrize("seed", range(20))
def test_a_window_of_what_is_pasted_is_pasted_alone(seed: int) -> None:
    """Apart, overlapping, one inside the other, or the same."""
    random = np.random.default_rng(seed)
    boxes = [
        ROI(*sorted(random.integers(0, 40, 2).tolist()), *sorted(random.integers(0, 50, 2).tolist()))
        for _ in range(2)
    ]
    roi, window = (boxes[0], boxes[0]) if seed == 0 else boxes
    answer = torch.rand((7, 9), generator=torch.Generator().manual_seed(seed))
    expected = paste(answer, roi, (40, 50))[window.window]
    assert torch.equal(paste_within(answer, roi, window), expected)


def test_paste_is_zero_outside() -> None:
    whole = paste(torch.full((4, 4), 0.7), ROI(2, 5, 3, 9), (10, 12))
    assert whole.shape == (10, 12)
    inside = torch.zeros(10, 12, dtype=torch.bool)
    inside[2:6, 3:10] = True
    assert (whole[~inside] == 0).all()
    np.testing.assert_allclose(whole[inside], 0.7, rtol=1e-6)


def test_clicks_move_without_rounding_also_outside_the_crop() -> None:
    roi = ROI(20, 39, 10, 49)
    assert to_crop(Click(20, 10, True), roi, (100, 100)) == Click(0, 0, True)
    assert to_crop(Click(21, 11, False), roi, (448, 448)) == Click(22.4, 11.2, False)
    assert to_crop(Click(40, 9, True), roi, (100, 100)) == Click(100, -2.5, True)


@pytest.mark.parametrize(
    "bad",
    [
        {"expansion": 0.9},
        {"min_size": 0},
        {"recompute_iou": 1.1},
        {"threshold": 1.0},
        {"threshold": float("nan")},
    ],
)
def test_settings_refuse(bad) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        ZoomIn(**bad)
