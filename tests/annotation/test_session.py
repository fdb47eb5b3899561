"""Sessions against independent truths: the evaluation's loop, a predictor, snapshots taken by hand."""

from __future__ import annotations

import contextlib
import copy
import json
import zlib
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.grey_levels import to_rgb
from mis_lightning.images import Reading
from mis_lightning.metrics.functional import iou
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.segmenters.zoom_in import ZoomIn
from mis_lightning.structures import Click, Sample

SHAPE = (90, 120)


def asking(model, **settings) -> ClickModelSegmenter | None:
    """The model as a segmenter; ``None``, the merge tree, stays."""
    return None if model is None else ClickModelSegmenter(model, PredictionSettings(**settings))


@pytest.fixture(params=["network", "merge tree"])
def model(request, net):
    return net if request.param == "network" else None


@pytest.fixture
def session(image, model) -> AnnotationSession:
    return AnnotationSession(image, asking(model), name="picture.png")


def seen(session: AnnotationSession) -> dict:
    """Everything a user can see of a session."""
    return {
        "objects": session.objects,
        "active": session.active,
        "log": session.log(),
        "labels": session.label_map().tobytes(),
        "masks": {one.id: session.own_mask(one.id).tobytes() for one in session.objects},
        "probabilities": {one.id: session.probability(one.id).tobytes() for one in session.objects},
    }


def random_action(session: AnnotationSession, random: np.random.Generator) -> None:
    """One of everything that is done to an object."""
    row, col = (float(random.uniform(0, side)) for side in SHAPE)
    kind = random.integers(10)
    points = random.uniform((0, 0), SHAPE, (int(random.integers(3, 6)), 2))
    positive = bool(random.random() < 0.6)
    if kind <= 1:
        session.click(row, col, positive)
    elif kind == 2:
        session.scribble(points, positive)
    elif kind == 3:
        (top, bottom), (left, right) = (np.sort(random.uniform(0, side, 2)) for side in SHAPE)
        session.box(top, left, bottom, right)
    elif kind == 4:
        session.choose_level(row, col, int(random.integers(session.levels(row, col))))
    elif kind == 5:
        session.load_mask(random.random(SHAPE) < random.random())
    elif kind == 6:
        session.brush(points, float(random.uniform(0.5, 9)), positive)
    elif kind == 7:
        session.polygon(points, positive)
    elif kind == 8:
        tidy = [lambda: session.smooth_border(1.5), session.fill_holes, session.drop_specks]
        with contextlib.suppress(InputError):  # it is tidy
            tidy[random.integers(3)]()
    else:
        session.reset()


def random_change(session: AnnotationSession, random: np.random.Generator) -> None:
    """One of everything that is a step of undo, on any of the objects."""
    ids = [one.id for one in session.objects]
    kind = random.integers(10) if len(ids) > 1 else 0
    number = int(random.choice(ids)) if ids else 0
    if kind == 0:
        session.add_object()
    elif kind == 1:
        session.delete(number)
    elif kind == 2:
        session.rename(number, f"name {random.integers(100)}")
    elif kind == 3:
        session.set_category(number, random.choice(["cell", "nucleus"]))
    elif kind == 4:
        with session.step("both"):
            session.select(number)
            session.click(5, 5)
            session.add_object()
    else:
        session.select(number)
        one = next(one for one in session.objects if one.id == number)
        if kind == 5 and one.clicks:
            with contextlib.suppress(InputError):  # the middle of a box
                session.delete_click(int(random.integers(len(one.clicks))))
        else:
            random_action(session, random)


def test_doing_and_undoing_is_identity_over_random_sequences(session) -> None:
    """One line of undo for all objects, what is done to the list of them included."""
    random = np.random.default_rng(0)
    past: list[dict] = []  # what was seen before each step
    future: list[dict] = []
    for _ in range(80):
        before = seen(session)
        move = random.random()
        if move < 0.55 or not past:
            random_change(session, random)
            if own(seen(session)) == own(before):  # it was tidy, or another was selected
                continue
            past.append(before)
            future.clear()
        elif move < 0.8:
            future.append(before)
            session.undo()
            assert own(seen(session)) == own(past.pop())
        elif future:
            past.append(before)
            session.redo()
            assert own(seen(session)) == own(future.pop())
        assert (session.undoable is None, session.redoable is None) == (not past, not future)
    assert len(past) > 10
    while past:
        session.undo()
        assert own(seen(session)) == own(past.pop())
    assert session.objects == ()


