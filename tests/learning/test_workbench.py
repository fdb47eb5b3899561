"""Learning beside an annotator: kept, reopened, reset, exported, and never in the way of a click."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.learning import workbench
from mis_lightning.learning.learner import Learner, LearningSettings
from mis_lightning.learning.memory import Memory
from mis_lightning.learning.versions import KEPT
from mis_lightning.learning.workbench import Workbench
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click

SMALL = LearningSettings(weights=True, size=(32, 32), batch=2, steps=1, rounds=0, photographs=0, rate=1e-2)
LOOK = FirstLook({"node": Weight(0.5, 0.2, 0.3)}, size=(32, 32), most=2)
CLICK = Click(20.0, 20.0, True)


def start(seed: int = 0) -> ClickModelSegmenter:
    torch.manual_seed(seed)
    network = HybridClickViT((32, 32), (4, 4, 8), 8, 1, 2, 1, 2).eval()
    network.to(memory_format=torch.channels_last)  # as models are loaded
    return ClickModelSegmenter(network, PredictionSettings(first_look=LOOK, flip=False))


@pytest.fixture(autouse=True)
def _taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is learned is used: a network of this size is no better than chance. Nobody waits long."""
    monkeypatch.setattr(workbench, "_LOWEST", 0)
    monkeypatch.setattr(Learner, "taken", property(lambda self: True))


