"""Border lines against a loop over pixel pairs, and as they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mis_lightning.figures.outlines import border_lines, draw_borders
from mis_lightning.figures.panels import image_panels, show


def unit_edges(labels: np.ndarray) -> set[tuple[float, float, float, float]]:
    """The edge between each pair of unlike neighbours, one by one."""
    edges = set()
    height, width = labels.shape
    for r in range(height):
        for c in range(width):
            if c + 1 < width and labels[r, c] != labels[r, c + 1]:
                edges.add((c + 0.5, r - 0.5, c + 0.5, r + 0.5))
            if r + 1 < height and labels[r, c] != labels[r + 1, c]:
                edges.add((c - 0.5, r + 0.5, c + 0.5, r + 0.5))
    return edges


@pytest.mark.parametrize("shape", [(7, 9), (1, 6), (6, 1), (1, 1)])
def test_lines_cover_exactly_the_edges_between_labels(shape) -> None:
    labels = np.random.default_rng(3).integers(3, size=shape)
    covered = []
    for (x0, y0), (x1, y1) in border_lines(labels):
        steps = round(x1 - x0 + y1 - y0)
        dx, dy = (x1 - x0) / steps, (y1 - y0) / steps
        covered += [(x0 + i * dx, y0 + i * dy, x0 + (i + 1) * dx, y0 + (i + 1) * dy) for i in range(steps)]
    assert len(covered) == len(set(covered))
    assert set(covered) == unit_edges(labels)


def test_straight_borders_are_one_line() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:5, 3:7] = True
    assert len(border_lines(mask)) == 4


def test_drawn_where_labels_change_and_nowhere_else() -> None:
    labels = np.zeros((6, 10), dtype=int)
    labels[:, 4:] = 1  # the border lies at x = 3.5, 20 dots to a pixel: column 80
    figure, (axes,) = image_panels(labels.shape, 1, 1, 2.0)
    show(axes, np.ones((6, 10, 3)), "")
    draw_borders(axes, labels, "black", width=2.0)
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(100)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[-120:, :, 0]  # the title is above
    assert (picture[5:-5, 79:81] < 50).all()
    assert (picture[5:-5, :77] == 255).all()
    assert (picture[5:-5, 83:] == 255).all()