def own(state: dict) -> dict:
    """What is seen, whichever object is selected."""
    return {**state, "active": None, "log": {**state["log"], "active": None}}


def test_what_is_undone_is_named_and_selected(session) -> None:
    session.add_object("cat")
    session.click(20, 30)
    session.add_object("dog")
    session.click(70, 20)
    session.select(1)
    assert session.undo() == "click on dog"
    assert session.active == 2
    session.delete(1)
    assert session.undoable == "deletion of cat"
    assert session.undo() == "deletion of cat"
    assert [one.name for one in session.objects] == ["cat", "dog"]
    assert (session.active, session.redoable) == (1, "deletion of cat")
    with pytest.raises(ValueError, match="enough"), session.step("two"):  # noqa: PT012
        session.click(1, 1)
        session.add_object("bird")
        raise ValueError("enough")
    assert [one.n_actions for one in session.objects] == [1, 0]  # what failed is undone as a whole
    assert session.redoable == "deletion of cat"


def test_a_log_is_undone_in_the_order_it_was_done(session, image, model) -> None:
    for number in (1, 2):
        session.add_object()
        session.click(20 * number, 30)
    session.select(1)
    session.click(70, 20, False)
    session.select(2)
    again = AnnotationSession.replay(session.log(), image, asking(model))
    done = [one.undo() for one in (again, session) for _ in range(2)]
    assert done[:2] == ["click on object 1", "click on object 2"] == done[2:]
    assert own(seen(again))["masks"] == own(seen(session))["masks"]
    broken = session.log()
    broken["order"].append(7)
    with pytest.raises(InputError, match="`order`"):
        AnnotationSession.replay(broken, image, asking(model))
    del broken["order"]  # as in logs of before it was kept
    AnnotationSession.replay(broken, image, asking(model)).undo()


def test_undoing_asks_the_network_nothing(image, net) -> None:
    session = AnnotationSession(image, asking(net))
    session.add_object()
    for row in (10, 40, 70):
        session.click(row, 50)
    calls = net.calls
    for _ in range(3):
        session.undo()
    for _ in range(3):
        session.redo()
    session.mask(), session.probability()
    assert net.calls == calls


def test_the_same_masks_as_the_evaluation(image, net) -> None:
    truth = np.zeros(SHAPE, bool)
    truth[10:50, 12:60] = True
    settings = EvaluationSettings(max_clicks=8, target_iou=None)
    evaluated = simulate_session(asking(net, threshold=0.49), Sample(image, truth, None, "one"), settings)
    session = AnnotationSession(image, asking(net, threshold=0.49))
    session.add_object()
    for click, expected in zip(evaluated.clicks, evaluated.ious, strict=True):
        session.click(*click)
        assert np.float32(iou(session.mask(), truth, None)) == expected
    assert session.objects[0].clicks == evaluated.clicks


@pytest.mark.parametrize(
    "options", [{}, {"zoom_in": None, "flip": False}, {"size": (24, 24), "threshold": 0.3}]
)
def test_the_same_probabilities_as_a_predictor_between_other_objects(image, net, options) -> None:
    random = np.random.default_rng(2)
    predictor = ClickPredictor(asking(net, **options))
    predictor.set_image(image)
    session = AnnotationSession(image, asking(net, **options))
    session.add_object()
    session.add_object()
    for _ in range(6):
        click = (float(random.uniform(0, 90)), float(random.uniform(0, 120)), bool(random.random() < 0.6))
        session.select(1)
        session.click(*click)
        np.testing.assert_array_equal(session.probability(1), predictor.click(*click))
        np.testing.assert_array_equal(session.own_mask(1), predictor.mask)
        session.select(2)  # its clicks are its own
        random_action(session, random)


