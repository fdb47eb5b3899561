"""A label map that is painted in parts against one that is painted as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.annotation.actions import MaskAction
from mis_lightning.annotation.painted_labels import PaintedLabels
from mis_lightning.annotation.steps import ImageSteps
from mis_lightning.annotation.tracked_object import Moment
from mis_lightning.formats.overlap import paint
from mis_lightning.mask_box import BoxedMask
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter


@pytest.mark.parametrize("policy", ["keep", "overwrite", "allow"])
def test_it_is_the_same_as_painted_anew_over_random_changes(image, policy) -> None:
    random = np.random.default_rng(0)
    shape = image.shape[:2]
    steps = ImageSteps(image, MergeTreeSegmenter(), MergeTreeSegmenter())

    def blob() -> Moment:
        mask = np.zeros(shape, bool)
        row, col, height, width = (int(one) for one in random.integers(0, (80, 110, 40, 40)))
        mask[row : row + height, col : col + width] = True  # of no pixel, at times
        return Moment.of(steps, [MaskAction.of(mask)])

    painted = PaintedLabels(shape)
    past: list[dict[int, Moment]] = [{number: blob() for number in range(1, 12)}]
    for _ in range(40):
        now = dict(past[-1])
        kind = random.integers(4)
        if kind == 0 and len(now) > 2:
            del now[int(random.choice(list(now)))]
        elif kind == 1:
            now = dict(past[int(random.integers(len(past)))])  # undone
        elif kind == 2:
            now[max(now) + 1] = blob()
        else:
            now[int(random.choice(list(now)))] = blob()
        painted.follow(now, policy)
        whole = paint(((number, BoxedMask.of(one.mask)) for number, one in now.items()), shape, policy)
        np.testing.assert_array_equal(painted.labels, whole)
        np.testing.assert_array_equal(painted.areas, np.bincount(whole.ravel(), minlength=65536))
        past.append(now)
