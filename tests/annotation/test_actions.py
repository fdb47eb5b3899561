"""Actions as JSON and back, and clicks along a scribble."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mis_lightning.annotation.actions import (
    BoxAction,
    ClickAction,
    LevelAction,
    MaskAction,
    ScribbleAction,
    action_from_json,
    action_to_json,
    sample_scribble,
)
from mis_lightning.errors import InputError


@pytest.mark.parametrize(
    "action",
    [
        ClickAction(1.5, 2.0, False),
        ScribbleAction(((1.0, 2.0), (3.5, 4.0)), True),
        ScribbleAction(((1.0, 2.0), (3.5, 4.0)), False, ((1, 2), (3, 4))),
        BoxAction(0.0, 1.0, 5.5, 9.0),
        LevelAction(1.0, 2.0, 3),
        MaskAction.of(np.eye(5, dtype=bool)),
    ],
)
def test_actions_come_back(action) -> None:
    assert action_from_json(json.loads(json.dumps(action_to_json(action)))) == action


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"kind": "scribble"},
        {"kind": ["click"], "row": 1, "col": 2},
        {"kind": "click", "row": 1},
        {"kind": "click", "row": 1, "col": 2, "positive": 1},
        {"kind": "scribble", "points": 3},
        {"kind": "scribble", "points": [[1, 2, 3]]},
        {"kind": "scribble", "points": [[1, 2]], "line": [3]},
        {"kind": "level", "row": 1, "col": 2, "level": 1.5},
        {"kind": "level", "row": 1, "col": 2, "level": True},
        {"kind": "mask", "counts": [1, 2]},
    ],
)
def test_other_entries_are_refused(entry) -> None:
    with pytest.raises(InputError, match="Expected a"):
        action_from_json(entry)


def test_positions_beyond_all_bounds_are_off_the_image() -> None:
    for action in (ClickAction(10**400, 1), ClickAction(1, -(10**400)), ClickAction(1, float("nan"))):
        with pytest.raises(InputError, match="on the image"):
            action.clicks((5, 5))


def test_scribbles() -> None:
    shape = (100, 200)  # so clicks are at least 5 pixels apart
    np.testing.assert_allclose(sample_scribble([[10, 10], [10, 40], [30, 40]], shape)[0], (10, 10))
    points = np.array(sample_scribble([[10, 10], [10, 40], [30, 40]], shape))
    assert len(points) == 11
    np.testing.assert_allclose(points[[0, -1]], [[10, 10], [30, 40]])
    along = np.abs(points - (10, 10)).sum(axis=1)  # it runs along the axes
    np.testing.assert_allclose(np.diff(along), 5)
    assert len(sample_scribble([[0, 0], [99.9, 199.9], [0, 0], [99.9, 0]], shape)) == 24
    assert sample_scribble([[7, 8]], shape) == ((7.0, 8.0),)
    assert sample_scribble([[7, 8], [7, 8]], shape) == ((7.0, 8.0),)
    assert sample_scribble([[7, 8], [7, 10]], shape) == ((7.0, 9.0),)  # a short one is a click in its middle


def test_scribbles_never_leave_the_image() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        shape = tuple(int(side) for side in random.integers(1, 50, 2))
        line = random.uniform((0, 0), shape, (int(random.integers(1, 9)), 2))
        points = np.array(sample_scribble(line, shape))
        assert 1 <= len(points) <= 24
        assert ((points >= 0) & (points < shape)).all()
