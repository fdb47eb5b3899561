"""All levels at once agree with the levels one by one."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.errors import InputError


@pytest.fixture
def session():
    image = np.random.default_rng(0).integers(256, size=(37, 53, 3), dtype=np.uint8)
    image[10:25, 8:30] = (200, 40, 40)
    return AnnotationSession(image)


@pytest.mark.parametrize("place", [(0, 0), (17, 20), (36, 52)])
def test_each_level_is_what_the_map_says(session, place):
    levels = session.level_map(*place)
    h, w = levels.shape
    assert levels.max() == session.levels(*place) - 1
    rows, cols = np.arange(37) * h // 37, np.arange(53) * w // 53  # the floor rule
    for level in range(session.levels(*place)):
        region = session.region(*place, level)
        np.testing.assert_array_equal(levels[rows][:, cols] <= level, region)
        assert region[place]


def test_a_place_beside_the_image_is_refused(session):
    with pytest.raises(InputError, match="on the image"):
        session.level_map(37, 0)