def thing(number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((48, 48), np.bool_)
    mask[8 : 30 + number, 10:34] = True
    return np.repeat(np.where(mask, 200, 30).astype(np.uint8)[:, :, None], 3, axis=2), mask


def offer(bench: Workbench, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        bench.offer(f"image#{number}", *thing(number), [CLICK] * (number + 1))
        assert bench.finish(60)


def answer(bench: Workbench) -> np.ndarray:
    (state,) = bench.segmenter.click([bench.segmenter.begin(thing()[0])], [[CLICK]])
    return bench.segmenter.probability(state)


def test_what_is_learned_is_there_again(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    before = answer(bench)
    offer(bench, 3)
    after = answer(bench)
    assert not np.array_equal(before, after)
    again = Workbench(start(), tmp_path / "learned", SMALL)
    assert again.status == bench.status
    assert again.status.clicks == (1, 2, 3)
    assert np.array_equal(answer(again), after)
    assert again.segmenter.version == bench.segmenter.version != ""
    assert list(again.segmenter.versions) == list(bench.segmenter.versions)
    offer(again, 1, first=3)
    assert again.status.objects == 4
    assert again.status.problem == ""


def test_an_object_is_learned_once_and_again_when_it_changed(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    offer(bench, 1)
    version = bench.segmenter.version
    offer(bench, 1)
    assert bench.segmenter.version == version
    bench.offer("image#0", *thing(5), [CLICK])
    assert bench.finish(60)
    assert bench.segmenter.version != version
    assert bench.status.objects == 1
    bench.offer("image#9", thing()[0], np.zeros((48, 48), np.bool_), [])
    assert bench.status.objects == 1


def test_clicks_are_answered_again_by_the_weights_of_then(tmp_path: Path) -> None:
    bench, image = Workbench(start(), tmp_path / "learned", SMALL), thing()[0]
    session = AnnotationSession(image, bench.segmenter)
    session.add_object()
    session.click(20, 20)
    offer(bench, 1)
    session.click(40, 40, False)  # on the same object, by what was learned meanwhile
    log, mask = session.log(), session.own_mask()
    by = [action.get("by", "") for action in log["objects"][0]["actions"]]
    assert by == ["", bench.segmenter.version]
    offer(bench, 1, first=1)
    replayed = AnnotationSession.replay(log, image, bench.segmenter)
    assert np.array_equal(replayed.own_mask(), mask)
    store = AnnotationStore(tmp_path / "out")
    store.save("a.png", session)
    opened = store.load("a.png", image, bench.segmenter)  # while it was kept
    offer(bench, KEPT, first=2)
    opened.undo()
    opened.redo()
    assert np.array_equal(opened.own_mask(), mask)
    opened.brush([[3, 3], [4, 4]], 1)
    with pytest.raises(InputError, match="is not kept here"):
        AnnotationSession.replay(log, image, bench.segmenter)
    loaded = store.load("a.png", image, bench.segmenter)  # begins with the mask instead
    assert np.array_equal(loaded.own_mask(), mask)
    assert [action["kind"] for action in loaded.log()["objects"][0]["actions"]] == ["mask"]
    loaded.click(5, 5)
    with pytest.raises(InputError, match="is not kept here"):
        AnnotationSession.replay(log, image, start())


def test_off_answers_as_the_start_and_learns_nothing(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    before = answer(bench)
    offer(bench, 1)
    bench.switch(False)
    assert np.array_equal(answer(bench), before)
    offer(bench, 1, first=1)
    assert bench.status.objects == 1
    again = Workbench(start(), tmp_path / "learned", SMALL)
    assert not again.status.on
    assert np.array_equal(answer(again), before)
    again.switch(True)
    assert not np.array_equal(answer(again), before)


def test_reset_forgets_everything(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    before = answer(bench)
    offer(bench, 2)
    bench.reset()
    assert np.array_equal(answer(bench), before)
    assert bench.status.objects == 0
    assert list((tmp_path / "learned").iterdir()) == []
    offer(bench, 1)  # it can be learned again
    assert bench.status.objects == 1


def test_the_switch_does_not_wait_for_what_is_being_learned(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    before = answer(bench)
    with practising(bench):
        bench.switch(False)
        assert bench.status.waiting == 1
    assert np.array_equal(answer(bench), before)
    again = Workbench(start(), tmp_path / "learned", SMALL)
    assert (again.status.on, again.status.objects) == (False, 1)
    again.switch(True)
    assert not np.array_equal(answer(again), before)


def test_a_reset_forgets_what_is_being_learned(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    before = answer(bench)
    with practising(bench):
        bench.reset()
        assert (bench.status.waiting, bench.status.objects) == (1, 0)
    assert np.array_equal(answer(bench), before)
    assert list((tmp_path / "learned").glob("*")) == []
    offer(bench, 2)
    assert bench.status.objects == 2
    assert not np.array_equal(answer(bench), before)


def test_the_switch_is_kept_while_what_was_forgotten_is_being_learned(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    with practising(bench):
        bench.reset()
        bench.switch(False)
    assert not Workbench(start(), tmp_path / "learned", SMALL).status.on


@contextlib.contextmanager
def practising(bench: Workbench) -> Iterator[None]:
    """While an object is being learned, which waits for an answer to somebody's click until the end."""
    with bench.answering():
        bench.offer("image#0", *thing(), [CLICK])
        while bench._practising is None:
            time.sleep(0.001)
        yield
    assert bench.finish(60)


def test_what_waits_is_not_taken_for_learned(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    with bench.answering():
        for number in range(3):
            bench.offer(f"image#{number}", *thing(number), [CLICK])
        assert (bench.status.objects, bench.status.waiting, bench.status.clicks) == (0, 3, (1, 1, 1))
        bench.switch(False)  # what waits is dropped
    assert bench.finish(60)
    learned = bench.status.objects
    assert learned <= 1
    again = Workbench(start(), tmp_path / "learned", SMALL)  # as after a kill
    assert again.status.objects == learned
    assert len(again.status.clicks) == learned
    again.switch(True)
    offer(again, 3)
    assert (again.status.objects, len(again.status.clicks)) == (3, 3)


def test_an_object_that_changes_while_it_waits_is_learned_once(tmp_path: Path, monkeypatch) -> None:
    bench, areas = Workbench(start(), tmp_path / "learned", SMALL), []
    see = Learner.see
    monkeypatch.setattr(
        Learner,
        "see",
        lambda self, image, mask, clicks: (areas.append(mask.sum()), see(self, image, mask, clicks)),
    )
    with bench.answering():
        bench.offer("image#0", *thing(0), [CLICK])
        for number in (1, 2, 3):
            bench.offer("image#1", *thing(number), [CLICK])
    assert bench.finish(60)
    assert areas == [thing(0)[1].sum(), thing(3)[1].sum()]


def test_an_exported_model_answers_alike(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    with pytest.raises(InputError, match="Nothing learned yet"):
        bench.export(tmp_path / "model")
    offer(bench, 2)
    opened = open_segmenter(bench.export(tmp_path / "model"))
    (state,) = opened.click([opened.begin(thing()[0])], [[CLICK]])
    assert np.array_equal(opened.probability(state), answer(bench))


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    offer(bench, 1)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "learned").iterdir()}

    def full(self: Memory, name: str, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Memory, "_write", full)
        offer(bench, 1, first=1)
    assert "No space left on device" in bench.status.problem
    assert bench.status.objects == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "learned").iterdir()} == kept
    offer(bench, 1, first=2)
    assert bench.status.problem == ""
    assert Workbench(start(), tmp_path / "learned", SMALL).status.objects == 3


def test_what_a_killed_process_left_is_not_used(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    offer(bench, 1)
    left = tmp_path / "learned" / "practice-00002.safetensors"  # written, but not named by a state
    left.write_bytes(b"half of something")
    again = Workbench(start(), tmp_path / "learned", SMALL)
    assert not left.exists()
    offer(again, 1, first=1)
    assert Workbench(start(), tmp_path / "learned", SMALL).status.problem == ""


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"format": "mis-learned", "version": 9}', "other model", "lesson"]
)
def test_what_cannot_be_used_is_said_and_can_be_reset(tmp_path: Path, damage: str) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    offer(bench, 1)
    state = tmp_path / "learned" / "state.json"
    if damage == "lesson":
        (tmp_path / "learned" / "lesson-00001.png").write_bytes(b"no picture")
    elif damage != "other model":
        state.write_text(damage, encoding="utf-8")
    again = Workbench(start(seed=int(damage == "other model")), tmp_path / "learned", SMALL)
    assert "cannot be used" in again.status.problem
    assert not again.status.on
    offer(again, 1, first=5)
    assert again.status.objects == 0
    again.reset()
    again.switch(True)
    offer(again, 1)
    assert json.loads(state.read_text(encoding="utf-8"))["clicks"] == [1]


def test_learning_waits_while_a_click_is_answered(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", replace(SMALL, steps=2))
    with bench.answering():
        bench.offer("image#0", *thing(), [CLICK])
        time.sleep(0.3)
        assert bench.status.waiting == 1
        assert bench.segmenter.version == ""
    assert bench.finish(60)
    assert bench.segmenter.version != ""


def test_what_is_seen_answers_while_weights_are_practised(tmp_path: Path, monkeypatch) -> None:
    bench = Workbench(start(), tmp_path / "l", SMALL)
    offer(bench, 2)
    known, going_on = bench.segmenter.version, threading.Event()
    monkeypatch.setattr(Learner, "practise", lambda self: going_on.wait(10))
    image, mask = thing(2)
    bench.offer("2", image, mask, [Click(5, 5, True)])
    for _ in range(200):
        if bench.segmenter.version != known:
            break
        time.sleep(0.05)
    assert bench.segmenter.version not in ("", known)
    assert bench.status.objects == 2  # it is not learned yet
    with bench._lock:  # so that it is kept by now
        killed = Workbench(start(), tmp_path / "l", SMALL)
    assert killed.segmenter.at(bench.segmenter.version).settings() == bench._learner.segmenter.settings()
    assert killed.status.objects == 2
    going_on.set()
    assert bench.finish(10)


def test_a_folder_that_is_older_than_appearances_can_be_gone_on_with(tmp_path: Path) -> None:
    old = Workbench(start(), tmp_path / "l", replace(SMALL, appearance=False))
    offer(old, 3)
    again = Workbench(start(), tmp_path / "l", SMALL)
    assert again.status.objects == 3
    again.switch(False)  # keeps what is known
    again.switch(True)
    once_more = Workbench(start(), tmp_path / "l", SMALL)
    assert (once_more.status.objects, once_more.status.problem) == (3, "")
    offer(once_more, 1, first=3)
    assert Workbench(start(), tmp_path / "l", SMALL).status.objects == 4


def test_an_object_that_cannot_be_practised_mixes_up_no_lessons(tmp_path: Path, monkeypatch) -> None:
    bench = Workbench(start(), tmp_path / "l", SMALL)
    offer(bench, 2)

    def fails(self: Learner) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(Learner, "practise", fails)
        offer(bench, 1, first=2)
    assert "failed" in bench.status.problem
    offer(bench, 2, first=3)
    kept, live = Workbench(start(), tmp_path / "l", SMALL)._learner.lessons, bench._learner.lessons
    assert len(kept) == len(live) == 4
    for one, other in zip(kept, live, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)


def test_two_users_share_what_is_learned(tmp_path: Path) -> None:
    bench = Workbench(start(), tmp_path / "learned", SMALL)
    users = [threading.Thread(target=offer, args=(bench, 2, first)) for first in (0, 2)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert bench.finish(60)
    assert bench.status.objects == 4
