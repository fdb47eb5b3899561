"""The picture of a training batch, read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.figures.training_batch import training_batch


def batch():
    images = np.full((3, 20, 30, 3), 100, np.uint8)
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 5:15, 5:15] = masks[1, 0:10, 0:10] = True
    points = np.full((3, 4, 3), -1, np.float32)
    points[0, 0], points[0, 2], points[2, 3] = (7, 8, 1), (2, 20, 0), (3, 4, 100)
    probabilities = np.zeros((3, 20, 30), np.float32)
    probabilities[0, 5:15, 5:10] = 0.9  # half of the region
    probabilities[2, :2] = 0.6  # a tenth of the image
    return images, masks, points, probabilities


def test_titles_points_and_marked_pixels():
    figure = training_batch(*batch())
    assert [ax.get_title() for ax in figure.axes] == ["IoU 0.50", "IoU 0.00", "empty region, 10% marked"]
    markers = [
        [
            (float(line.get_ydata()[0]), float(line.get_xdata()[0]), line.get_marker())
            for line in ax.lines
            if line.get_marker() in ("o", "X")
        ]
        for ax in figure.axes
    ]
    assert markers == [[(7, 8, "o"), (2, 20, "X")], [], [(3, 4, "X")]]
    shown = np.asarray(figure.axes[0].images[0].get_array())
    blue = shown[:, :, 2] > shown[:, :, 0] + 0.1
    np.testing.assert_array_equal(blue, batch()[3][0] > 0.5)


def test_shapes_that_do_not_fit():
    images, masks, points, probabilities = batch()
    with pytest.raises(InputError, match="but got"):
        training_batch(images, masks[:2], points, probabilities)