def test_without_a_model_the_merge_tree_answers_as_its_predictor(image) -> None:
    predictor = ClickPredictor(MergeTreeSegmenter())
    predictor.set_image(image)
    session = AnnotationSession(image)
    session.add_object()
    for click in [(20, 30, True), (70, 20, True), (40, 90, False), (5, 5, True)]:
        session.click(*click)
        np.testing.assert_array_equal(session.mask(), predictor.click(*click) > 0.5)


def test_scribble_is_one_step_of_all_its_clicks(image, net) -> None:
    session = AnnotationSession(image, asking(net))
    session.add_object()
    session.click(80, 100, False)
    calls = net.calls
    session.scribble([[10, 10], [10, 100], [60, 100]])
    assert net.calls == calls + 1
    clicks = session.objects[0].clicks
    assert len(clicks) == 25
    assert all(click.positive for click in clicks[1:])
    # by hand: the first click, then the others at once
    segmenter = asking(net, size=(32, 48))
    (state,) = segmenter.click([segmenter.begin(image)], [clicks[:1]])
    (state,) = segmenter.click([state], [clicks[1:]])
    np.testing.assert_array_equal(session.mask(), segmenter.mask(state))  # which holds the line
    session.undo()
    assert session.objects[0].clicks == clicks[:1]


def test_all_pixels_of_a_scribble_are_obeyed(image) -> None:
    def nowhere(_, prompt):
        return torch.full_like(prompt.previous_mask, -3)

    session = AnnotationSession(image, asking(nowhere))
    session.add_object()
    session.scribble([[10, 10], [10, 100], [60, 100]])
    line = np.zeros(SHAPE, bool)
    line[10, 10:101] = line[10:61, 100] = True
    np.testing.assert_array_equal(session.mask(), line)
    session.click(70, 30)
    np.testing.assert_array_equal(session.mask(), line)  # from then on
    again = AnnotationSession.replay(session.log(), image, asking(nowhere))
    np.testing.assert_array_equal(again.mask(), line)
    session.click(10, 50, False)  # said last, it takes the line away
    assert not session.mask().any()
    session.undo()
    np.testing.assert_array_equal(session.mask(), line)
    old = json.loads(json.dumps(session.log()).replace(f', "line": {[[10, 10], [10, 100], [60, 100]]}', ""))
    assert old != json.loads(json.dumps(session.log()))
    assert not AnnotationSession.replay(old, image, asking(nowhere)).mask().any()  # then it was its clicks


def test_box_and_mask_are_the_previous_mask_of_a_prediction(image, net) -> None:
    session = AnnotationSession(image, asking(net))
    session.add_object()
    session.box(10, 12, 49, 59)
    predictor = ClickPredictor(asking(net))
    predictor.set_image(image)
    mask = np.zeros(SHAPE, bool)
    mask[10:50, 12:60] = True
    expected, probability = predictor.predict([[35.5, 29.5]], [1], mask_input=mask)
    np.testing.assert_array_equal(session.probability(), probability)
    np.testing.assert_array_equal(predictor.predict(box=[12, 10, 59, 49])[1], probability)

    session.load_mask(mask)
    np.testing.assert_array_equal(session.mask(), mask)
    assert session.objects[0].clicks == ()
    session.click(29.5, 35.5)
    np.testing.assert_array_equal(session.mask(), expected)
    session.undo()
    np.testing.assert_array_equal(session.mask(), mask)


