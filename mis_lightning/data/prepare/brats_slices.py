"""BraTS 2020 volumes -> one slice per case, by our own rule, not comparable with published ones.

Rule: docs/protocol.md#brats-slices.

The rule: of every case the FLAIR volume and the segmentation, turned to the axes right, anterior, superior;
the axial slice with the largest whole tumour (label > 0; the lowest such slice on ties); its grey values
scaled to 8 bits between its 0.5 and 99.5 percentile (:mod:`~mis_lightning.grey_levels`); the front
of the head up and the patient's right at the left, as radiologists look at it.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.data.benchmark_folders import NOT_COMPARABLE
from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError, Note
from mis_lightning.grey_levels import to_rgb

CASES = 369

_REASON = """\
The slices in this folder were cut by `mis prepare BraTS`, because the rule behind the slices of SimpleClick
is not published. Numbers on them must not stand next to published ones.

Rule: FLAIR; the axial slice with the largest whole tumour (label > 0); its 0.5 to 99.5 percentile to 8 bits.
"""


class Case(NamedTuple):
    """The two volumes of one patient."""

    name: str
    flair: Path
    segmentation: Path


def convert_brats(volumes: Path, target: Path, *, allow_incomplete: bool = False) -> int:
    """Cut one slice per case.

    ::

        volumes/
        └── BraTS20_Training_001/      at any depth; .nii or .nii.gz
            ├── BraTS20_Training_001_flair.nii.gz
            └── BraTS20_Training_001_seg.nii.gz

    Args:
        volumes: Folder of the cases.
        target: Folder that gets ``image/``, ``annotation/`` and ``NOT_COMPARABLE.txt``.
        allow_incomplete: Accept another number of cases than 369, with a warning.

    Returns:
        Number of slices written.

    Raises:
        InputError: nibabel is not installed.
        DatasetNotFoundError: Cases are missing, or ``target`` holds slices from elsewhere.
        ImageError: A volume cannot be read, does not fit its segmentation or shows no tumour.
    """
    _nibabel()
    cases = find_cases(volumes)
    if len(cases) != CASES:
        report = f"Found {len(cases)} cases (*_flair.nii.gz with *_seg.nii.gz) in {volumes}, not {CASES}."
        if not (allow_incomplete and cases):
            raise DatasetNotFoundError(
                f"{report} Point --volumes at the training data of BraTS 2020, or pass --allow-incomplete."
            )
        warnings.warn(report, Note, stacklevel=2)
    images, annotations = target / "image", target / "annotation"
    if images.exists() and any(images.iterdir()) and not (target / NOT_COMPARABLE).exists():
        raise DatasetNotFoundError(
            f"{images} holds slices that this command has not cut. Move {target} away, or choose another "
            "--root."
        )
    for folder in (images, annotations):
        folder.mkdir(parents=True, exist_ok=True)
    (target / NOT_COMPARABLE).write_text(_REASON, encoding="utf-8")
    from tqdm import tqdm

    for case in tqdm(cases, desc="BraTS: cutting slices", unit="case", disable=None):
        image, mask = cut(case)
        Image.fromarray(image).save(images / f"{case.name}.png")
        Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(annotations / f"{case.name}.png")
    return len(cases)


def find_cases(volumes: Path) -> list[Case]:
    """List the cases below a folder by name; a FLAIR volume without a segmentation is not one.

    Args:
        volumes: Folder of the cases.
    """
    cases = []
    for flair in sorted(volumes.rglob("*_flair.nii*"), key=lambda path: path.name):
        # One case of BraTS 2020, 355, is given out with W39_1998.09.19_Segm.nii for its segmentation.
        found = sorted(p for p in flair.parent.iterdir() if re.search(r"_seg(m)?\.nii(\.gz)?$", p.name, re.I))
        name = re.sub(r"_flair\.nii(\.gz)?$", "", flair.name)
        own = [path for path in found if path.name.startswith(f"{name}_seg.")]
        if own or len(found) == 1:
            cases.append(Case(name, flair, (own or found)[0]))
    return cases


def cut(case: Case) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut the slice of one case.

    Args:
        case: The two volumes.

    Returns:
        The image, RGB uint8 ``(H, W, 3)``, and the whole tumour, bool ``(H, W)``.

    Raises:
        ImageError: A volume cannot be read, the two do not fit, or there is no tumour.
    """
    flair, flair_affine = _read(case.flair)
    labels, labels_affine = _read(case.segmentation)
    if flair.shape != labels.shape or not np.allclose(flair_affine, labels_affine, atol=1e-3):
        raise ImageError(
            f"The segmentation {case.segmentation} {labels.shape} does not lie on the grid of {case.flair} "
            f"{flair.shape}. Replace one of the two."
        )
    tumour = labels > 0
    areas = tumour.sum(axis=(0, 1))
    if areas.max() == 0:
        raise ImageError(f"The segmentation {case.segmentation} marks no tumour. Download it again.")
    index = int(areas.argmax())
    return to_rgb(_upright(flair[..., index])), _upright(tumour[..., index])


def _upright(plane: NDArray[Any]) -> NDArray[Any]:
    """``(right, anterior)`` -> rows from the front, columns from the patient's right."""
    return np.ascontiguousarray(plane[::-1, ::-1].T)


def _read(file: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Read a volume ``(right, anterior, superior)`` and its affine ``(4, 4)``."""
    nibabel = _nibabel()
    try:
        volume = nibabel.as_closest_canonical(nibabel.load(file))
        return np.asarray(volume.dataobj), np.asarray(volume.affine)
    except Exception as error:
        # nibabel raises ImageFileError, OSError, EOFError, zlib.error, HeaderDataError, ...
        raise ImageError(f"Could not read the volume {file} ({error}). Download it again.") from error


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError:
        raise InputError(
            'Reading BraTS volumes needs nibabel: pip install "mis-lightning[medical]"'
        ) from None
    return nibabel
