"""Ellipsoids in noise, whose truth is known; the segmenter answers with grey values like the clicked one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mis_lightning.annotation.actions import CarryAction
from mis_lightning.annotation.export import export_masks
from mis_lightning.annotation.propagation import Carrying
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.annotation.volume import VolumeSession
from mis_lightning.errors import InputError
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.grabcut import GrabCutSegmenter
from mis_lightning.structures import Click

SLICES, SHAPE = 9, (72, 90)
FIRST, LAST, MIDDLE = 1, 7, 4


class GreyState:
    def __init__(self, image, clicks: tuple[Click, ...] = (), base=None) -> None:
        self.image, self.clicks, self.base, self.shape = image, clicks, base, image.shape[:2]


class GreySegmenter(Segmenter[GreyState]):
    """The connected pixels about as grey as the positive clicks, without those of the negative ones."""

    asked = 0

    def begin(self, image) -> GreyState:
        return GreyState(cv2.GaussianBlur(image[..., 0], (0, 0), 2).astype(int))

    def click(self, states: Sequence[GreyState], clicks) -> list[GreyState]:
        self.asked += len(states)
        return [GreyState(s.image, (*s.clicks, *new), s.base) for s, new in zip(states, clicks, strict=True)]

    def place(self, state, mask, clicks=()) -> GreyState:
        return GreyState(state.image, tuple(clicks), mask)

    def mask(self, state):
        mask = np.zeros(state.shape, bool) if state.base is None or state.clicks else state.base.copy()
        for row, col, positive in state.clicks:
            like = np.abs(state.image - state.image[int(row), int(col)]) < 60
            _, pieces = cv2.connectedComponents(like.view(np.uint8))
            piece = pieces == pieces[int(row), int(col)] if like[int(row), int(col)] else like
            mask = mask | piece if positive else mask & ~piece
        return mask

    def probability(self, state):
        return self.mask(state).astype(np.float32)


def truth() -> np.ndarray:
    """An ellipsoid that moves from slice to slice, bool, (slices, H, W)."""
    z, y, x = np.ogrid[:SLICES, : SHAPE[0], : SHAPE[1]]
    inside = ((z - MIDDLE) / 3.6) ** 2 + ((y - 34 - 2 * (z - MIDDLE)) / 18) ** 2 + ((x - 45 - z) / 22) ** 2
    return inside < 1


def pictures(mask: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    grey = np.where(mask, 190, 70) + np.random.default_rng(seed).normal(0, 12, mask.shape)
    return list(np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=3))


@pytest.fixture
def segmenter() -> GreySegmenter:
    return GreySegmenter()


@pytest.fixture
def volume(segmenter) -> VolumeSession:
    made = VolumeSession(pictures(truth()), segmenter)
    made.click(MIDDLE, 34, 49)
    return made


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))


def slices(volume: VolumeSession, id: int = 1) -> list[int]:
    return [part.slice for part in volume.parts(id)]


def test_one_click_makes_an_object_of_all_its_slices(volume) -> None:
    done = list(volume.propagate(1, MIDDLE))
    assert sorted(step.slice for step in done) == [1, 2, 3, 5, 6, 7]
    assert all(step.here and 0.6 <= step.score <= 1 for step in done)
    assert slices(volume) == list(range(FIRST, LAST + 1))  # it stops where the ellipsoid ends
    assert dice(volume.labels() == 1, truth()) > 0.95
    parts = {part.slice: part for part in volume.parts(1)}
    assert not parts[MIDDLE].carried
    assert parts[MIDDLE].score == 1
    assert parts[3].carried
    assert parts[3].score < 1
    assert parts[3].area == np.count_nonzero(volume.labels()[3])


def test_it_stops_where_something_else_takes_its_place() -> None:
    mask = np.zeros((6, *SHAPE), bool)
    mask[:, 20:50, 20:60] = True
    images = pictures(mask)
    for k in (4, 5):
        images[k][mask[k]] = 250  # as large and at the same place, but of another grey
    volume = VolumeSession(images, GreySegmenter())
    volume.click(2, 30, 40)
    assert [step.slice for step in volume.propagate(1, 2)] == [3, 1, 0]
    assert list(volume.propagate(1, 2, 1, how=Carrying(stop=0.0)))[-1].slice == 5  # the rule is what stops it


def test_one_way_until_a_slice(volume) -> None:
    assert [step.slice for step in volume.propagate(1, MIDDLE, 1)] == [5, 6, 7]
    assert [step.slice for step in volume.propagate(1, MIDDLE, -1, until=3)] == [3]
    with pytest.raises(InputError, match=r"`until` in 0\.\.8"):
        list(volume.propagate(1, MIDDLE, until=9))


def test_it_can_be_cancelled_after_any_slice(volume) -> None:
    for step in volume.propagate(1, MIDDLE):
        if step.slice == 6:
            break
    assert slices(volume) == [4, 5, 6]


def test_a_run_is_undone_and_redone_in_one_step(volume) -> None:
    clicked = volume.labels()
    list(volume.propagate(1, MIDDLE))
    carried = volume.labels()
    assert sorted(volume.undo(MIDDLE, 1)) == [1, 2, 3, 5, 6, 7]
    np.testing.assert_array_equal(volume.labels(), clicked)
    assert sorted(volume.redo(MIDDLE, 1)) == [1, 2, 3, 5, 6, 7]
    np.testing.assert_array_equal(volume.labels(), carried)
    assert 6 in volume.undo(6, 1)  # seen from a slice that it was carried to
    np.testing.assert_array_equal(volume.labels(), clicked)
    assert volume.undo(MIDDLE, 1) == [MIDDLE]  # now the click
    assert not volume.labels().any()
    volume.redo(MIDDLE, 1)
    volume.redo(MIDDLE, 1)
    np.testing.assert_array_equal(volume.labels(), carried)
    volume.click(MIDDLE, 2, 2, positive=False)
    assert volume.undo(MIDDLE, 1) == [MIDDLE]  # a click after the run comes first
    assert len(volume.undo(MIDDLE, 1)) == 6
    assert volume.undo(MIDDLE, 1) == [MIDDLE]
    with pytest.raises(InputError, match="something to undo"):
        volume.undo(MIDDLE, 1)


def test_carried_on_from_a_carried_slice_the_later_run_is_undone_first(volume) -> None:
    list(volume.propagate(1, MIDDLE, 1, until=6))
    list(volume.propagate(1, 6, 1))
    assert volume.undo(6, 1) == [7]
    assert volume.undo(6, 1) == [5, 6]
    assert volume.redo(6, 1) == [5, 6]
    assert volume.redo(6, 1) == [7]


def test_undo_of_a_run_leaves_an_earlier_one_whose_slices_were_corrected(volume) -> None:
    list(volume.propagate(1, MIDDLE, 1, until=MIDDLE + 2))
    for k in (MIDDLE + 1, MIDDLE + 2):
        volume.click(k, 34 + 2 * (k - MIDDLE), 45 + k)  # in the middle of what is there
    rest = [one.slice for one in volume.propagate(1, MIDDLE + 2, 1)]
    assert volume.undo(MIDDLE + 1, 1) == [MIDDLE + 1]  # the click
    assert volume.undo(MIDDLE + 2, 1) == rest == [MIDDLE + 3]
    assert volume.open(MIDDLE + 1).own_mask(1).any()


def test_a_run_that_was_given_up_does_not_come_back(volume) -> None:
    given_up = [one.slice for one in volume.propagate(1, MIDDLE, 1)]
    assert volume.undo(MIDDLE, 1) == given_up
    short = [one.slice for one in volume.propagate(1, MIDDLE, 1, until=MIDDLE + 1)]  # from the same click
    assert short == [MIDDLE + 1]
    assert volume.undo(MIDDLE, 1) == short
    assert volume.run_to_redo(MIDDLE, 1)
    assert volume.redo(MIDDLE, 1) == short
    assert not volume.run_to_redo(MIDDLE, 1)


def test_corrected_slices_stay_and_are_carried_on_from(volume) -> None:
    list(volume.propagate(1, MIDDLE))
    square = np.zeros(SHAPE, bool)
    square[20:50, 30:70] = True
    volume.act(2, lambda session: session.load_mask(square))
    volume.undo(MIDDLE, 1)  # takes back what was not worked on
    assert slices(volume) == [2, MIDDLE]
    list(volume.propagate(1, MIDDLE))
    assert slices(volume) == [2, *range(3, 8)]  # from 4 to 3, half of the way to 2, and up to the end
    np.testing.assert_array_equal(volume.labels()[2] == 1, square)
    before = volume.labels()
    done = list(volume.propagate(1, 2))
    assert [step.slice for step in done] == [3]  # the square has nothing like it on slice 1
    np.testing.assert_array_equal(volume.labels()[2:3], before[2:3])
    np.testing.assert_array_equal(volume.labels()[4:], before[4:])  # nearer to the other end


def test_an_object_ends_where_the_user_says_so(volume) -> None:
    list(volume.propagate(1, MIDDLE))
    nothing = np.zeros(SHAPE, bool)
    volume.act(6, lambda session: session.load_mask(nothing))
    assert slices(volume) == [1, 2, 3, 4, 5, 7]
    assert [(step.slice, step.here) for step in volume.propagate(1, 6)] == [(7, False)]
    assert slices(volume) == [1, 2, 3, 4, 5]
    list(volume.propagate(1, MIDDLE))
    assert slices(volume) == [1, 2, 3, 4, 5]  # not beyond what was emptied
    volume.undo(MIDDLE, 1)
    volume.undo(6, 1)  # the emptied slices
    volume.undo(6, 1)  # the empty mask
    assert slices(volume) == list(range(FIRST, LAST + 1))


def test_carried_on_again_it_may_end_earlier(volume) -> None:
    list(volume.propagate(1, MIDDLE))
    list(volume.propagate(1, MIDDLE, how=Carrying(stop=0.96)))
    assert slices(volume) == [2, 3, 4, 5, 6]
    volume.undo(MIDDLE, 1)
    assert slices(volume) == list(range(FIRST, LAST + 1))


def test_every_slice_can_be_replayed_alone(volume, segmenter) -> None:
    list(volume.propagate(1, MIDDLE))
    volume.click(5, 3, 3, positive=False)
    for k in (4, 5, 6):
        log = json.loads(json.dumps(volume.open(k).log()))
        again = AnnotationSession.replay(log, pictures(truth())[k], segmenter, name=volume.key(k))
        np.testing.assert_array_equal(again.own_mask(1), volume.open(k).own_mask(1))
        assert again.log() == volume.open(k).log()


def test_what_is_kept_outlives_the_process(tmp_path, segmenter) -> None:
    store, images = AnnotationStore(tmp_path), pictures(truth())
    first = VolumeSession(images, segmenter, store=store, name="a.tif")
    first.click(MIDDLE, 34, 49)
    for step in first.propagate(1, MIDDLE):
        if step.slice == 3:
            break  # killed here
    assert store.keys() == [f"a.tif#slice-{k}" for k in (3, 4, 5, 6, 7)]
    again = VolumeSession(images, GreySegmenter(), store=AnnotationStore(tmp_path), name="a.tif")
    np.testing.assert_array_equal(again.labels(), first.labels())
    assert again.active == 1
    assert again.parts(1) == first.parts(1)
    list(again.propagate(1, MIDDLE, -1))
    assert slices(again) == list(range(FIRST, LAST + 1))
    again.undo(MIDDLE, 1)  # the second run
    again.undo(MIDDLE, 1)  # and the one that was cut short
    assert slices(again) == [MIDDLE]


def test_objects_have_one_id_and_one_name_on_all_slices(volume) -> None:
    list(volume.propagate(1, MIDDLE, 1))
    assert volume.add_object("other") == 2
    volume.click(8, 3, 3)
    assert volume.add_object() == 3
    volume.click(MIDDLE, 3, 3)
    assert volume.names() == {1: "object 1", 2: "other", 3: "object 3"}
    assert [one.id for one in volume.open(MIDDLE).objects] == [1, 3]
    volume.active = 2
    volume.click(MIDDLE, 5, 80)
    assert slices(volume, 2) == [MIDDLE, 8]
    volume.rename(1, "cell")
    assert {one.name for k in (4, 5, 6, 7) for one in volume.open(k).objects if one.id == 1} == {"cell"}
    volume.delete(1)
    assert slices(volume, 1) == []
    assert volume.names() == {2: "other", 3: "object 3"}
    assert volume.add_object() == 4  # ids are not used again
    for wrong in (lambda: volume.rename(9, "x"), lambda: volume.join(0, 9), lambda: volume.delete(9)):
        with pytest.raises(InputError, match="id of an object of the volume"):
            wrong()


def test_what_cannot_be_carried_is_said(volume) -> None:
    with pytest.raises(InputError, match="Click on it first"):
        list(volume.propagate(1, 0))
    with pytest.raises(InputError, match=r"slice in 0\.\.8"):
        list(volume.propagate(1, 9))
    with pytest.raises(InputError, match="at least one slice"):
        VolumeSession([])
    without = VolumeSession(pictures(truth()), GrabCutSegmenter())
    without.click(MIDDLE, 34, 49)
    with pytest.raises(InputError, match="cannot start from a mask"):
        list(without.propagate(1, MIDDLE))


@pytest.mark.parametrize(
    "damage",
    [{"score": 2.0}, {"score": "high"}, {"run": 1.5}, {"source": None}, {"points": [[1]]}, {"mask": 1}],
)
def test_damaged_carry_actions_are_refused(volume, damage) -> None:
    list(volume.propagate(1, MIDDLE, 1))
    log = volume.open(5).log()
    assert log["objects"][0]["actions"][-1]["kind"] == "carry"
    log["objects"][0]["actions"][-1].update(damage)
    with pytest.raises(InputError, match="carry"):
        AnnotationSession.replay(log, pictures(truth())[5], GreySegmenter())


def test_a_carry_action_has_one_click_at_most(volume) -> None:
    action = CarryAction("", ((1.0, 1.0), (2.0, 2.0)), 0, 1, 1, 0.5)
    with pytest.raises(InputError, match="at most one point"):
        action.clicks(SHAPE)
    with pytest.raises(InputError, match="click on the image"):
        replace(action, points=((99.0, 1.0),)).clicks(SHAPE)


def test_label_volumes_have_the_ids(tmp_path, segmenter) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs the medical extra")
    from mis_lightning.formats.nifti import NiftiSlices

    affine = np.diag([2.0, 3.0, 5.0, 1.0])
    voxels = np.stack([one[..., 0] for one in pictures(truth())], axis=2).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "ct.nii.gz")
    store, seen = AnnotationStore(tmp_path / "store"), NiftiSlices(tmp_path / "ct.nii.gz", window=(0, 255))
    volume = VolumeSession(seen, segmenter, store=store)
    volume.add_object("cell")
    volume.add_object("cell")  # of the same name
    volume.click(MIDDLE, 36, 45)
    list(volume.propagate(2, MIDDLE))
    volume.save_labels(tmp_path / "labels.nii.gz")
    saved = nibabel.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(saved.affine, affine)
    values = np.asarray(saved.dataobj)
    assert set(np.unique(values)) == {0, 2}
    assert dice(values == 2, np.moveaxis(truth(), 0, 2)) > 0.95

    written = export_masks(store, tmp_path / "out", "volumes", volumes=lambda name: tmp_path / name)
    np.testing.assert_array_equal(np.asarray(nibabel.load(written.files[0]).dataobj), values)
    assert json.loads((tmp_path / "out" / "labels.json").read_text(encoding="utf-8")) == {
        "ct.nii.gz": {"2": "cell"}
    }
    coco = json.loads(export_masks(store, tmp_path / "out", "coco").files[0].read_text(encoding="utf-8"))
    assert len(coco["images"]) == len(coco["annotations"]) == LAST - FIRST + 1  # one for each slice
