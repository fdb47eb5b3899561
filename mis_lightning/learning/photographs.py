"""Lessons on bundled photographs: what a model answered before it learned anything, to be remembered."""

from __future__ import annotations

import numpy as np

from mis_lightning.clicks.pixel_choice import choose_pixels
from mis_lightning.data.bundled import bundled_images
from mis_lightning.images import read_image
from mis_lightning.learning.lessons import Lesson
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Click


def photograph_lessons(segmenter: ClickModelSegmenter, count: int, seed: int) -> list[Lesson]:
    """Ask about random pixels of photographs that come with scikit-image; the answers are the lessons.

    Args:
        segmenter: Answers.
        count: Number of clicks; answers without a pixel are left out.
        seed: Chooses the pixels.
    """
    generator = np.random.default_rng([seed, 7])
    images = [read_image(path) for path in bundled_images()]
    found = []
    for number in range(count):
        image = images[number % len(images)]
        everywhere = np.ones(image.shape[:2], np.bool_)
        row, col = choose_pixels(everywhere, generator.random(1))[0]
        click = Click(float(row), float(col), True)
        (state,) = segmenter.click([segmenter.begin(image)], [[click]])
        mask = segmenter.mask(state)
        if mask.any():
            found.append(Lesson.of(image, mask, [click]))
    return found
