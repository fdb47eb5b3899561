"""Photographs inside scikit-image and outlines inside this package -> a small benchmark without a download.

The outlines were drawn by hand for this project and are not published data: the set serves quickstarts and
tests, and its numbers must not stand next to published ones.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mis_lightning import licences
from mis_lightning.data.benchmark import Benchmark
from mis_lightning.errors import DatasetNotFoundError
from mis_lightning.images import read_image
from mis_lightning.structures import Sample

CHECKED_VERSIONS = "0.18.3 to 0.26.0"
"""Range of scikit-image: 7 releases in it, both ends included, hold the same photographs byte for byte."""


class BundledBenchmark(Benchmark):
    """31 objects and parts of objects on 7 photographs that scikit-image carries in its package.

    Order: images by name, then the objects as they stand in ``assets/bundled/objects.json``. Grey photographs
    come as three equal channels. Nothing is ignored: ``Sample.ignore`` is ``None``.

    An object is one or more outlines, ``[row, col]`` in pixels with pixel centres at integers, filled by the
    even-odd rule, so an outline inside another one is a hole. A pixel belongs to the object if its centre
    lies inside. What stands in front of an object is left out; an object cut in two by it has two outlines.

    >>> benchmark = BundledBenchmark()
    >>> len(benchmark), benchmark[0].name, benchmark[0].mask.shape
    (31, 'astronaut.png#person', (512, 512))
    """

    name: ClassVar[str] = "bundled"
    expected_images: ClassVar[int] = 7
    expected_count: ClassVar[int | None] = 31
    comparable = False

    def __init__(self) -> None:
        """Find the photographs.

        Raises:
            DatasetNotFoundError: scikit-image is not installed, or lacks one of the photographs or holds
                another one under its name.
        """
        licences.touch(licences.DATA[self.name])
        outlines = _outlines()
        self._objects = [
            (path, name, rings)
            for path in bundled_images()
            for name, rings in outlines[path.name]["objects"].items()
        ]

    def __len__(self) -> int:
        """Count the objects."""
        return len(self._objects)

    def __getitem__(self, index: int) -> Sample:
        """Read one photograph and fill the outlines of one object.

        Args:
            index: Position in the order above.

        Returns:
            The sample, named ``"<file>#<object>"``.
        """
        path, name, rings = self._objects[index]
        image = read_image(path)
        return Sample(image, fill_outlines(rings, image.shape[:2]), None, f"{path.name}#{name}")


def bundled_images() -> list[Path]:
    """Find the 7 photographs of the benchmark, e.g. to train on them without labels.

    Returns:
        Their paths in the installed scikit-image, sorted by name.

    Raises:
        DatasetNotFoundError: As for :class:`BundledBenchmark`.
    """
    found = importlib.util.find_spec("skimage")  # finds the folder without importing the package
    if found is None or found.origin is None:
        raise DatasetNotFoundError(
            "bundled: expected scikit-image, whose package holds the photographs, but it is not installed. "
            "Install it: pip install scikit-image"
        )
    folder = Path(found.origin).parent / "data"
    remedy = (
        f"scikit-image {CHECKED_VERSIONS} ship it inside the package; install one of them: "
        'pip install "scikit-image>=0.22,<=0.26.0"'
    )
    paths = []
    for name, entry in sorted(_outlines().items()):
        path = folder / name
        if not path.is_file():
            raise DatasetNotFoundError(f"bundled: expected the file {path}, but it is missing. {remedy}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            raise DatasetNotFoundError(
                f"bundled: {path} is not the photograph that the outlines were drawn on. {remedy}"
            )
        paths.append(path)
    return paths


def fill_outlines(rings: list[list[list[float]]], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Fill closed outlines by the even-odd rule.

    Args:
        rings: Outlines of at least three ``[row, col]`` points, in pixels; the last point joins the first.
        size: ``(height, width)``; what lies outside is cut off.

    Returns:
        bool ``(height, width)``: pixels whose centre lies inside an odd number of outlines.

    >>> square = [[-0.5, -0.5], [-0.5, 2.5], [2.5, 2.5], [2.5, -0.5]]
    >>> hole = [[0.5, 0.5], [0.5, 1.5], [1.5, 1]]
    >>> fill_outlines([square, hole], (3, 4)).astype(int)
    array([[1, 1, 1, 0],
           [1, 0, 1, 0],
           [1, 1, 1, 0]])
    """
    from skimage.draw import polygon2mask

    mask = np.zeros(size, dtype=np.bool_)
    for ring in rings:
        mask ^= polygon2mask(size, np.asarray(ring))  # type: ignore[no-untyped-call]
    return mask


def _outlines() -> dict[str, Any]:
    """Read ``objects.json``: file name -> its SHA-256 and its objects."""
    text = resources.files("mis_lightning").joinpath("assets/bundled/objects.json").read_text("utf-8")
    images: dict[str, Any] = json.loads(text)["images"]
    return images
