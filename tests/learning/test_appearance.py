"""Looks of pixels are learned from accepted objects, and count as much as they have told before."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from mis_lightning.features.pixel_cues import pixel_cues
from mis_lightning.learning.appearance import KEPT, RADIUS, TRUST, Appearance
from mis_lightning.segmenters.appearance_prior import MAX_SIDE


def scene(number: int, told: bool = True, radius: float = 9.0) -> tuple[np.ndarray, np.ndarray]:
    """A disc in noise; ``told``: of a colour of its own, or else it cannot be seen."""
    generator = np.random.default_rng(number)
    side = int(6 * radius)
    rows, cols = np.mgrid[:side, :side]
    mask = np.hypot(rows - side / 2, cols - side / 2) < radius
    image = generator.integers(60, 120, (side, side, 3))
    image[mask] += (90 * told, 0, 0)
    return np.uint8(np.clip(image, 0, 255)), mask


def test_pixels_of_the_next_object_are_told_apart() -> None:
    learned = Appearance()
    for number in range(6):
        learned.accept(*scene(number))
    image, mask = scene(100)
    assert learned.prior is not None
    inside = learned.prior.odds(pixel_cues(image)) > 0
    assert (inside & mask).sum() / (inside | mask).sum() > 0.85
    assert learned.prior.weight > 0.4
    assert max(learned.losses[1:]) < 0.4


def test_looks_that_tell_nothing_do_not_count() -> None:
    learned = Appearance()
    for number in range(6):
        learned.accept(*scene(number, told=False))
    assert learned.prior is not None
    assert learned.prior.weight < 0.1


def test_the_weight_is_the_share_of_doubt_that_was_taken_away() -> None:
    learned = Appearance()
    learned.accept(*scene(0))
    assert learned.prior is not None
    assert learned.prior.weight == 0  # nothing was asked yet
    learned.accept(*scene(1))
    first, loss = learned.losses
    assert first == log(2)
    assert 0 < loss < 0.6
    share = 1 - (loss + 2 * log(2)) / (3 * log(2))  # as if one more object had told nothing
    assert learned.prior.weight == pytest.approx(TRUST * share, abs=1e-4)


def test_large_objects_are_described_smaller() -> None:
    learned = Appearance()
    learned.accept(*scene(0, radius=3 * RADIUS))
    assert learned.prior is not None
    assert learned.prior.scale == pytest.approx(1 / 3, rel=0.01)
    learned.accept(*scene(1))
    assert learned.prior.scale == pytest.approx(1 / 3, rel=0.01)  # that of the first stays


def test_what_is_too_large_for_looks_to_have_a_say_teaches_nothing() -> None:
    learned = Appearance()
    learned.accept(*scene(0))
    wide = np.zeros((60, MAX_SIDE + 20), np.bool_)
    for covered, taught in ((MAX_SIDE, 2), (MAX_SIDE + 1, 2), (MAX_SIDE, 3)):
        wide[:] = False
        wide[20:30, 10 : 10 + covered] = True
        learned.accept(np.zeros((*wide.shape, 3), np.uint8), wide)
        assert len(learned.losses) == taught


@pytest.mark.parametrize("size", [1, 2])
def test_the_smallest_and_the_largest_objects(size: int) -> None:
    learned = Appearance()
    image, _ = scene(0)
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[7 : 7 + size, 9] = True
    learned.accept(*scene(0, radius=4 * RADIUS))
    learned.accept(image, mask)
    learned.accept(image, ~mask)  # of the described pixels none is around it
    learned.accept(image, np.ones_like(mask))  # has no surroundings
    learned.accept(image[:4, :4], ~np.eye(4, dtype=np.bool_))  # nor this
    assert len(learned.losses) == 2


def test_it_goes_on_where_it_was() -> None:
    learned, again = Appearance(seed=3), Appearance(seed=3)
    for number in range(3):
        learned.accept(*scene(number))
    again.restore(*learned.state())
    assert again.prior == learned.prior
    for one in (learned, again):
        one.accept(*scene(7))
    assert again.prior == learned.prior
    assert again.losses == learned.losses


def test_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mis_lightning.learning.appearance.KEPT", 2)
    learned = Appearance()
    for number in range(4):
        learned.accept(*scene(number))
    assert len(learned.state()[1]["shown"]) == 2 < KEPT
    assert len(learned.losses) == 4


@pytest.mark.parametrize("good", [True, False])
def test_what_the_model_knew_stays_while_it_is_better(good: bool) -> None:
    before = Appearance()
    for number in range(8):
        image, mask = scene(number)
        before.accept(image if good else 255 - image, mask)
    known = before.prior
    learned = Appearance(known)
    for number in range(20, 24):
        learned.accept(*scene(number))
    assert (learned.prior is known) == good
    again = Appearance(known)
    again.restore(*learned.state())
    assert again.prior == learned.prior
