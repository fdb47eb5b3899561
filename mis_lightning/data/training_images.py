"""Training images from a folder, a list file, or the SBD layout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mis_lightning import licences
from mis_lightning.errors import DatasetNotFoundError
from mis_lightning.images import Reading, list_images


class TrainingImage(NamedTuple):
    """One image file, the key of its regions in the store, and how it is read."""

    key: str
    path: Path
    reading: Reading = Reading()

    def read(self) -> NDArray[np.uint8]:
        """The image, RGB, uint8, ``(H, W, 3)``.

        Raises:
            ImageError: It cannot be read.
        """
        return self.reading(self.path)


def find_training_images(source: str | Path, reading: Reading | None = None) -> list[TrainingImage]:
    """List the training images of a source, in a fixed order, each once.

    * a folder: every image below it; the key is the path relative to the folder;
    * a text file: one path per line; the key is the path relative to the text file's folder, or for a file
      outside that folder its absolute path without the first slash;
    * the SBD layout, ``img/`` beside ``train.txt``: the images that ``train.txt`` names, so that ``val.txt``
      stays unseen (docs/protocol.md#training-images).

    Args:
        source: A path; ``~`` stands for the home folder.
        reading: How they are read.

    Raises:
        DatasetNotFoundError: There is nothing there, or a file that is listed is missing.
    """
    source = Path(source).expanduser()
    if (source / "train.txt").is_file() and (source / "img").is_dir():
        found = _find_sbd(source)
        licences.touch(licences.DATA["SBD"])
    else:
        base = source if source.is_dir() else source.parent
        found = [TrainingImage(image_key(path, base), path) for path in list_images(source)]
        licences.touch(licences.of_images(source.name))
    reading = reading if reading is not None else Reading()
    return list({image.key: image._replace(reading=reading) for image in found}.values())


def _find_sbd(source: Path) -> list[TrainingImage]:
    names = source / "train.txt"
    stems = dict.fromkeys(line.strip() for line in names.read_text(encoding="utf-8-sig").splitlines())
    found = [TrainingImage(f"img/{stem}.jpg", source / "img" / f"{stem}.jpg") for stem in stems if stem]
    if not found:
        raise DatasetNotFoundError(f"Expected one image name per line in {names}, but it lists none.")
    missing = [image.path for image in found if not image.path.is_file()]
    if missing:
        raise DatasetNotFoundError(
            f"{names} lists {len(found)} images as SBD does, by their names in img/ without .jpg, but "
            f"{len(missing)} are missing, the first is {missing[0]}. If this is not SBD, pass "
            f"{source / 'img'}."
        )
    return found


def image_key(path: Path, base: Path) -> str:
    """Name a file inside a store: its path inside ``base``, or its absolute path without the first slash.

    ``..``, which would lead out of the store, is taken out; links stay.
    """
    inside, root = Path(os.path.abspath(path)), Path(os.path.abspath(base))
    return inside.relative_to(root if root in inside.parents else inside.anchor).as_posix()
