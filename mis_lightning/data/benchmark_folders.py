"""Where a benchmark lies on disk: its folder, its pairs of image and mask, and whether it is complete."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mis_lightning import licences
from mis_lightning.errors import DatasetNotFoundError, ImageError, Note
from mis_lightning.images import IMAGE_SUFFIXES, read_array

NOT_COMPARABLE = "NOT_COMPARABLE.txt"
"""A file of this name in a benchmark's folder says why its numbers must not stand next to published ones."""


class ImageAndMask(NamedTuple):
    """One image file and the mask file of the same stem."""

    name: str
    image: Path
    mask: Path


def find_folder(name: str, root: str | Path, needs: Sequence[str], inner: Sequence[str]) -> Path:
    """Find the folder of a benchmark that holds the published subfolders and files.

    Args:
        name: Name of the benchmark, for the message.
        root: That folder itself, or a folder above it.
        needs: Subfolders and files that must be there.
        inner: Where the folder may lie below ``root``, tried in this order after ``root`` itself.

    Returns:
        The first of the candidates that holds everything in ``needs``.

    Raises:
        DatasetNotFoundError: None does.
    """
    root = Path(root).expanduser()
    candidates = [root, *(root / place for place in inner)]
    for folder in candidates:
        if all((folder / need).exists() for need in needs):
            if name in licences.DATA:
                licences.touch(licences.DATA[name])
            return folder
    if not root.is_dir():
        holds = "which does not exist"
    else:
        content = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
        holds = f"which holds {', '.join(content[:8]) or 'nothing'}{', ...' if len(content) > 8 else ''}"
    unset = "MIS_DATA_DIR" not in os.environ and not root.is_absolute()
    hint = " If you have the benchmarks, set MIS_DATA_DIR to the folder that holds them." if unset else ""
    raise DatasetNotFoundError(
        f"{name}: expected {' and '.join(needs)} in {root} ({holds}) or in its subfolders "
        f"{', '.join(inner)}. {how_to_get(name, root)}{hint}"
    )


def pair_by_stem(name: str, images: Path, masks: Path, *, allow_incomplete: bool) -> list[ImageAndMask]:
    """Match image and mask files by their name up to the first dot.

    Rule: docs/protocol.md#benchmarks.

    Args:
        name: Name of the benchmark, for messages.
        images: Folder of images.
        masks: Folder of masks.
        allow_incomplete: Leave out images without a mask, with a warning, instead of raising.

    Returns:
        One entry per image, in the order of the image file names (by character code).

    Raises:
        DatasetNotFoundError: An image without a mask, or two files of one folder with the same stem.
    """
    mask_of = _by_stem(name, masks)
    image_of = _by_stem(name, images)
    without = [path for stem, path in image_of.items() if stem not in mask_of]
    if without:
        report = f"{name}: {len(without)} of the {len(image_of)} images in {images} have no mask in {masks}"
        report += f", the first is {without[0].name}."
        if not allow_incomplete:
            raise DatasetNotFoundError(f"{report} {how_to_get(name, images.parent)}")
        warnings.warn(f"{report} They are left out.", Note, stacklevel=3)
    return [ImageAndMask(stem, path, mask_of[stem]) for stem, path in image_of.items() if stem in mask_of]


def check_count(
    name: str, what: str, found: int, expected: int | None, folder: Path, *, allow_incomplete: bool
) -> bool:
    """Compare a count with the published one.

    Args:
        name: Name of the benchmark.
        what: What is counted, in the plural.
        found: The count here.
        expected: The published count; ``None`` if there is none to compare with.
        folder: Where was counted.
        allow_incomplete: Warn instead of raising.

    Returns:
        Whether the counts agree.

    Raises:
        DatasetNotFoundError: They do not, or there is nothing at all.
    """
    if expected is None or found == expected:
        return True
    report = f"{name}: found {found} {what} in {folder}, but the published set has {expected}."
    if found == 0 or not allow_incomplete:
        raise DatasetNotFoundError(
            f"{report} {how_to_get(name, folder)} To work with what is there, pass allow_incomplete=True "
            "(`mis compare --incomplete`; `allow_incomplete: true` in a config); numbers are then not "
            "comparable."
        )
    warnings.warn(f"{report} Numbers are not comparable with published ones.", Note, stacklevel=3)
    return False


def how_to_get(name: str, folder: Path) -> str:
    """Say how to get a benchmark: the closing sentence of every message here."""
    return f"Run `mis prepare {name} --root {folder}` to see how to get it."


def read_levels(path: Path) -> NDArray[np.uint8]:
    """Read a published mask file as grey or colour levels, palettes looked up, 1-bit as 0 and 255.

    Args:
        path: The mask file.

    Returns:
        uint8 ``(H, W, channels)`` with 1 or 3 channels.

    Raises:
        ImageError: The file cannot be read or is deeper than 8 bits, which no published mask is.
    """
    levels = read_array(path)
    if levels.dtype == np.bool_:
        levels = levels.astype(np.uint8) * np.uint8(255)
    if levels.dtype != np.uint8:
        raise ImageError(
            f"Expected 8-bit levels in the mask {path}, but got {levels.dtype}. Save it as 8-bit PNG."
        )
    return levels[..., np.newaxis] if levels.ndim == 2 else levels


def check_size(image: NDArray[Any], image_path: Path, mask: NDArray[Any], mask_path: Path) -> None:
    """Raise :class:`ImageError` unless image and mask have the same height and width."""
    if image.shape[:2] != mask.shape[:2]:
        (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape[:2]
        raise ImageError(
            f"The mask {mask_path} has {mask_height} rows and {mask_width} columns, but its image "
            f"{image_path} has {height} rows and {width} columns. Replace one of the two files."
        )


def is_marked_not_comparable(folder: Path) -> bool:
    """Whether the folder carries the file ``NOT_COMPARABLE.txt``."""
    return (folder / NOT_COMPARABLE).exists()


def _by_stem(name: str, folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        stem = path.name.split(".", 1)[0]
        if stem in found:
            raise DatasetNotFoundError(
                f"{name}: {found[stem].name} and {path.name} in {folder} have the same stem, so masks cannot "
                "be matched. Remove one of them."
            )
        found[stem] = path
    return found
