"""What is done by hand on a session: obeyed later, kept in the log, undone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mis_lightning.annotation.painting import brush_mask
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.errors import InputError
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Click

SHAPE = (90, 120)


@pytest.fixture(params=["network", "merge tree"])
def segmenter(request, net):
    return ClickModelSegmenter(net, PredictionSettings()) if request.param == "network" else None


@pytest.fixture
def session(image, segmenter) -> AnnotationSession:
    session = AnnotationSession(image, segmenter, name="picture.png")
    session.add_object()
    return session


def test_a_brush_is_obeyed_by_the_answers_to_later_clicks(session) -> None:
    session.click(20, 30)
    session.brush([(70, 80), (70, 110)], 5)
    session.brush([(20, 50), (40, 50)], 3, positive=False)
    painted, erased = (
        brush_mask(p, r, SHAPE) for p, r in [([(70, 80), (70, 110)], 5), ([(20, 50), (40, 50)], 3)]
    )
    for click in [(80, 20, True), (25, 35, True), (50, 100, False), (5, 5, False)]:
        session.click(*click)
        assert session.mask()[painted].all()
        assert not session.mask()[erased].any()
        assert (
            session.mask()[int(click[0]), int(click[1])] == click[2] or painted[int(click[0]), int(click[1])]
        )
    session.click(30, 50)  # on what was erased: the model decides there again
    assert session.mask()[30, 50]
    session.click(70, 100, False)
    assert not session.mask()[70, 100]


def test_a_stroke_takes_away_the_clicks_of_the_other_sign_below_it(session) -> None:
    for click in [(20, 30, True), (70, 20, True), (50, 50, False)]:
        session.click(*click)
    session.brush([(15, 30), (25, 30)], 4, positive=False)
    assert session.objects[0].clicks == (Click(70, 20, True), Click(50, 50, False))
    session.click(80, 100)
    assert not session.mask()[20, 30]
    assert session._current.moment.state.state.clicks == session.objects[0].clicks  # and the segmenter agrees
    session.polygon([(60, 10), (60, 30), (80, 30)], positive=False)
    assert session.objects[0].clicks == (Click(50, 50, False), Click(80, 100, True))
    session.box(10, 12, 49, 59)  # starts over
    session.click(70, 90)
    assert session._current.moment.state.paint is None


def test_what_is_done_by_hand_is_in_the_log_and_replays(session, image, segmenter) -> None:
    session.click(20, 30)
    session.polygon([(5, 60), (5, 110), (25, 110), (25, 60)])
    session.polygon([(10, 80), (10, 90), (20, 90), (20, 80)], positive=False)
    session.brush([(80, col) for col in range(60, 110)], 2.5)
    session.brush([(50, 110)], 1)
    session.fill_holes()
    session.drop_specks()
    session.smooth_border(3)
    session.click(60, 15)
    log = json.loads(json.dumps(session.log()))
    actions = log["objects"][0]["actions"]
    kinds = ["click", "polygon", "polygon", "brush", "brush", "fill", "specks", "smooth", "click"]
    assert [action["kind"] for action in actions] == kinds
    assert actions[3] == {"kind": "brush", "points": [[80, 60], [80, 109]], "radius": 2.5, "positive": True}
    again = AnnotationSession.replay(log, image, segmenter)
    np.testing.assert_array_equal(again.mask(), session.mask())
    record = AnnotationRecord.from_json(json.loads(json.dumps(session.record().to_json())))
    np.testing.assert_array_equal(record.masks[1], session.mask())
    for _ in range(8):  # what was read from a log is undone as what was done here
        again.undo(), session.undo()
        np.testing.assert_array_equal(again.mask(), session.mask())


def test_tidying_obeys_clicks_and_says_when_there_is_nothing_to_do(image) -> None:
    session = AnnotationSession(image)
    session.add_object()
    mask = np.zeros(SHAPE, bool)
    mask[10:40, 10:60] = True
    mask[20:25, 20:25] = mask[30:33, 40:43] = False
    mask[80:82, 80:82] = True
    session.load_mask(mask)
    session.fill_holes()
    assert session.mask()[10:40, 10:60].all()
    with pytest.raises(InputError, match="Nothing changes"):
        session.fill_holes()
    session.drop_specks()
    assert session.objects[0].area == 1500
    session.undo()
    with pytest.raises(InputError, match="Nothing changes"):
        session.drop_specks(pixels=4)  # it has four
    session.click(81, 81)
    with pytest.raises(InputError, match="Nothing changes"):
        session.drop_specks()  # it was clicked on


def test_a_click_is_moved_and_deleted_as_if_it_had_never_been_elsewhere(session, image, segmenter) -> None:
    session.click(5, 5)
    session.scribble([(70, 10), (70, 100)])
    session.click(50, 100, False)
    session.add_object()
    session.select(1)
    clicks = session.objects[0].clicks
    session.move_click(0, 20, 30)
    assert session.objects[0].clicks == (Click(20, 30, True), *clicks[1:])
    session.delete_click(2)  # one of the line
    session.delete_click(len(clicks) - 2)  # the negative one
    other = AnnotationSession(image, segmenter)
    other.add_object()
    other.click(20, 30)
    other.scribble([(70, 10), (70, 100)])
    line = [(c.row, c.col) for c in other.objects[0].clicks[1:]]
    log = other.log()
    log["objects"][0]["actions"][1]["points"] = [list(point) for point in (line[0], *line[2:])]
    log["objects"][0]["actions"][1]["line"] = []  # no longer the line that was drawn
    np.testing.assert_array_equal(
        session.own_mask(), AnnotationSession.replay(log, image, segmenter).own_mask()
    )
    assert session.undo() == "deleted click on object 1"
    for _ in range(2):
        session.undo()
    assert session.objects[0].clicks == clicks
    session.delete_click(0)
    session.undo()
    session.box(10, 12, 49, 59)
    if session.objects[0].clicks:
        with pytest.raises(InputError, match="the middle of a box: undo it instead"):
            session.delete_click(0)


def test_moving_a_click_asks_only_what_follows_it(image, net) -> None:
    session = AnnotationSession(image, ClickModelSegmenter(net, PredictionSettings()))
    session.add_object()
    for k in range(5):
        session.click(10 + 10 * k, 30)
    calls = net.calls
    session.move_click(3, 44, 44)
    assert net.calls == calls + 2
    session.undo()
    session.redo()
    assert net.calls == calls + 2