def test_a_level_is_a_region_that_clicks_then_refine(session, image, model) -> None:
    tree = MergeTreeSegmenter()
    state = tree.begin(image)
    nodes = tree.nodes_at(state, Click(20, 30, True))
    session.add_object()
    assert session.levels(20, 30) == len(nodes)
    grid = state.tree.grid
    rows, cols = (np.arange(side) * count // side for side, count in zip(SHAPE, grid, strict=True))
    for level in (0, 5, len(nodes) - 1):
        expected = state.tree.mask(int(nodes[level]))[rows][:, cols]
        np.testing.assert_array_equal(session.region(20, 30, level), expected)
        session.choose_level(20, 30, level)
        np.testing.assert_array_equal(session.mask(), expected)
    assert session.mask().all()  # the whole image
    session.click(80, 115, False)
    assert not session.mask()[80, 115]
    if model is not None:
        predictor = ClickPredictor(asking(model))
        predictor.set_image(image)
        _, probability = predictor.predict([[30, 20], [115, 80]], [1, 0], mask_input=np.ones(SHAPE))
        np.testing.assert_array_equal(session.probability(), probability)


def test_the_tree_takes_away_from_a_mask_and_adds_to_it(image) -> None:
    session = AnnotationSession(image)
    session.add_object()
    red, green = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    red[10:50, 12:60], green[30:80, 70:110] = True, True
    session.load_mask(red | green)
    session.click(60, 90, False)
    assert iou(session.mask(), red, None) > 0.98
    session.click(70, 100, True)  # against it stands the click before: only what does not hold that
    assert session.mask()[70, 100]
    assert not session.mask()[60, 90]


def test_replay_gives_the_same_bits(session, image, model) -> None:
    random = np.random.default_rng(4)
    for _ in range(3):
        session.add_object()
        for _ in range(5):
            random_action(session, random)
        session.undo()
    session.delete(2)
    session.rename(3, "größer ☂")
    session.overlap = "overwrite"
    log = json.loads(json.dumps(session.log(), allow_nan=False))
    again = AnnotationSession.replay(log, image, asking(model))
    here, there = seen(session), seen(again)
    for state in (here, there):  # what was undone is not in the log, and there is nothing before a reset
        state["objects"] = [asdict(o) for o in state["objects"]]
    here["log"]["image"]["name"] = there["log"]["image"]["name"] = ""
    assert here == there
    for number in (1, 3):
        session.select(number)
        again.select(number)
        session.click(44, 55)
        again.click(44, 55)
        np.testing.assert_array_equal(session.probability(), again.probability())
    assert again.add_object() == session.add_object() == 4  # ids are not used again


def test_masks_are_there_before_their_actions_are_done_again(image, net) -> None:
    session = AnnotationSession(image, asking(net))
    session.add_object()
    session.click(20, 30)
    session.click(70, 20, False)
    record = session.record()
    calls = net.calls
    again = AnnotationSession(image, asking(net))
    again.take_over(record.log, record.counts)
    np.testing.assert_array_equal(again.label_map(), session.label_map())
    assert again.objects == session.objects
    assert net.calls == calls
    again.undo()
    session.undo()
    np.testing.assert_array_equal(again.probability(), session.probability())


def test_replay_refuses_another_origin(image, net, other_net) -> None:
    session = AnnotationSession(image, asking(net), name="cat.png")
    session.add_object()
    session.click(20, 30)
    log = session.log()
    changed = image.copy()
    changed[0, 0, 0] ^= 1
    with pytest.raises(InputError, match=r"'cat\.png'"):
        AnnotationSession.replay(log, changed, asking(net))
    with pytest.raises(InputError, match="90x120 pixels, but got another of 45x120"):
        AnnotationSession.replay(log, image[:45], asking(net))
    with pytest.raises(InputError, match="model"):
        AnnotationSession.replay(log, image, asking(other_net))
    with pytest.raises(InputError, match="merge-tree"):
        AnnotationSession.replay(log, image)
    older = log | {"model": open_segmenter("mis-small-1").identity}
    with pytest.raises(InputError, match=r"Expected the model of the click log, .* Open mis-small-1\."):
        AnnotationSession.replay(older, image, asking(net))
    with pytest.raises(InputError, match="settings"):
        AnnotationSession.replay(log, image, asking(net), tree=MergeTreeSegmenter(max_share=0.5))
    again = AnnotationSession.replay(log, image, asking(net, flip=False))  # asked as the log says
    assert again.settings == session.settings
    other = ZoomIn(expansion=2)
    log = AnnotationSession(image, asking(net, zoom_in=other, flip=False, size=(16, 16))).log()
    assert AnnotationSession.replay(log, image, asking(net)).settings["zoom_in"] == other.to_json()


@pytest.mark.parametrize("policy", ["keep", "overwrite", "allow"])
def test_overlap(image, policy) -> None:
    random = np.random.default_rng(3)
    masks = random.random((4, *SHAPE)) < 0.4
    session = AnnotationSession(image, overlap=policy)
    for mask in masks:
        session.add_object()
        session.load_mask(mask)
    session.delete(2)
    order = [0, 2, 3]
    labels = np.zeros(SHAPE, int)
    for k in reversed(order) if policy == "keep" else order:
        labels[masks[k]] = k + 1
    np.testing.assert_array_equal(session.label_map(), labels)
    assert session.label_map().dtype == np.uint16
    for k in order:
        expected = masks[k] if policy == "allow" else labels == k + 1
        np.testing.assert_array_equal(session.mask(k + 1), expected)
        np.testing.assert_array_equal(session.own_mask(k + 1), masks[k])
    assert [o.area for o in session.objects] == [session.mask(o.id).sum() for o in session.objects]
    with pytest.raises(InputError, match="overlap"):
        session.overlap = "mix"


def test_objects_are_added_selected_renamed_and_deleted(session) -> None:
    assert session.active is None
    assert session.objects == ()
    assert not session.label_map().any()
    assert (session.add_object(), session.add_object("  cat  ")) == (1, 2)
    assert [one.name for one in session.objects] == ["object 1", "cat"]
    assert session.active == 2
    session.select(1)
    session.click(20, 30)
    session.rename(1, "cat")  # names may repeat
    session.set_category(2, " animal ")
    assert [(one.n_actions, one.category) for one in session.objects] == [(1, None), (0, "animal")]
    session.delete(1)
    assert session.active == 2
    session.delete(2)
    assert session.active is None
    assert session.add_object() == 3


@pytest.mark.parametrize(
    "use",
    [
        lambda s: s.click(90, 0),
        lambda s: s.click(float("nan"), 0),
        lambda s: s.scribble([]),
        lambda s: s.scribble([[1, 2, 3]]),
        lambda s: s.scribble([[1, 2], [1, 120]]),
        lambda s: s.scribble([[1, float("inf")]]),
        lambda s: s.scribble("here"),
        lambda s: s.box(5, 5, 4, 9),
        lambda s: s.box(0, 0, 91, 9),
        lambda s: s.box(0, float("nan"), 9, 9),
        lambda s: s.load_mask(np.zeros(SHAPE, np.uint8)),
        lambda s: s.load_mask(np.zeros((120, 90), bool)),
        lambda s: s.levels(90, 0),
        lambda s: s.choose_level(20, 20, -1),
        lambda s: s.choose_level(20, 20, 10_000),
        lambda s: s.region(-1, 20, 0),
        lambda s: s.redo(),
        lambda s: s.brush([[90, 0]], 3),
        lambda s: s.brush([[20, 20]], 0),
        lambda s: s.brush([[20, 20]], float("nan")),
        lambda s: s.polygon([[1, 1], [2, 2]]),
        lambda s: s.smooth_border(65),
        lambda s: s.delete_click(1),
        lambda s: s.move_click(0, 90, 0),
        lambda s: s.set_category(1, ""),
        lambda s: s.set_category(7, "cat"),
        lambda s: s.select(7),
        lambda s: s.delete(0),
        lambda s: s.rename(7, "cat"),
        lambda s: s.rename(1, ""),
        lambda s: s.rename(1, "two\nlines"),
        lambda s: s.rename(1, "x" * 101),
        lambda s: s.rename(1, "\ud800"),
        lambda s: s.add_object(""),
        lambda s: s.add_object(3),
        lambda s: s.mask(7),
        lambda s: s.probability(7),
        lambda s: s.take_over(AnnotationSession(np.zeros((5, 5, 3), np.uint8)).record().log),
    ],
)
def test_errors_leave_everything_as_it_was(session, use) -> None:
    session.add_object()
    session.click(20, 30)
    before, version = seen(session), session.version
    with pytest.raises(InputError):
        use(session)
    assert seen(session) == before
    assert session.version == version


def test_a_failing_model_leaves_everything_as_it_was(image, net, monkeypatch) -> None:
    session = AnnotationSession(image, asking(net))
    session.add_object()
    session.click(20, 30)
    before = seen(session)
    with monkeypatch.context() as patch:
        patch.setattr(type(net), "forward", lambda *_: 1 / 0)
        for use in (lambda: session.click(1, 1), lambda: session.box(1, 1, 9, 9)):
            with pytest.raises(ZeroDivisionError):
                use()
    assert seen(session) == before


@pytest.mark.parametrize("use", ["click", "reset", "mask", "probability"])
def test_without_an_object_the_remedy_is_named(session, use) -> None:
    with pytest.raises(InputError, match="add_object"):
        getattr(session, use)(*((1, 1) if use == "click" else ()))


def test_what_is_handed_out_is_the_users_to_change(session) -> None:
    session.add_object()
    session.click(20, 30)
    before = seen(session)
    for array in (session.mask(), session.own_mask(), session.probability(), session.label_map()):
        array[:] = 1
    session.log()["objects"].clear()
    session.settings.clear()
    assert seen(session) == before


def test_image_kinds_and_names(image, tmp_path) -> None:
    path = tmp_path / "cat.png"
    Image.fromarray(image).save(path)
    grey = image[..., 0]
    assert AnnotationSession(path).name == "cat.png"
    for kind in (path, Image.fromarray(image), image):
        np.testing.assert_array_equal(AnnotationSession(kind).image, image)
    deep = grey.astype(np.uint16) * 200
    assert AnnotationSession(deep).image.shape == (*SHAPE, 3)
    window = Reading(window=(3000.0, 9000.0))
    expected = to_rgb(deep, window=(3000, 9000))
    np.testing.assert_array_equal(AnnotationSession(deep, reading=window).image, expected)
    predictor = ClickPredictor(MergeTreeSegmenter())
    predictor.set_image(deep, window)
    session = AnnotationSession(expected)
    session.add_object()
    session.click(20, 30)
    np.testing.assert_array_equal(predictor.click(20, 30) > 0.5, session.mask())
    with pytest.raises(InputError):
        AnnotationSession(tmp_path / "none.png")


def test_states_that_rest_are_small(net) -> None:
    large = np.zeros((1000, 1500, 3), np.uint8)
    session = AnnotationSession(large, asking(net))
    for _ in range(2):
        session.add_object()
        for k in range(4):
            session.click(100 + k, 100)
    session.select(1)
    moments = {
        one.moment
        for objects in session._history._states
        for one in objects.by_id.values()
        if one.moment.actions and one.moment is not session._current.moment
    }
    assert len(moments) == 7
    assert all(one._state.state.probability is None for one in moments)
    assert sum(one._mask is not None for one in moments) <= 1  # that of the other object is shown


def test_a_copy_of_the_log_is_not_needed(session, image, model) -> None:
    session.add_object()
    session.click(20, 30)
    log = session.log()
    kept = copy.deepcopy(log)
    AnnotationSession.replay(log, image, asking(model)).click(50, 50)
    assert log == kept


def test_a_log_says_how_its_image_was_read(tmp_path, net) -> None:
    deep = np.random.default_rng(0).integers(0, 9999, (60, 80)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    reading = Reading((3000, 9000))
    session = AnnotationSession(tmp_path / "deep.png", asking(net), reading=reading)
    session.add_object()
    session.click(30, 40)
    log = session.log()
    assert log["image"]["reading"] == {"window": [3000, 9000]}
    again = AnnotationSession.replay(log, tmp_path / "deep.png", asking(net))  # read as the log says
    np.testing.assert_array_equal(again.mask(), session.mask())
    np.testing.assert_array_equal(again.image, session.image)
    with pytest.raises(InputError, match=r"window.*the defaults"):
        AnnotationSession.replay(log, tmp_path / "deep.png", asking(net), reading=Reading())
    log["image"]["reading"] = {"window": "wide"}
    with pytest.raises(InputError, match="window, percentile or channels"):
        AnnotationSession.replay(log, tmp_path / "deep.png", asking(net))


def test_logs_of_before_the_reading_was_kept(net) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    session = AnnotationSession(grey, asking(net))
    session.add_object()
    session.click(30, 40)
    log = session.log()
    del log["image"]["reading"]
    log["image"]["crc32"] = zlib.crc32(session.image.data)  # of the RGB bytes
    again = AnnotationSession.replay(log, grey, asking(net))
    np.testing.assert_array_equal(again.mask(), session.mask())
