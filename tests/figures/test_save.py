"""Files of a figure: kinds, size, names, and the same bytes each time."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mis_lightning.figures.panels import image_panels, show
from mis_lightning.figures.save import save


def figure() -> Figure:
    made, (axes,) = image_panels((10, 20), 1, 1, 1.0)
    show(axes, np.full((10, 20, 3), 0.5), "title")
    return made


def test_a_png_of_the_size_in_inches_and_a_pdf(tmp_path) -> None:
    png, pdf = save(figure(), tmp_path / "new" / "levels")
    assert (png.name, pdf.name) == ("levels.png", "levels.pdf")
    with Image.open(png) as image:
        assert image.width == 300
        assert image.convert("RGB").getpixel((150, image.height - 75)) == (127, 127, 127)
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/Type3" not in content


def test_the_same_figure_gives_the_same_bytes(tmp_path) -> None:
    first, second = (save(figure(), tmp_path / name) for name in ("a", "b"))
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("name", "stem"), [("a.png", "a"), ("a.pdf", "a"), ("iou@0.9", "iou@0.9")])
def test_only_the_suffixes_written_are_taken_off(tmp_path, name, stem) -> None:
    assert [path.name for path in save(figure(), tmp_path / name)] == [stem + ".png", stem + ".pdf"]
