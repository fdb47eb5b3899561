"""Any source of training images: a folder, a list file, or the SBD layout."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mis_lightning.errors import DatasetNotFoundError
from mis_lightning.images import list_images


class TrainingImage(NamedTuple):
    """One image file and the key of its regions in the store."""

    key: str
    path: Path


def find_training_images(source: str | Path) -> list[TrainingImage]:
    """List the training images of a source, in a fixed order.

    * a folder: every image below it; the key is the path relative to the folder;
    * a text file: one path per line; the key is the path as it stands there;
    * the SBD layout, ``img/`` beside ``train.txt``: the images that ``train.txt`` names.

    Raises:
        DatasetNotFoundError: There is nothing there, or a file that is listed is missing.
    """
    source = Path(source)
    names = source / "train.txt"
    if names.is_file() and (source / "img").is_dir():
        found = [
            TrainingImage(f"img/{n}.jpg", source / "img" / f"{n}.jpg") for n in names.read_text().split()
        ]
        missing = [image.path for image in found if not image.path.is_file()]
        if missing:
            raise DatasetNotFoundError(
                f"{names} lists {len(found)} images, but {len(missing)} are missing, the first is {missing[0]}."
            )
        return found
    base = source if source.is_dir() else source.parent
    return [TrainingImage(_key(path, base), path) for path in list_images(source)]


def _key(path: Path, base: Path) -> str:
    try:
        return path.absolute().relative_to(base.absolute()).as_posix()
    except ValueError:  # an absolute path in a list file
        return path.as_posix().lstrip("/")
