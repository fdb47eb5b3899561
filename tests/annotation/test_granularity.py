"""The size of an object as an action: undo, redo, replay, and what starts over without it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mis_lightning.annotation.actions import GranularityAction, action_from_json, action_to_json
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.errors import InputError
from mis_lightning.learning.versions import LearningSegmenter
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.granularity import wanted_area
from mis_lightning.structures import Click
from tests.segmenters.sized_model import NOISE, SETTINGS, SHAPE, SizedModel, sized


def begun() -> AnnotationSession:
    session = AnnotationSession(NOISE, sized())
    session.add_object()
    session.click(120, 160)
    return session


def kinds(session: AnnotationSession) -> list[str]:
    return [action["kind"] for action in session.log()["objects"][0]["actions"]]


def again(session: AnnotationSession) -> AnnotationSession:
    return AnnotationSession.replay(json.loads(json.dumps(session.log())), NOISE, sized())


def test_undo_redo_and_replay() -> None:
    session, masks = begun(), []
    masks.append(session.mask())
    session.set_granularity(0.8)
    masks.append(session.mask())
    assert masks[-1].sum() == pytest.approx(wanted_area(0.8, SHAPE), rel=0.2)
    session.click(100, 150)
    masks.append(session.mask())
    session.set_granularity(0.6)
    masks.append(session.mask())
    assert masks[-1].sum() == pytest.approx(wanted_area(0.6, SHAPE), rel=0.25)
    assert session.objects[0].granularity == 0.6
    assert kinds(session) == ["click", "granularity", "click", "granularity"]
    np.testing.assert_array_equal(again(session).mask(), masks[-1])
    assert session.undoable == "size on object 1"
    for mask in masks[-2::-1]:
        session.undo()
        np.testing.assert_array_equal(session.mask(), mask)
    assert session.objects[0].granularity is None
    for mask in masks[1:]:
        session.redo()
        np.testing.assert_array_equal(session.mask(), mask)
    replayed = again(session)
    for mask in masks[-2::-1]:
        replayed.undo()
        np.testing.assert_array_equal(replayed.mask(), mask)


def test_of_several_values_in_a_row_the_last_counts() -> None:
    session = begun()
    free = session.mask()
    session.click(104, 150)
    before = session.mask()
    for granularity in (0.9, 0.3, 0.7):
        session.set_granularity(granularity)
    once = begun()
    once.click(104, 150)
    once.set_granularity(0.7)
    np.testing.assert_array_equal(session.mask(), once.mask())
    assert session.log()["objects"] == once.log()["objects"]
    version = session.version
    session.set_granularity(0.7)
    assert session.version == version
    session.set_granularity(None)
    np.testing.assert_array_equal(session.mask(), before)
    assert kinds(session) == ["click", "click"]
    session.undo()
    assert session.objects[0].granularity == 0.7

    session = begun()
    session.set_granularity(0.7)
    session.next_look()
    session.set_granularity(None)
    assert kinds(session) == ["click", "granularity", "look", "granularity"]
    np.testing.assert_array_equal(session.mask(), free)
    np.testing.assert_array_equal(again(session).mask(), free)


def test_what_starts_over_forgets_it() -> None:
    session = begun()
    session.set_granularity(0.8)
    for start in (
        lambda: session.box(60, 80, 180, 240),
        lambda: session.load_mask(np.ones(SHAPE, bool)),
        lambda: session.choose_level(120, 160, 3),
    ):
        session.set_granularity(0.8)
        start()
        assert session.objects[0].granularity is None
        told = session.segmenter.model.told
        told.clear()
        session.click(124, 164)
        assert told == [None]


@pytest.mark.parametrize("sharpened", [True, False])
def test_what_was_painted_stays(sharpened: bool) -> None:
    settings = SETTINGS if sharpened else replace(SETTINGS, refinement=None)
    session = AnnotationSession(NOISE, sized(settings))
    session.add_object()
    session.click(120, 160)
    session.brush([(10, 10), (10, 60)], 4)
    session.brush([(120, 100), (120, 220)], 3, False)
    session.set_granularity(0.9)
    mask = session.mask()
    assert mask[10, 10:60].all()
    assert not mask[120, 100:220].any()
    session.click(124, 164)
    assert session.objects[0].granularity == 0.9
    assert session.mask()[10, 10:60].all()
    np.testing.assert_array_equal(again(session).mask(), session.mask())


def test_a_click_that_is_moved_keeps_the_size_and_drops_the_look() -> None:
    session = begun()
    session.set_granularity(0.7)
    session.next_look()
    session.move_click(0, 100, 140)
    assert kinds(session) == ["click", "granularity"]
    assert session.mask()[100, 140]
    assert session.mask().sum() == pytest.approx(wanted_area(0.7, SHAPE), rel=0.2)
    session.delete_click(0)
    assert not session.mask().any()
    session.click(120, 160)
    assert session.mask().sum() == pytest.approx(wanted_area(0.7, SHAPE), rel=0.2)


def test_what_was_learned_then_answers_again() -> None:
    learning = LearningSegmenter(ClickModelSegmenter(SizedModel(), SETTINGS))
    learned = ClickModelSegmenter(SizedModel(share=0.4), SETTINGS)
    session = AnnotationSession(NOISE, learning)
    session.add_object()
    session.click(120, 160)
    name = learning.learn(learned)
    session.set_granularity(0.7)
    (_, action) = session.record().log.objects[0].actions
    assert action == GranularityAction(0.7, by=name)
    assert len(learned.model.told) == 1
    assert learning.takes_granularity
    learning.with_granularity(learning.click([learning.begin(NOISE)], [[Click(9, 9, True)]])[0], 0.7)
    assert len(learned.model.told) == 3


def test_a_model_without_it_refuses_and_nothing_changes(tiny_click_vit) -> None:
    session = AnnotationSession(NOISE, ClickModelSegmenter(tiny_click_vit()))
    session.add_object()
    session.click(120, 160)
    log = session.log()
    session.set_granularity(None)
    with pytest.raises(InputError, match=r"ClickViT-\w+ does not take the size"):
        session.set_granularity(0.5)
    assert session.log() == log
    assert "granularity" not in json.dumps(log["objects"])


@pytest.mark.parametrize("value", [0, 0.25, 1, None])
def test_the_action_as_json(value: float | None) -> None:
    action = GranularityAction(value)
    text = json.dumps(action_to_json(action))
    assert action_from_json(json.loads(text)) == action


@pytest.mark.parametrize("bad", [{"granularity": 1.5}, {"granularity": "all"}, {}, {"granularity": True}])
def test_other_actions_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InputError, match="granularity"):
        action_from_json({"kind": "granularity", **bad})
