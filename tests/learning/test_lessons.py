"""Lessons hold the object and its clicks in place; views show both alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mis_lightning.clicks.initial import SAMPLED_ORDER
from mis_lightning.errors import InputError
from mis_lightning.learning.lessons import MAX_SIDE, Lesson, Views
from mis_lightning.structures import Click


def scene(shape: tuple[int, int], box: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """A white object on black: wherever it is shown, the image says where the mask must be."""
    mask = np.zeros(shape, np.bool_)
    mask[box] = True
    return np.repeat(mask[:, :, None] * np.uint8(255), 3, axis=2), mask


def test_a_lesson_is_the_surroundings_of_its_object() -> None:
    image, mask = scene((400, 600), np.s_[100:120, 300:310])
    lesson = Lesson.of(image, mask, [Click(110, 305, True), Click(10, 10, False), Click(100, 300, True)])
    assert lesson.mask.shape == (120, 120)
    assert np.array_equal(lesson.image[:, :, 0] > 0, lesson.mask)
    assert lesson.mask.sum() == mask.sum()
    assert [lesson.mask[int(c.row), int(c.col)] for c in lesson.clicks] == [True, True]  # the far one is gone


def test_a_large_object_is_made_smaller_with_its_clicks() -> None:
    image, mask = scene((1200, 900), np.s_[300:900, 300:600])
    lesson = Lesson.of(image, mask, [Click(300, 599, True), Click(299, 600, False)])
    assert max(lesson.mask.shape) == MAX_SIDE
    assert lesson.mask.mean() == pytest.approx(mask.mean(), rel=0.02)
    assert [lesson.mask[round(c.row - 0.5), round(c.col - 0.5)] for c in lesson.clicks] == [True, False]


def test_a_thin_line_survives() -> None:
    image, mask = scene((3000, 3000), np.s_[10:2990, 1500:1501])
    assert Lesson.of(image, mask).mask.any()


@pytest.mark.parametrize(
    "mask", [np.zeros((4, 4), np.bool_), np.ones((4, 5), np.bool_), np.ones((4, 4), np.uint8)]
)
def test_what_is_no_lesson_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(InputError, match="Expected a mask to learn from, bool"):
        Lesson.of(np.zeros((4, 4, 3), np.uint8), mask)


def test_views_show_image_mask_and_clicks_in_the_same_place() -> None:
    image, mask = scene((200, 200), np.s_[80:110, 90:130])
    lesson = Lesson.of(image, mask, [Click(95, 110, True), Click(75, 85, False)])
    views = Views(colour=0.0, replayed=1.0)
    seen = set()
    for seed in range(40):
        view, truth, points = views.draw(lesson, (64, 64), np.random.default_rng(seed))
        assert view.shape == (3, 64, 64)
        assert points.shape == (48, 3)
        assert ((view[0] > 0.5) == truth[0]).float().mean() > 0.99
        given = points[points[:, 2] == SAMPLED_ORDER]
        inside = [bool(truth[0, int(row), int(col)]) for row, col, _ in given]
        assert inside == [True, False][: len(given)]
        seen.add(len(given))
    assert seen == {1, 2}


def test_views_are_a_function_of_the_generator() -> None:
    image, mask = scene((100, 100), np.s_[40:60, 40:60])
    first, second = (
        Views().draw(Lesson.of(image, mask), (32, 32), np.random.default_rng(3)) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other = Views().draw(Lesson.of(image, mask), (32, 32), np.random.default_rng(4))
    assert not torch.equal(first[0], other[0])


def test_an_object_as_large_as_the_image_has_views() -> None:
    image, mask = scene((50, 70), np.s_[:, :])
    view, truth, _ = Views().draw(Lesson.of(image, mask), (32, 32), np.random.default_rng(0))
    assert truth.all()
    assert view.shape == (3, 32, 32)
