"""Sessions of a user with models whose answers can be followed by hand.

Rule: docs/protocol.md#simulated-session.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import (
    EvaluationSettings,
    simulate_session,
    simulate_sessions,
)
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Click, Prompt, Sample

SHAPE = (30, 40)


def painter(image: Tensor, prompt: Prompt) -> Tensor:
    """Squares of 5 x 5 pixels around the clicks, later clicks over earlier ones."""
    logits = torch.full_like(prompt.previous_mask, -9.0)
    half = prompt.points.shape[1] // 2
    for one, clicks in zip(logits, prompt.points, strict=True):
        rows = [
            (order, k < half, row, col) for k, (row, col, order) in enumerate(clicks.tolist()) if order >= 0
        ]
        for _, positive, row, col in sorted(rows):
            r, c = round(row), round(col)
            one[0, max(r - 2, 0) : r + 3, max(c - 2, 0) : c + 3] = 9.0 if positive else -9.0
    return logits


def sample(name: str = "one", *boxes: tuple[int, int, int, int], shape=SHAPE, ignore=None) -> Sample:
    mask = np.zeros(shape, dtype=bool)
    for top, left, height, width in boxes or [(10, 10, 5, 5)]:
        mask[top : top + height, left : left + width] = True
    return Sample(np.zeros((*shape, 3), dtype=np.uint8), mask, ignore, name)


def settings(**changes) -> EvaluationSettings:
    return EvaluationSettings(**changes)


def asking(model, **changes) -> ClickModelSegmenter:
    """The model as a segmenter that looks at the whole image, unless told otherwise."""
    prediction = PredictionSettings(**{"size": SHAPE, "zoom_in": None, "flip": False, **changes})
    return ClickModelSegmenter(model, prediction)


def test_what_changes_far_from_a_click_is_measured() -> None:
    two = sample("two", (2, 2, 5, 5), (20, 20, 5, 5))
    session = simulate_session(asking(painter), two, settings(max_clicks=2))
    assert session.far is not None
    assert session.far.tolist() == [0, 0]  # radius sqrt(50 / pi) = 3.99, corners at 2.83
    session = simulate_session(asking(painter), sample(), settings())
    np.testing.assert_allclose(session.far, [4 / 25])  # radius 2.82: the four corners

    def moody(image: Tensor, prompt: Prompt) -> Tensor:
        """Everything at the first click, nothing at the second."""
        seen = prompt.points[..., 2].amax() < 1
        return torch.full_like(prompt.previous_mask, 9.0 if seen else -9.0)

    session = simulate_session(asking(moody), sample(), settings(max_clicks=3))
    np.testing.assert_allclose(session.far[:2], [1 - 25 / 1200] * 2, atol=0.01)
    assert np.isnan(session.far[2])


def test_one_click_is_enough_for_the_painted_square() -> None:
    session = simulate_session(asking(painter), sample(), settings())
    assert session.clicks == (Click(12, 12, True),)
    assert session.ious.tolist() == [1.0]
    assert session.ious.dtype == np.float32
    assert session.name == "one"


def test_a_sequence_by_hand() -> None:
    # Two boxes, the left one two columns wider (5 x 7); its deepest pixels lie in a row, the first one wins.
    session = simulate_session(asking(painter), sample("two", (10, 5, 5, 7), (10, 25, 5, 5)), settings())
    # 1. (12, 7): paints columns 5-9 of the left square: 25 of 60 pixels.
    # 2. (12, 27), depth 3 against 1 for the strip of 5 x 2: 50 of 60.
    # 3. the strip, first pixel of depth 1: (10, 10) paints rows 8-12 and columns 8-12, of which rows 10-12 of
    #    the strip are right (+6), rows 8-9 (10 pixels) and column 12 of rows 10-12 (3 pixels) are wrong.
    assert session.clicks[:3] == (Click(12, 7, True), Click(12, 27, True), Click(10, 10, True))
    np.testing.assert_allclose(session.ious[:3], [25 / 60, 50 / 60, 56 / 73], rtol=1e-6)


def test_false_positives_draw_negative_clicks() -> None:
    def everything_then_painter(image, prompt):
        return torch.full_like(prompt.previous_mask, 9.0)

    session = simulate_session(asking(everything_then_painter), sample(), settings(max_clicks=3))
    assert session.clicks[0] == Click(12, 12, True)
    assert all(not click.positive for click in session.clicks[1:])
    assert len(set(session.clicks)) == 3
    np.testing.assert_allclose(session.ious, [25 / 1200] * 3)


def test_ignored_pixels_do_not_count() -> None:
    ignore = np.zeros(SHAPE, dtype=bool)
    ignore[:10] = ignore[15:] = ignore[:, 15:] = True
    session = simulate_session(asking(painter), sample("one", (10, 10, 5, 9), ignore=ignore), settings())
    assert session.clicks == (Click(12, 12, True),)
    assert session.ious.tolist() == [1.0]


def test_without_a_target_all_clicks_are_made() -> None:
    session = simulate_session(asking(painter), sample(), settings(target_iou=None, max_clicks=4))
    # The object is complete after one click; what follows are the degenerate negative clicks of the protocol.
    assert session.clicks == (Click(12, 12, True), *[Click(0, 0, False)] * 3)
    assert session.ious.tolist() == [1.0] * 4


def test_min_clicks() -> None:
    assert len(simulate_session(asking(painter), sample(), settings(min_clicks=3)).clicks) == 3


def test_the_budget_ends_a_hopeless_session() -> None:
    session = simulate_session(
        asking(lambda _, prompt: torch.full_like(prompt.previous_mask, -9)), sample(), settings()
    )
    assert len(session.clicks) == len(session.ious) == 20
    assert not session.ious.any()
    assert len(set(session.clicks)) == 20


def test_target_is_reached_by_equality() -> None:
    # 9 of 10 rows: IoU 0.9 to the bit.
    def nine_rows(image, prompt):
        logits = torch.full_like(prompt.previous_mask, -9.0)
        logits[..., :9, :] = 9
        return logits

    one = sample("rows", (0, 0, 10, 40))
    assert len(simulate_session(asking(nine_rows), one, settings()).clicks) == 1
    assert len(simulate_session(asking(nine_rows), one, settings(target_iou=0.901, max_clicks=5)).clicks) == 5


def test_threshold_is_exclusive() -> None:
    def undecided(image, prompt):
        return torch.zeros_like(prompt.previous_mask)

    whole = sample("whole", (0, 0, *SHAPE))
    assert simulate_session(asking(undecided), whole, settings(max_clicks=1)).ious.tolist() == [0.0]
    assert simulate_session(
        asking(undecided, threshold=0.49), whole, settings(max_clicks=1)
    ).ious.tolist() == [1.0]


def test_an_empty_object_gives_nan_and_uses_the_budget() -> None:
    empty = Sample(np.zeros((*SHAPE, 3), np.uint8), np.zeros(SHAPE, bool), None, "empty")
    session = simulate_session(
        asking(lambda _, prompt: torch.full_like(prompt.previous_mask, -9)), empty, settings(max_clicks=3)
    )
    assert np.isnan(session.ious).all()
    assert session.clicks == (Click(0, 0, False),) * 3


def objects(count: int) -> list[Sample]:
    rng = np.random.default_rng(7)
    result = []
    for k in range(count):
        shape = (int(rng.integers(20, 60)), int(rng.integers(20, 60)))
        boxes = [
            (int(rng.integers(15)), int(rng.integers(15)), int(rng.integers(3, 12)), int(rng.integers(3, 12)))
        ]
        boxes += [(10, 8, 5, 5)] * int(rng.integers(2))
        result.append(sample(f"object {k}", *boxes, shape=shape))
    return result


@pytest.mark.parametrize("batch_size", [2, 3, 20])
@pytest.mark.parametrize("target", [0.9, None])
def test_batches_equal_one_by_one(batch_size, target) -> None:
    torch.manual_seed(0)
    noise = nn.Conv2d(4, 1, 3, padding=1)

    def model(image, prompt):
        return painter(image, prompt) + noise(torch.cat([image, prompt.previous_mask], 1))

    chosen, how = settings(target_iou=target, max_clicks=6), {"size": (40, 40), "flip": True}
    expected = [simulate_session(asking(model, **how), one, chosen) for one in objects(8)]
    sizes = []

    def counting(image, prompt):
        sizes.append(len(image) // 2)
        return model(image, prompt)

    sessions = list(simulate_sessions(asking(counting, **how), objects(8), chosen, batch_size))
    assert [s.name for s in sessions] == [f"object {k}" for k in range(8)]
    for session, one in zip(sessions, expected, strict=True):
        assert session.clicks == one.clicks
        np.testing.assert_allclose(session.ious, one.ious, atol=1e-6)
    # A free place is taken at once.
    waiting, active, schedule = [len(one.clicks) for one in expected], [], []
    while waiting or active:
        while waiting and len(active) < batch_size:
            active.append(waiting.pop(0))
        schedule.append(len(active))
        active = [left - 1 for left in active if left > 1]
    assert sizes == schedule


def test_samples_are_read_lazily_and_sessions_come_early() -> None:
    read = []

    def stream():
        for one in objects(6):
            read.append(one.name)
            yield one

    sessions = simulate_sessions(asking(painter), stream(), settings(max_clicks=2), batch_size=2)
    assert read == []
    next(sessions)
    assert len(read) <= 3


def test_no_samples_no_sessions() -> None:
    assert list(simulate_sessions(asking(painter), [], settings())) == []


def test_seconds_cover_loading_and_the_model() -> None:
    def slow(image, prompt):
        time.sleep(0.02)
        return painter(image, prompt)

    def stream():
        for one in objects(4):
            time.sleep(0.03)
            yield one

    began = time.perf_counter()
    sessions = list(
        simulate_sessions(asking(slow), stream(), settings(max_clicks=2, target_iou=None), batch_size=2)
    )
    whole = time.perf_counter() - began
    assert sum(s.model_seconds for s in sessions) >= 4 * 0.02  # 4 objects, 2 clicks, 2 at a time
    assert all(s.seconds >= s.model_seconds + 0.03 for s in sessions)
    assert sum(s.seconds for s in sessions) <= whole


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_clicks": 0}, "max_clicks"),
        ({"min_clicks": 21}, "min_clicks"),
        ({"target_iou": 1.01}, "target_iou"),
        ({"target_iou": 0.0}, "target_iou"),
    ],
)
def test_settings_refuse(changes, named) -> None:
    with pytest.raises(InputError, match=named):
        settings(**changes)


def test_batch_size_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="batch_size"):
        list(simulate_sessions(asking(painter), [], settings(), batch_size=0))
